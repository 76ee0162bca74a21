"""What the tests of pages in a browser share: what the pages are told, what they show, and the staff page at work."""

from typing import Any

from tests.browser import SOCKETS, Browser, Tab

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


# --- the staff page --------------------------------------------------------------------------------------------------

REST = """
sessionStorage.setItem("token", "t");
window.calls = [], window.keys = [];
window.found = [1, 2].map((number) => ({
  conversationId: `conversation-${number}`, guestName: `Guest ${number}`, createdAt: `2026-01-01T10:0${number}:00Z`,
  state: "escalated", propertyId: "seaview", channelType: "webchat", priority: "normal", seq: 1, unread: 0,
}));
window.people = [
  { id: "a", name: "Ana", disabled: false, properties: ["seaview"] },
  { id: "b", name: "Bo", disabled: false, properties: ["elsewhere"] },
  { id: "c", name: "Cleo", disabled: true, properties: ["seaview"] },
];
window.unread = [];
window.fetch = async (path, { method, body, headers }) => {
  const told = (content, more) => ({ ok: true, headers: new Headers(), json: async () => content, ...more });
  if (path.startsWith("/api/v1/staff")) return told({ items: window.people });
  if (path.startsWith("/api/v1/notifications")) {
    calls.push([method, path.slice(8)]);
    return told({ items: method === "GET" ? window.unread : [], nextCursor: null });
  }
  if (path === "/api/v1/media") {
    calls.push([method, "media", Object.fromEntries([...body].map(([key, value]) => [key, value.name ?? value]))]);
    if (window.slow) await new Promise((then) => { window.answer = then; });
    return told({ id: "f1", name: body.get("file").name, contentType: "text/plain", size: 3, url: "/api/v1/media/f1" });
  }
  const [, id, part] = path.match(/conversations[/]?([^/?]*)[/]?([^?]*)/);
  calls.push([method, part, body && JSON.parse(body)]);
  if (headers["Idempotency-Key"]) keys.push(headers["Idempotency-Key"]);
  if (window.slow) await new Promise((then) => { window.answer = then; });
  const one = found.find((each) => each.conversationId === id);
  const { q = "", cursor } = Object.fromEntries(new URL(path, location).searchParams);
  const list = { items: found.filter((each) => each.guestName.includes(q)).slice(cursor), nextCursor: window.next };
  const content = id ? { read: { ...one, unread: 0 }, messages: { items: [] } }[part] ?? one : list;
  if (method === "POST" && part.startsWith("messages"))
    return told({ ...window.sent, ...(body && { content: JSON.parse(body).content }) });
  return told(content);
};
"""
STAFF = {"id": "s", "name": "Marta", "role": "agent", "email": "marta@hotel.test", "properties": ["seaview"]}
LIST = "[...document.querySelectorAll('#list button')].map((each) => each.innerText)"


async def look_at_one(browser: Browser, site: str, *, first: str = "") -> Tab:
    """The staff page with the newest conversation open."""
    tab = await browser.open(f"{site}/staff", await browser.profile(), first=SOCKETS + REST + first)
    await tab.until("sockets.at(-1)?.sent.length")
    await arrive(tab)
    await tab.run("document.querySelector('#list button').click()")
    await tab.until("!document.getElementById('one').hidden")
    return tab


async def arrive(tab: Tab, **staff: str) -> None:
    """Has the page's newest socket begin."""
    await tab.tell("session", {"staff": STAFF | staff})
    await tab.tell("ack", {"propertyId": "seaview"}, id="list")
    await tab.until(f"{LIST}.length === 2")


def of(conversation: int, number: int, content: str, author: str = "guest", state: str = "sent", **more: Any) -> Any:
    return said(number, content, author, state) | {"conversationId": f"conversation-{conversation}"} | more


def notice(number: int, conversation_id: str | None = None) -> dict[str, Any]:
    notice = {"id": f"n{number}", "kind": "system", "text": "A message did not arrive", "at": "2026-01-01T10:00:00Z"}
    return notice | ({"conversationId": conversation_id} if conversation_id is not None else {})
