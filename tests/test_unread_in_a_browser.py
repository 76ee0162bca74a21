"""What staff find on their page when they come back to it: notifications, and replies that they had begun."""

import json
from typing import Any

import pytest

from tests.browser import PROGRAM, SOCKETS, Browser, Tab
from tests.pages import LIST, REST, STAFF, arrive, look_at_one, notice

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no browser is installed")

BELL = "document.getElementById('bell').textContent"
NOTICES = "[...document.querySelectorAll('#notices-list li')].map((each) => each.innerText.split('\\n')[0])"
READ = "calls.filter(([method, path]) => method === 'POST' && path.endsWith('/read')).map(([, path]) => path)"


async def _back(browser: Browser, site: str, *unread: dict[str, Any], path: str = "/staff") -> Tab:
    """The staff page of somebody who was away meanwhile."""
    first = SOCKETS + REST + f"window.unread = {json.dumps(unread)};"
    tab = await browser.open(f"{site}{path}", await browser.profile(), first=first)
    await tab.until("sockets.at(-1)?.sent.length")
    await arrive(tab)
    return tab


async def test_staff_find_what_they_missed_and_go_to_the_guest(browser: Browser, site: str) -> None:
    missed = [notice(1, "conversation-1"), notice(2) | {"at": "2026-01-01T11:00:00Z"}]
    tab = await _back(browser, site, *missed)
    await tab.until(f"{BELL} === '2 unread notifications'")
    await tab.run("document.getElementById('bell').click()")
    assert await tab.run(NOTICES) == ["A message did not arrive", "Guest 1: A message did not arrive"]
    await tab.run("document.querySelector('#notices-list a').click()")
    await tab.until("!document.getElementById('one').hidden")
    assert await tab.run("[openId, document.getElementById('notices').hidden]") == ["conversation-1", True]
    await tab.until(f"{BELL} === '1 unread notification'")
    assert "notifications/n1/read" in await tab.run(READ)


async def test_all_that_was_missed_is_read_at_once(browser: Browser, site: str) -> None:
    tab = await _back(browser, site, notice(1), notice(2, "conversation-2"))
    await tab.until(f"{BELL} === '2 unread notifications'")
    await tab.run("window.unread = [], document.getElementById('read-all').click()")
    await tab.until(f"{BELL} === 'No notifications'")
    assert sorted(await tab.run(READ)) == ["notifications/n1/read", "notifications/n2/read"]


async def test_who_opens_a_conversation_has_seen_what_was_told_of_it(browser: Browser, site: str) -> None:
    tab = await _back(browser, site, notice(1, "conversation-1"), notice(2, "conversation-2"))
    await tab.until(f"{BELL} === '2 unread notifications'")
    await tab.run("document.querySelector('[data-id=conversation-2]').click()")
    await tab.until(f"{BELL} === '1 unread notification'")
    assert await tab.run(READ) == ["notifications/n2/read"]


async def test_a_notification_that_comes_is_counted_once(browser: Browser, site: str) -> None:
    tab = await _back(browser, site, notice(1))
    await tab.until(f"{BELL} === '1 unread notification'")
    for number in (1, 2, 2):
        await tab.tell("notification", {"notification": notice(number), "propertyId": "seaview"})
    assert await tab.run(BELL) == "2 unread notifications"


async def test_the_keyboard_stays_in_the_list_while_it_gets_shorter(browser: Browser, site: str) -> None:
    tab = await _back(browser, site, *(notice(number) for number in (1, 2)))
    await tab.until(f"{BELL} === '2 unread notifications'")
    await tab.run("document.getElementById('bell').click()")
    for left in (1, 0):
        await tab.run("document.querySelector('#notices-list button').focus(), document.activeElement.click()")
        await tab.until(f"{NOTICES}.length === {left}")
        assert await tab.run("document.activeElement.closest('#notices-list, #bell') !== null")


WRITTEN = "[document.getElementById('content').value, document.getElementById('private').checked]"


@pytest.mark.parametrize(("who", "waits"), [("s", ["They are", True]), ("other", ["", False])])
async def test_what_was_begun_is_there_after_a_visit_to_another_page(
    browser: Browser, site: str, who: str, waits: list[object]
) -> None:
    tab = await look_at_one(browser, site)
    await tab.run("document.getElementById('private').click(), document.getElementById('content').focus()")
    await tab.write("They are")
    await tab.run("location.href = '/staff/tasks'")
    await tab.until("document.title === 'Tasks' && document.readyState === 'complete'")
    await tab.run("location.href = '/staff?conversation=conversation-2'")
    await tab.until("document.title !== 'Tasks' && document.readyState === 'complete' && sockets.at(-1)?.sent.length")
    await arrive(tab, id=who)
    await tab.until("openId === 'conversation-2' && !document.getElementById('one').hidden")
    assert await tab.run(WRITTEN) == waits


async def test_a_page_that_is_not_allowed_here_says_so(browser: Browser, site: str) -> None:
    tab = await browser.open(f"{site}/staff", await browser.profile(), first=SOCKETS + REST)
    await tab.until("sockets.at(-1)?.sent.length")
    await tab.run("sockets.at(-1).close(4403)")
    await tab.until("document.getElementById('alert').textContent.includes('cannot be used here')")
    assert await tab.run("[sockets.length, document.getElementById('login').hidden]") == [1, False]


async def test_signing_in_twice_by_impatience_opens_one_socket(browser: Browser, site: str) -> None:
    late = "window.fetch = async () => { await new Promise((then) => { window.answer = then; });"
    late += "return { ok: true, headers: new Headers(), json: async () => ({ accessToken: 't' }) }; };"
    tab = await browser.open(f"{site}/staff", await browser.profile(), first=SOCKETS + late)
    press = "document.getElementById('login').dispatchEvent(new Event('submit', { cancelable: true }))"
    await tab.run(f"{press}, {press}, undefined")
    await tab.until("!!window.answer")
    assert await tab.run("document.getElementById('status').textContent") == "Signing in…"
    await tab.run("answer()")
    await tab.until("sockets.length")
    await tab.run(f"{press}, undefined")
    await tab.tell("session", {"staff": STAFF})
    assert await tab.run("sockets.length") == 1


async def test_what_could_not_be_read_is_asked_for_again(browser: Browser, site: str) -> None:
    away = "window.plain = window.fetch, window.away = true, window.late = [], window.wait = window.setTimeout;"
    away += "window.setTimeout = (then, after) => (after === 10000 ? late.push(then) : wait(then, after));"
    away += (
        "window.fetch = async (path, sent) => { if (!away || path.includes('/conversations')) return plain(path, sent);"
    )
    away += "return { ok: false, status: 503, headers: new Headers(), json: async () => ({ detail: 'Later' }) }; };"
    first = SOCKETS + REST + f"window.unread = {json.dumps([notice(1)])};" + away
    tab = await browser.open(f"{site}/staff", await browser.profile(), first=first)
    await tab.until("sockets.at(-1)?.sent.length")
    await arrive(tab)
    await tab.until("late.length === 2")
    assert await tab.run(f"[{BELL}, document.getElementById('alert').textContent]") == [
        "Notifications",
        "Later",
    ]
    await tab.run("window.away = false, late.forEach((then) => then())")
    await tab.until(f"{BELL} === '1 unread notification' && colleagues.size")


async def test_who_signs_in_again_while_the_page_reconnects_has_one_socket(browser: Browser, site: str) -> None:
    tab = await look_at_one(browser, site)
    later = "window.late = []; window.setTimeout = (then) => late.push(then) && late.length;"
    later += "window.clearTimeout = (which) => { late[which - 1] = undefined; };"
    await tab.run(f"{later} sockets.at(-1).onclose({{ code: 1006 }}), signOut(), token = 't2', connection.open()")
    assert await tab.run("sockets.length") == 2
    await tab.run("late.forEach((then) => then?.())")  # also what would have reconnected
    assert await tab.run("sockets.length") == 2


async def test_without_a_connection_staff_are_told_so_in_words(browser: Browser, site: str) -> None:
    tab = await look_at_one(browser, site)
    await tab.run("window.fetch = async () => { throw new TypeError('Failed to fetch'); }")
    await tab.run("document.querySelector('[data-command=claim]').click()")
    await tab.until("document.getElementById('alert').textContent.includes('cannot be reached')")
    assert await tab.run(f"{LIST}.length") == 2
