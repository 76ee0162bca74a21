"""What guests meet on their page, and both on the two pages, where this machine has a browser."""

import json
from datetime import UTC, datetime

import pytest

from tests.api import PASSWORD, Api
from tests.browser import PROGRAM, SOCKETS, Browser, Tab
from tests.pages import BUBBLES, CHANGES, said, write

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no browser is installed")

SESSION = {"token": "t1", "visitorId": "v1"}
SENT = "sockets.at(-1).sent.filter((each) => each.type === 'send_message').map((each) => each.payload.content)"
ALL_SENT = "sockets.flatMap((each) => each.sent).filter((each) => each.type === 'send_message').map((each) => each.id)"


@pytest.fixture
async def chat(browser: Browser, site: str) -> Tab:
    """A guest's page that has its session."""
    return await _chat(browser, site, await browser.profile())


async def _chat(browser: Browser, site: str, profile: str, *, first: str = "") -> Tab:
    tab = await browser.open(f"{site}/?property=seaview", profile, first=SOCKETS + first)
    await _greet(tab)
    return tab


async def _greet(tab: Tab, **session: str) -> None:
    await tab.until("sockets.at(-1)?.sent.length")
    await tab.tell("session", SESSION | session)


async def test_a_guest_and_staff_talk_by_the_two_pages(browser: Browser, api: Api, working: None, hotel: str) -> None:
    guest = await browser.open(f"{api.url}/?property={hotel}", await browser.profile(), first="")
    await write(guest, "When is breakfast?")
    await _shows(guest, "Answer to When is breakfast?")
    await write(guest, "I want to talk to a person")
    await guest.run("location.reload()")
    await _shows(guest, "I want to talk to a person")

    marta = await api.hire(hotel)
    staff = await browser.open(f"{api.url}/staff", await browser.profile(), first="")
    await _sign_in(staff, marta.email, "a wrong password")
    await staff.until("document.getElementById('alert').textContent.includes('password')")
    await _sign_in(staff, marta.email, PASSWORD)
    await staff.until("document.querySelectorAll('#list button').length")
    await staff.run("document.querySelector('#list button').click()")
    await _shows(staff, "I want to talk to a person")
    await staff.run("document.querySelector('[data-command=claim]').click()")
    await guest.until("document.body.innerText.includes('Marta Reis')")
    await staff.until("document.getElementById('facts').textContent.includes('answer by')")
    await write(staff, "Marta here, at your service.")
    await _shows(guest, "Marta here, at your service.")
    await staff.until("!document.getElementById('facts').textContent.includes('answer by')")
    await write(guest, "Thank you, Marta")
    await _shows(staff, "Thank you, Marta")
    await _choose(guest, "lamp.txt", "It flickers.")
    await guest.until("document.querySelector('#messages a')?.innerText === 'lamp.txt'")
    await staff.until("document.querySelector('#messages button')?.innerText === 'lamp.txt'")
    assert await guest.run(f"{BUBBLES}.filter((each) => each.includes('lamp.txt')).length") == 1


async def _sign_in(tab: Tab, email: str, password: str) -> None:
    for name, value in (("email", email), ("password", password)):
        await tab.run(f"document.getElementById({name!r}).value = {json.dumps(value)}")
    await tab.run("document.getElementById('login').requestSubmit()")


async def _choose(tab: Tab, name: str, content: str) -> None:
    """As somebody who chooses a file to send."""
    await tab.run(
        f"const file = new File([{content!r}], {name!r}, {{ type: 'text/plain' }}), chosen = new DataTransfer();"
        "chosen.items.add(file);"
        "const field = document.getElementById('file'); field.files = chosen.files;"
        "field.dispatchEvent(new Event('change'))"
    )


async def _shows(tab: Tab, text: str) -> None:
    await tab.until(f"{BUBBLES}.some((each) => each.includes({json.dumps(text)}))")


# --- the guest's page ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (
            "{ ok: false, json: async () => ({ detail: 'film.exe: files of this type are refused' }) }",
            "type are refused",
        ),
        (
            "{ ok: false, json: async () => ({ code: 'media_refused', detail: 'accepted are image/*, text/plain' }) }",
            "files of this kind are not accepted.",
        ),
        ("Promise.reject(new TypeError('Failed to fetch'))", "no connection"),
    ],
)
async def test_a_file_that_is_not_taken_says_why(chat: Tab, answer: str, shown: str) -> None:
    await chat.run(f"window.fetch = async () => ({answer})")
    await _choose(chat, "film.exe", "It flickers.")
    await chat.until(f"{BUBBLES}.some((each) => each.includes('film.exe') && each.includes({shown!r}))")
    assert await chat.run(SENT) == []
    later = said(1, "Anything else?")
    later["message"]["createdAt"] = "2126-01-01T10:00:00Z"
    await chat.tell("message", later)
    assert "Anything else?" in (await chat.run(BUBBLES))[-1]


async def _acknowledge(tab: Tab, number: int) -> None:
    """Answers the newest message of the page."""
    newest = await tab.run("sockets.at(-1).sent.findLast((each) => each.type === 'send_message').id")
    await tab.tell("ack", {"messageId": f"m{number}"}, id=newest)


async def test_what_is_refused_for_now_is_not_overtaken(chat: Tab) -> None:
    await chat.run("say('One')")
    await chat.run("hear('error', { code: 'unavailable' }, { id: sockets.at(-1).sent.at(-1).id })")
    await chat.run("say('Two')")
    assert await chat.run(SENT) == ["One"]
    await chat.until(f"{SENT}.length === 2")
    await _acknowledge(chat, 1)
    assert await chat.run(SENT) == ["One", "One", "Two"]


async def test_what_can_never_be_sent_holds_nothing_up(chat: Tab) -> None:
    await chat.run("say('One'), say('Two')")
    await chat.run("hear('error', { code: 'malformed', detail: 'no' }, { id: sockets.at(-1).sent.at(-1).id })")
    assert await chat.run(SENT) == ["One", "Two"]
    assert "Not sent: no" in (await chat.run(BUBBLES))[0]


async def test_a_connection_that_is_dead_without_having_been_closed_is_given_up(chat: Tab) -> None:
    await chat.run("window.setTimeout = (then, after) => { window.waits = { then, after }; }, say('One')")
    assert await chat.run("sockets.length") == 1
    assert await chat.run("waits.after") >= 10_000
    await chat.run("waits.then(), waits.then(), waits.then()")  # it is time, it is closed, and it is time to come back
    assert await chat.run("sockets.length") == 2


async def test_a_connection_that_died_while_nobody_wrote_is_given_up(browser: Browser, site: str) -> None:
    pulse = "window.setInterval = (then) => { window.pulse = then; };"
    chat = await _chat(browser, site, await browser.profile(), first=pulse)
    for _ in range(2):
        await chat.run("pulse()")
        assert await chat.run("sockets.at(-1).sent.at(-1)") == {"type": "ping", "payload": {}, "id": "ping"}
        await chat.tell("ack", {}, id="ping")
    await chat.run("sockets.at(-1).close = () => {}")  # the other end of a dead connection says nothing
    await chat.run("pulse(), pulse()")
    await chat.until("sockets.length === 2")
    await chat.run("sockets[0].onclose({ code: 1006, reason: '' })")  # the browser gives up at last
    await chat.run("pulse()")  # nothing was heard on the new one
    await chat.until("sockets.length === 3")


async def test_tabs_of_one_browser_lose_nothing_of_each_other(browser: Browser, site: str) -> None:
    profile = await browser.profile()
    one, two = [await _chat(browser, site, profile) for _ in range(2)]
    await one.run("say('Of the first')")
    await two.run("say('Of the second')")
    again = await _chat(browser, site, profile)
    assert [each.split("\n")[-3] for each in await again.run(BUBBLES)] == ["Of the first", "Of the second"]
    assert await again.run(SENT) == ["Of the first"]


async def test_tabs_of_one_browser_are_one_visitor(browser: Browser, site: str) -> None:
    profile = await browser.profile()
    one, two = [await browser.open(f"{site}/?property=seaview", profile) for _ in range(2)]
    await _greet(one, token="of one")
    await two.run("say('Hello')")
    await two.until("localStorage.getItem('gateway:seaview')?.includes('of one')")
    await _greet(two, token="of two")
    await two.until("sockets.length === 2 && sockets[1].sent.length")
    assert await two.run("sockets[0].sent.concat(sockets[1].sent).map((each) => [each.type, each.payload.token])") == [
        ["auth", None],
        ["auth", "of one"],
    ]


async def test_tabs_that_open_at_the_same_moment_are_one_visitor_after_it(browser: Browser, site: str) -> None:
    profile = await browser.profile()
    one, two = [await browser.open(f"{site}/?property=seaview", profile) for _ in range(2)]
    await _greet(one, token="of one")
    await two.until("localStorage.getItem('gateway:seaview')?.includes('of one')")
    await two.run("delete localStorage['gateway:seaview']")  # as if it had not heard of it yet
    await _greet(two, token="of two", visitorId="v2")
    await one.until("sockets.length === 2 && sockets[1].sent.length")
    assert await one.run("sockets[1].sent[0].payload.token") == "of two"


async def test_a_browser_that_lets_pages_keep_nothing_can_chat(browser: Browser, site: str) -> None:
    blocked = (
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('', 'SecurityError'); } });"
    )
    tab = await _chat(browser, site, await browser.profile(), first=blocked)
    await tab.run("say('Hello')")
    assert await tab.run(SENT) == ["Hello"]


async def test_what_a_guest_pastes_is_not_cut(chat: Tab) -> None:
    await write(chat, "🍳" * 4097)
    assert await chat.run("document.getElementById('content').validationMessage") == (
        "Too long by 1 characters. Please split it."
    )
    assert await chat.run("document.getElementById('content').value") == "🍳" * 4097
    assert await chat.run(SENT) == []
    await chat.run("document.getElementById('content').value = ''")
    await write(chat, "🍳" * 4096)
    assert await chat.run(SENT) == ["🍳" * 4096]


async def test_a_message_of_another_day_has_its_date(chat: Tab) -> None:
    today = said(2, "Now")
    today["message"]["createdAt"] = datetime.now(UTC).isoformat()
    await chat.tell("message", said(1, "Then"))
    await chat.tell("message", today)
    then, now = await chat.run("[...document.querySelectorAll('#messages small')].map((each) => each.innerText)")
    assert "2026" in then
    assert str(datetime.now(UTC).year) not in now


@pytest.mark.parametrize("path", ["/?property=seaview", "/staff"])
async def test_each_paragraph_runs_in_the_direction_of_its_words(browser: Browser, site: str, path: str) -> None:
    tab = await browser.open(f"{site}{path}", await browser.profile())
    places = await tab.run("""(() => {
      for (const each of ["desk", "one"]) document.getElementById(each)?.removeAttribute("hidden");
      const words = document.createElement("p");
      words.textContent = "7 مرحبا";
      document.getElementById("messages").append(words);
      return [...words.textContent].map((_, at) => {
        const range = document.createRange();
        range.setStart(words.firstChild, at), range.setEnd(words.firstChild, at + 1);
        return range.getBoundingClientRect().left;
      });
    })()""")
    assert places[0] > places[2] > places[-1]
    assert await tab.run("getComputedStyle(document.getElementById('content')).unicodeBidi") == "plaintext"


MARKS = (
    "sockets.at(-1).sent.filter((each) => each.payload.messageId).map((each) => [each.type, each.payload.messageId])"
)


async def test_nobody_writes_to_a_hotel_that_is_not_there(chat: Tab) -> None:
    await chat.run("sockets.at(-1).onclose({ code: 4403, reason: 'no such property' })")
    assert await chat.run("document.getElementById('status').textContent") == (
        "This chat is not available (no such property)."
    )
    assert await chat.run("document.getElementById('form').hidden")


async def test_what_came_while_nobody_looked_is_read_once_somebody_does(chat: Tab) -> None:
    await chat.run("Object.defineProperty(document, 'visibilityState', { get: () => window.looks ?? 'hidden' })")
    await chat.tell("message", said(1, "Hello"))
    await chat.tell("message", said(1, "Hello", state="delivered"))
    assert await chat.run(MARKS) == [["delivered", "m1"]]
    await chat.run("window.looks = 'visible', document.dispatchEvent(new Event('visibilitychange'))")
    assert await chat.run(MARKS) == [["delivered", "m1"], ["read", "m1"]]


async def test_a_message_told_again_is_not_read_out_again(chat: Tab) -> None:
    await chat.tell("message", said(1, "Hello"))
    await chat.run(CHANGES)
    await chat.tell("message", said(1, "Hello", state="read"))
    assert await chat.run("Promise.resolve().then(() => changes)") == 0


async def test_a_guest_who_reads_further_up_stays_there(chat: Tab) -> None:
    for number in range(40):
        await chat.tell("message", said(number, f"Message {number}"))
    await chat.run("document.getElementById('messages').scrollTop = 10")
    await chat.tell("message", said(41, "News"))
    assert await chat.run("document.getElementById('messages').scrollTop") == 10
    await chat.run("say('Mine')")
    assert await chat.run("document.getElementById('messages').scrollTop") > 100


async def test_a_guest_whose_clock_is_ahead_reads_in_the_order_of_the_server(chat: Tab) -> None:
    await chat.run("say('When is breakfast?')")
    await _acknowledge(chat, 1)
    await chat.tell("message", said(2, "At seven"))
    await chat.tell("message", said(1, "When is breakfast?", "guest"))
    assert [each.split("\n")[-3] for each in await chat.run(BUBBLES)] == ["When is breakfast?", "At seven"]
