"""What the tests of both pages in a browser share: messages as they are told, and what a page shows and is told."""

from typing import Any

from tests.browser import Tab

BUBBLES = "[...document.querySelectorAll('#messages li')].map((each) => each.innerText)"
CHANGES = """
window.changes = 0;
new MutationObserver((seen) => { changes += seen.length; })
  .observe(document.getElementById("messages"), { childList: true, subtree: true, characterData: true });
"""


def said(number: int, content: str, author: str = "ai", state: str = "sent") -> dict[str, Any]:
    message = {
        "id": f"m{number}",
        "author": author,
        "content": content,
        "createdAt": f"2026-01-01T10:{number:02}:00Z",
        "delivery": {"state": state},
        "attachments": [],
        "seq": number,
        "private": False,
    }
    return {"message": message, "conversationId": "c", "propertyId": "seaview"}


async def write(tab: Tab, text: str) -> None:
    await tab.run("document.getElementById('content').focus()")
    await tab.write(text)
    await tab.run("document.getElementById('content').form.requestSubmit()")
