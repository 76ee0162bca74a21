"""The hotel's own system: who stays is shown with a guest, and without it all else works."""

import gzip
import json
import time
import tracemalloc
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from activities.hotel.http import ANSWER_BYTES, FAILURES_TO_REST, MOST_STAYS, HttpHotel, open_hotel
from activities.hotel.port import HotelAwayError
from contracts.guests import GuestContact
from settings import HttpIntegration, Settings
from tests.api import Api, running_api
from tests.fakes.ai import FakeAI
from tests.fakes.callback import FakeCallback
from tests.fakes.hotel import TOKEN, FakeHotel
from tests.fakes.server import serving
from tests.fakes.tls import wanting_a_certificate
from tests.guests import add_guest
from tests.support import Guest, Stack, command, eventually, workers

ADDRESS = "+351900000777"
CONTACT = GuestContact(property_id="seaview", channel_type="sms", sender_id=ADDRESS)
STAY = {
    "id": "R-1",
    "room": "204",
    "arrival": "2026-05-01",
    "departure": "2026-05-04",
    "status": "in_house",
    "vip": True,
}
EARLIER = {"id": "R-0", "arrival": "2025-05-01", "departure": "2025-05-04", "status": "departed"}


@pytest.fixture
async def fake() -> AsyncIterator[FakeHotel]:
    fake = FakeHotel()
    fake.stays[ADDRESS] = [EARLIER, STAY]
    async with serving(fake.app) as url:
        fake.url = url
        yield fake
        fake.let_go()


@pytest.fixture
def integration(settings: Settings, fake: FakeHotel) -> HttpIntegration:
    settings.integration.http = HttpIntegration(url=f"{fake.url}/api/", token=SecretStr(TOKEN), timeout=2_000)
    return settings.integration.http


@pytest.fixture
async def system(integration: HttpIntegration) -> AsyncIterator[HttpHotel]:
    system = open_hotel(integration)
    assert system is not None
    yield system
    await system.close()


async def test_stays_come_newest_first(system: HttpHotel, fake: FakeHotel) -> None:
    stays = await system.stays("seaview", [CONTACT])
    assert [(stay.id, stay.room, stay.status, stay.vip) for stay in stays] == [
        ("R-1", "204", "in_house", True),
        ("R-0", None, "departed", False),
    ]
    assert [(asked.property_id, asked.contacts) for asked in fake.asked] == [("seaview", [CONTACT])]


async def test_who_is_not_known_has_no_stays(system: HttpHotel) -> None:
    stranger = CONTACT.model_copy(update={"sender_id": "+351900000778"})
    assert await system.stays("seaview", [stranger]) == []


async def test_who_cannot_be_reached_is_not_asked_for(system: HttpHotel, fake: FakeHotel) -> None:
    assert await system.stays("seaview", []) == []
    assert fake.asked == []


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, None), (404, None), (401, None), (200, b"<html>"), (200, b'{"stays": [{"id": "R-1"}]}'), (200, b"{}")],
)
async def test_what_is_no_answer_is_told_without_its_words(
    system: HttpHotel, fake: FakeHotel, status: int, body: bytes | None
) -> None:
    fake.status, fake.body = status, body
    with pytest.raises(HotelAwayError) as error:
        await system.stays("seaview", [CONTACT])
    assert ADDRESS not in str(error.value)
    assert "R-1" not in str(error.value)


@pytest.mark.parametrize(
    "stays",
    [[STAY | {"id": "R" * 101}], [STAY | {"room": "2" * 101}], [STAY] * (MOST_STAYS + 1)],
    ids=["id", "room", "many"],
)
async def test_what_is_too_long_is_no_list_of_stays(
    system: HttpHotel, fake: FakeHotel, stays: list[Mapping[str, object]]
) -> None:
    fake.stays[ADDRESS] = stays
    with pytest.raises(HotelAwayError, match="did not answer a list of stays"):
        await system.stays("seaview", [CONTACT])


async def test_as_many_as_may_be_are_taken_compressed_or_not(system: HttpHotel, fake: FakeHotel) -> None:
    fake.stays[ADDRESS] = [STAY | {"id": "R" * 100, "room": "2" * 100}] * MOST_STAYS
    assert len(await system.stays("seaview", [CONTACT])) == MOST_STAYS
    fake.body, fake.headers = gzip.compress(json.dumps({"stays": [STAY]}).encode()), {"content-encoding": "gzip"}
    assert [stay.id for stay in await system.stays("seaview", [CONTACT])] == ["R-1"]


async def test_a_small_answer_that_is_huge_is_not_decoded_whole(system: HttpHotel, fake: FakeHotel) -> None:
    fake.body, fake.headers = gzip.compress(b" " * 50_000_000), {"content-encoding": "gzip"}
    tracemalloc.start()
    with pytest.raises(HotelAwayError, match=f"more than {ANSWER_BYTES} bytes"):
        await system.stays("seaview", [CONTACT])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


async def test_one_that_fails_is_left_alone_for_a_while(
    system: HttpHotel, fake: FakeHotel, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.status = 503
    for _ in range(FAILURES_TO_REST + 3):
        with pytest.raises(HotelAwayError):
            await system.stays("seaview", [CONTACT])
    assert len(fake.asked) == FAILURES_TO_REST
    assert not await system.reachable()
    fake.status = 200
    now = time.monotonic()
    monkeypatch.setattr("circuitbreaker.monotonic", lambda: now + 60)
    assert len(await system.stays("seaview", [CONTACT])) == 2
    assert await system.reachable()


async def test_one_that_does_not_answer_is_not_waited_for(integration: HttpIntegration, fake: FakeHotel) -> None:
    fake.hold()
    system = HttpHotel(f"{fake.url}/api", integration.model_copy(update={"timeout": 50}))
    with pytest.raises(HotelAwayError, match="cannot be reached"):
        await system.stays("seaview", [CONTACT])
    await system.close()


async def test_one_that_wants_a_certificate_of_ours_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with wanting_a_certificate(tmp_path) as (url, trust):
        monkeypatch.setattr("activities.hotel.http.trusted", lambda: trust)
        system = HttpHotel(url, HttpIntegration())
        assert not await system.reachable()
        with pytest.raises(HotelAwayError, match="cannot be reached"):
            await system.stays("seaview", [CONTACT])
        await system.close()


async def test_a_guest_is_shown_with_stays(integration: HttpIntegration, settings: Settings, hotel: str) -> None:
    async with running_api(settings) as api:
        person = await api.person(hotel)
        guest_id = await add_guest(api.state.database, hotel, sender_id=ADDRESS)
        guest = (await person.http.get(f"/api/v1/guests/{guest_id}")).json()
        assert guest["hotelSystem"] == "ok"
        assert guest["stays"][0] == STAY
        assert (await api.http.get("/readyz")).json()["hotelSystem"] == "ok"


async def test_profiles_come_without_stays_while_it_is_away(
    integration: HttpIntegration, fake: FakeHotel, settings: Settings, hotel: str
) -> None:
    fake.status = 500
    async with running_api(settings) as api:
        person = await api.person(hotel)
        guest_id = await add_guest(api.state.database, hotel, sender_id=ADDRESS)
        answer = await person.http.get(f"/api/v1/guests/{guest_id}")
        assert (answer.status_code, answer.json()["hotelSystem"], answer.json()["stays"]) == (200, "away", [])

        async def ready() -> bool:
            return (await api.http.get("/readyz")).status_code == 200

        await eventually(ready, what="the api to be ready without the hotel's system")
        assert (await api.http.get("/readyz")).json()["hotelSystem"] == "away"


def _texting(stack: Stack) -> Guest:
    return stack.guest(adapter="messages", channel_type="sms", sender_id=ADDRESS)


async def test_the_ai_is_told_who_stays_from_the_first_message_on(
    integration: HttpIntegration, fake: FakeHotel, working: None, stack: Stack, ai: FakeAI, callback: FakeCallback
) -> None:
    fake.stays[ADDRESS] = [EARLIER, STAY | {"vip": False}]
    guest = _texting(stack)
    assert (await guest.ask("When is breakfast?")).outcome == "answered"
    assert (await guest.ask("And in my room?")).outcome == "answered"
    told = [[(stay.id, stay.room) for stay in request.guest_profile.stays] for request in ai.requests]
    assert told == [[("R-1", "204"), ("R-0", None)]] * 2
    assert [(each.property_id, each.contacts[0].sender_id) for each in fake.asked] == [(stack.hotel, ADDRESS)]


async def test_the_ai_only_drafts_for_whom_the_hotels_system_calls_a_vip(
    integration: HttpIntegration, working: None, stack: Stack, ai: FakeAI, callback: FakeCallback
) -> None:
    guest = _texting(stack)
    outcome = await guest.ask("When is breakfast?")
    assert (outcome.outcome, outcome.reason) == ("handed", "Staff must approve the AI's answers to this guest")
    draft = (await guest.conversation()).draft
    assert draft is not None
    assert draft.content == "Answer to When is breakfast?"


async def test_where_vips_are_for_people_the_ai_is_not_asked_again(
    integration: HttpIntegration, working: None, stack: Stack, ai: FakeAI, callback: FakeCallback
) -> None:
    stack.settings.properties[stack.hotel].vip_autonomy = "off"
    guest = _texting(stack)
    await guest.ask("When is breakfast?")
    await stack.conversations.return_to_ai(command(await guest.conversation()))
    again = await guest.ask("And dinner?")
    assert (again.outcome, again.reason) == ("handed", "The AI is switched off for this guest")
    assert len(ai.requests) == 1


@pytest.mark.parametrize("hangs", [False, True], ids=["it fails", "it hangs"])
async def test_an_answer_does_not_need_the_hotels_system(
    integration: HttpIntegration, fake: FakeHotel, stack: Stack, ai: FakeAI, callback: FakeCallback, hangs: bool
) -> None:
    if hangs:
        fake.hold()
        integration.timeout = 50
    else:
        fake.status = 500
    async with workers(stack.settings, stack.client):
        assert (await _texting(stack).ask("When is breakfast?")).outcome == "answered"
    assert ai.requests[0].guest_profile.stays == []


async def test_without_one_a_guest_says_so(api: Api, hotel: str) -> None:
    person = await api.person(hotel)
    guest_id = await add_guest(api.state.database, hotel, sender_id=ADDRESS)
    guest = (await person.http.get(f"/api/v1/guests/{guest_id}")).json()
    assert (guest["hotelSystem"], guest["stays"]) == ("none", [])
