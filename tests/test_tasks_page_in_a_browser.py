"""The tasks page, against the whole product, where this machine has a browser."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api import Api, Person
from tests.browser import PROGRAM, Browser, Tab
from tests.support import Guest, eventually

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no browser is installed")

LIST = "[...document.querySelectorAll('#list li')].map((each) => each.innerText.replaceAll('\\n', ' '))"
TOLD = "document.getElementById('told').textContent"
ALERT = "document.getElementById('alert').textContent"

Look = Callable[..., Awaitable[Tab]]


@pytest.fixture
async def marta(api: Api, hotel: str) -> Person:
    return await api.signed_in(await api.hire(hotel))


@pytest.fixture
async def look(browser: Browser, api: Api, working: None) -> Look:
    async def look(person: Person, query: str = "") -> Tab:
        first = f"sessionStorage.setItem('token', {person.token!r});"
        tab = await browser.open(f"{api.url}/staff/tasks{query}", await browser.profile(), first=first)
        await tab.until("document.getElementById('heading').textContent && !document.querySelector('main').hidden")
        await tab.until("loading && (!document.getElementById('none').hidden || document.querySelector('#list li'))")
        return tab

    return look


async def _task(person: Person, title: str, **more: Any) -> dict[str, Any]:
    body = {"propertyId": person.staff.properties[0], "department": "housekeeping", "title": title, **more}
    made = await person.http.post("/api/v1/tasks", json=body)
    assert made.status_code == 201, made.text
    task: dict[str, Any] = made.json()
    return task


async def _press(tab: Tab, name: str, title: str) -> None:
    await tab.run(f"document.querySelector('[aria-label={json.dumps(f'{name}: {title}')}]').click()")


async def _create(tab: Tab, **fields: str) -> None:
    for name, value in fields.items():
        await tab.run(f"document.getElementById({name!r}).value = {json.dumps(value)}")
    await tab.run("document.getElementById('create').requestSubmit()")


async def _stored(person: Person, task: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await person.http.get(f"/api/v1/tasks/{task['id']}")).json()
    return found


async def test_a_task_goes_from_one_desk_to_another_and_is_done(
    api: Api, look: Look, marta: Person, hotel: str
) -> None:
    rui = await api.signed_in(await api.hire(hotel))
    front, upstairs = await look(marta), await look(rui)
    assert await front.run("document.getElementById('none').hidden") is False
    await _create(front, title="Two more towels for 204", department="housekeeping", priority="high")
    await upstairs.until(f"{LIST}.length === 1")
    assert (await upstairs.run(LIST))[0].startswith(
        "Two more towels for 204 high priority · housekeeping · nobody's yet"
    )
    await _press(upstairs, "Start", "Two more towels for 204")
    await front.until(f"{LIST}[0].includes('in progress · taken by Marta Reis')")
    await upstairs.run("document.getElementById('mine').click()")
    await upstairs.until(f"{LIST}[0].includes('yours')")
    await _press(upstairs, "Done", "Two more towels for 204")
    for tab in (front, upstairs):
        await tab.until(f"{LIST}.length === 0")
    assert await upstairs.run(TOLD) == "“Two more towels for 204” is done."
    await upstairs.run("document.getElementById('undo').click()")
    await front.until(f"{LIST}[0]?.includes('in progress')")
    await upstairs.until(f"{LIST}[0]?.includes('yours')")


async def test_what_somebody_else_has_changed_is_shown_before_it_is_changed_again(look: Look, marta: Person) -> None:
    task = await _task(marta, "Towels")
    tab = await look(marta)
    await tab.until(f"{LIST}.length")
    before = "window.plain = window.fetch; window.fetch = async (path, sent) => {"
    before += "if (sent.method === 'PATCH' && !window.meddled) { window.meddled = true;"
    before += "await plain(path, { ...sent, headers: { ...sent.headers, 'If-Match': '*' },"
    before += "body: JSON.stringify({ title: 'Bathrobes' }) }); } return plain(path, sent); };"
    await tab.run(before)
    await _press(tab, "Cancel", "Towels")
    await tab.until(f"{ALERT}.includes('“Towels” has just been changed')")
    assert (await tab.run(LIST))[0].startswith("Bathrobes")
    assert (await _stored(marta, task))["status"] == "open"
    await _press(tab, "Cancel", "Bathrobes")
    await tab.until(f"{TOLD} === '“Bathrobes” is cancelled.'")
    assert (await _stored(marta, task))["status"] == "cancelled"


async def test_a_page_that_has_missed_a_change_does_not_act_on_what_it_shows(look: Look, marta: Person) -> None:
    task = await _task(marta, "Towels")
    tab = await look(marta)
    await tab.until(f"{LIST}.length")
    await tab.run("token = undefined, connection.close(), token = sessionStorage.getItem('token'), undefined")
    await marta.http.patch(f"/api/v1/tasks/{task['id']}", json={"title": "Bathrobes"})
    await _press(tab, "Done", "Towels")
    await tab.until(f"{ALERT}.includes('“Bathrobes” has been changed meanwhile')")
    assert (await _stored(marta, task))["status"] == "open"
    assert (await tab.run(LIST))[0].startswith("Bathrobes")


async def test_what_is_overdue_comes_first_and_says_so(look: Look, marta: Person) -> None:
    now = datetime.now(UTC)
    await _task(marta, "Sometime", priority="urgent", department="maintenance")
    await _task(marta, "An hour ago", dueAt=(now - timedelta(hours=1)).isoformat(), priority="low")
    await _task(marta, "Tomorrow", dueAt=(now + timedelta(days=1)).isoformat())
    tab = await look(marta)
    await tab.until(f"{LIST}.length === 3")
    assert [each.split(" ")[0] for each in await tab.run(LIST)] == ["An", "Sometime", "Tomorrow"]
    assert await tab.run("document.querySelector('#list .late').textContent") == "overdue"
    assert await tab.run("document.title") == "1 · Tasks"
    await tab.run("document.getElementById('of').value = 'maintenance'")
    await tab.run("document.getElementById('of').dispatchEvent(new Event('change'))")
    await tab.until(f"{LIST}.length === 1")
    await _task(marta, "Of another department")
    await _task(marta, "The lamp", department="maintenance")
    await tab.until(f"{LIST}.length === 2")
    assert "The lamp" in (await tab.run(LIST))[1]


async def test_what_is_over_can_be_looked_at_and_opened_again(look: Look, marta: Person) -> None:
    task = await _task(marta, "Towels")
    await marta.http.patch(f"/api/v1/tasks/{task['id']}", json={"status": "done"})
    tab = await look(marta)
    assert await tab.run(LIST) == []
    await tab.run("document.getElementById('which').value = 'done'")
    await tab.run("document.getElementById('which').dispatchEvent(new Event('change'))")
    await tab.until(f"{LIST}.length === 1")
    await _press(tab, "Reopen", "Towels")
    await tab.until(f"{TOLD} === '“Towels” is open.'")
    assert (await _stored(marta, task))["status"] == "open"


async def test_a_task_of_a_conversation_leads_to_it(look: Look, marta: Person, guest: Guest) -> None:
    await guest.write("Hello")
    items = await eventually(lambda: _conversations(marta), what="the conversation")
    conversation_id = items[0]["conversationId"]
    await _task(marta, "Of nobody in particular")
    tab = await look(marta, f"?conversation={conversation_id}")
    await tab.until("document.getElementById('about').innerText.includes('Only tasks of the conversation')")
    assert await tab.run(LIST) == []
    await _create(tab, title="Fix the lamp", department="maintenance")
    await tab.until(f"{LIST}.length === 1")
    link = await tab.run("document.querySelector('#list a').getAttribute('href')")
    assert link == f"/staff?conversation={conversation_id}"
    found = (await marta.http.get("/api/v1/tasks", params={"conversationId": conversation_id})).json()["items"]
    assert [each["title"] for each in found] == ["Fix the lamp"]


async def _conversations(person: Person) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await person.http.get("/api/v1/conversations")).json()["items"]
    return found


async def test_a_creation_whose_answer_was_lost_makes_one_task(look: Look, marta: Person) -> None:
    tab = await look(marta)
    lossy = (
        "window.plain = window.fetch; window.fetch = async (path, sent) => { const answer = await plain(path, sent);"
    )
    lossy += "if (sent.method === 'POST' && path.endsWith('/tasks') && !window.dropped) { window.dropped = true;"
    lossy += "throw new TypeError('Failed to fetch'); } return answer; };"
    await tab.run(lossy)
    await _create(tab, title="Towels", department="housekeeping")
    await tab.until(f"{ALERT}.includes('cannot be reached')")
    await tab.run("document.getElementById('create').requestSubmit()")
    await tab.until(f"{TOLD} === '“Towels” has been created.'")
    assert await tab.run(f"{LIST}.length") == 1


async def test_an_impatient_finger_does_everything_once(look: Look, marta: Person) -> None:
    await _task(marta, "Towels")
    tab = await look(marta)
    await tab.until(f"{LIST}.length")
    await tab.run("[1, 2].forEach(() => document.querySelector('[aria-label^=Take]').click())")
    await tab.until(f"{TOLD} === '“Towels” is yours.'")
    assert await tab.run(ALERT) == ""
    twice = "new MouseEvent('click', { bubbles: true, detail: 2 })"  # the second of two clicks, wherever it lands
    await tab.run(f"document.querySelector('[aria-label^=Done]').dispatchEvent({twice}), undefined")
    await tab.run("document.getElementById('title').value = 'Bathrobes'")
    await tab.run("[1, 2].forEach(() => document.getElementById('create').requestSubmit())")
    await tab.until(f"{TOLD} === '“Bathrobes” has been created.'")
    assert await tab.run(f"[{ALERT}, {LIST}.length]") == ["", 2]


async def test_the_keyboard_stays_with_a_task_that_changes(look: Look, marta: Person) -> None:
    await _task(marta, "Towels")
    tab = await look(marta)
    await tab.until(f"{LIST}.length")
    await tab.run("document.querySelector('#list button').focus(), document.activeElement.click()")
    await tab.until(f"{LIST}[0].includes('yours')")
    assert await tab.run("document.activeElement.closest('li') !== null")
    await tab.run("document.querySelector('[aria-label^=Done]').focus(), document.activeElement.click()")
    await tab.until(f"{LIST}.length === 0")
    assert await tab.run("document.activeElement.id") == "heading"


async def test_tasks_have_room_on_a_telephone(look: Look, marta: Person) -> None:
    await _task(marta, "Towels" * 30, description="<b>x</b> " * 20)
    tab = await look(marta)
    await tab.until(f"{LIST}.length")
    await tab.ask("Emulation.setDeviceMetricsOverride", width=360, height=640, deviceScaleFactor=1, mobile=True)
    await tab.run("document.getElementById('new').open = true")
    assert await tab.run("document.documentElement.scrollWidth") == 360
    assert await tab.run("document.querySelectorAll('#list b').length") == 0
    await _create(tab, title="Bathrobes", department="housekeeping")
    await tab.until(f"{TOLD} === '“Bathrobes” has been created.'")
    place = "document.getElementById('told').getBoundingClientRect()"
    assert await tab.run(f"{place}.top >= 0 && {place}.bottom <= innerHeight")


async def test_a_session_that_ends_keeps_what_was_begun(api: Api, look: Look, marta: Person) -> None:
    tab = await look(marta)
    await tab.run("document.getElementById('title').value = 'Towels for'")
    await marta.http.post("/api/v1/auth/logout")
    await tab.until(f"{ALERT} === 'Your session has ended. Sign in again.'")
    assert await tab.run("document.querySelector('main').hidden")
    again = await api.signed_in(marta.staff)
    await tab.run(f"token = {again.token!r}, connection.open(), undefined")
    await tab.until("!document.querySelector('main').hidden")
    assert await tab.run("document.getElementById('title').value") == "Towels for"
