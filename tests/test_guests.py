"""Guests who are one person: found, merged and taken apart over REST."""

import uuid
from typing import Any

import pytest

from activities.storage.contacts import Contacts
from activities.storage.database import Database
from contracts.events import ContactLookup
from tests.api import Api, Person, problem
from tests.fakes.ai import FakeAI
from tests.guests import add_contact, add_guest
from tests.support import Guest, Stack

GUESTS = "/api/v1/guests"


@pytest.fixture
async def manager(api: Api, hotel: str) -> Person:
    return await api.person(hotel, role="manager")


async def _get(person: Person, guest_id: str) -> dict[str, Any]:
    answer = await person.http.get(f"{GUESTS}/{guest_id}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def _merge(person: Person, guest_id: str, into: str) -> dict[str, Any]:
    answer = await person.http.post(f"{GUESTS}/{guest_id}/merge", json={"into": into})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def _ids(person: Person, **query: str) -> list[str]:
    answer = await person.http.get(GUESTS, params=query)
    return [each["id"] for each in answer.json()["items"]]


def _addresses(guest: dict[str, Any]) -> set[str]:
    return {each["senderId"] for each in guest["contacts"]}


async def test_a_merge_makes_one_of_two_and_an_undo_gives_both_back(
    api: Api, manager: Person, hotel: str, database: Database
) -> None:
    one = await add_guest(database, hotel, sender_id="+351910000001", name="Ana", preferences={"pillow": "soft"})
    two = await add_guest(database, hotel, sender_id="+351910000002", language="pt", preferences={"floor": "3"})
    were = [await _get(manager, each) for each in (one, two)]
    merged = await _merge(manager, one, into=two)
    assert (merged["id"], merged["name"], merged["language"]) == (two, "Ana", "pt")
    assert merged["preferences"] == {"pillow": "soft", "floor": "3"}
    assert _addresses(merged) == {"+351910000001", "+351910000002"}
    assert merged["mergedGuestIds"] == [one]
    assert (await _get(manager, one))["id"] == two
    assert await _ids(manager) == [two]
    assert await _merge(manager, one, into=two) == merged

    undone = await manager.http.post(f"{GUESTS}/{one}/unmerge")
    assert (undone.status_code, undone.json()["id"]) == (200, one)
    assert [await _get(manager, each) for each in (one, two)] == were
    assert sorted(await _ids(manager)) == sorted([one, two])
    assert (await manager.http.post(f"{GUESTS}/{one}/unmerge")).json() == undone.json()


async def test_what_came_since_a_merge_stays_with_its_own_after_the_undo(
    manager: Person, hotel: str, database: Database
) -> None:
    one = await add_guest(database, hotel, sender_id="+351910000001", name="Ana")
    two = await add_guest(database, hotel, sender_id="+351910000002")
    await _merge(manager, one, into=two)
    await add_contact(database, hotel, one, sender_id="+351910000003")
    await manager.http.patch(f"{GUESTS}/{one}", json={"language": "pt", "preferences": {"tea": "green"}})
    merged = await _get(manager, two)
    assert (merged["language"], len(merged["contacts"])) == ("pt", 3)
    await manager.http.post(f"{GUESTS}/{one}/unmerge")
    first, second = await _get(manager, one), await _get(manager, two)
    assert _addresses(first) == {"+351910000001", "+351910000003"}
    assert (first["name"], first["language"], first["preferences"]) == ("Ana", None, {})
    assert _addresses(second) == {"+351910000002"}
    assert (second["name"], second["language"], second["preferences"]) == (None, "pt", {"tea": "green"})


async def test_merges_of_merges_are_undone_from_the_top(manager: Person, hotel: str, database: Database) -> None:
    one, two, three = [await add_guest(database, hotel, name=name) for name in ("Ana", "Ben", "Cid")]
    were = [await _get(manager, each) for each in (one, two, three)]
    await _merge(manager, one, into=two)
    between = await _get(manager, two)
    assert sorted((await _merge(manager, two, into=three))["mergedGuestIds"]) == sorted([one, two])
    assert (await _get(manager, one))["id"] == three
    too_early = await manager.http.post(f"{GUESTS}/{one}/unmerge")
    assert problem(too_early) == (409, "wrong_state")
    assert too_early.json()["guestId"] == two
    await manager.http.post(f"{GUESTS}/{two}/unmerge")
    assert await _get(manager, one) == await _get(manager, two) == between
    await manager.http.post(f"{GUESTS}/{one}/unmerge")
    assert [await _get(manager, each) for each in (one, two, three)] == were


async def test_a_merge_that_cannot_be_says_why(api: Api, manager: Person, hotel: str, database: Database) -> None:
    elsewhere = f"elsewhere-{uuid.uuid4().hex[:8]}"
    one, two, three = [await add_guest(database, hotel) for _ in range(3)]
    far = await add_guest(database, elsewhere)
    both = await api.person(hotel, elsewhere, role="admin")
    await _merge(manager, one, into=two)

    async def refused(guest_id: str, into: str, by: Person = manager) -> tuple[int, str]:
        return problem(await by.http.post(f"{GUESTS}/{guest_id}/merge", json={"into": into}))

    assert await refused("nobody", two) == (404, "not_found")
    assert await refused(three, "nobody") == (422, "invalid")
    assert await refused(three, three) == (422, "invalid")
    assert await refused(two, one) == (422, "invalid")
    assert await refused(three, one) == (422, "invalid")
    assert await refused(one, three) == (409, "wrong_state")
    assert await refused(three, far) == (403, "forbidden")
    assert await refused(three, far, both) == (422, "invalid")
    agent = await api.person(hotel)
    assert await refused(three, two, agent) == (403, "forbidden")
    for path in (f"{GUESTS}/{one}/unmerge", f"{GUESTS}/{one}/export"):
        assert problem(await agent.http.post(path)) == (403, "forbidden")
        assert problem(await (await api.person(elsewhere, role="admin")).http.post(path)) == (403, "forbidden")
    assert problem(await agent.http.delete(f"{GUESTS}/{one}")) == (403, "forbidden")
    assert problem(await manager.http.post(f"{GUESTS}/nobody/unmerge")) == (404, "not_found")


async def test_guests_are_found_by_name_and_address(manager: Person, hotel: str, database: Database) -> None:
    one = await add_guest(database, hotel, sender_id="+351910000001", name="Ana")
    two = await add_guest(database, hotel, sender_id="+351920000002", name="Ben")
    assert await _ids(manager, q="an") == [one]
    assert await _ids(manager, q="+35192") == [two]
    assert await _ids(manager, q="%") == []
    await _merge(manager, one, into=two)
    assert await _ids(manager, q="+35191") == [two]
    assert await _ids(manager, q="ana") == []


async def test_who_writes_is_known_by_the_profile_of_the_one_person(
    manager: Person, hotel: str, database: Database
) -> None:
    one = await add_guest(database, hotel, sender_id="+351910000001")
    two = await add_guest(database, hotel, sender_id="+351910000002", name="Ben", language="pt", autonomy="draft")
    key = await add_contact(database, hotel, one, sender_id="+351910000003")
    await _merge(manager, one, into=two)
    lookup = ContactLookup(
        property_id=hotel,
        channel_type="sms",
        sender_id="+351910000003",
        contact_key=key,
        conversation_id=f"{key}-00000000",
        message_ids=[],
    )
    facts = await Contacts(database).facts(lookup)
    assert (facts.guest_id, facts.guest_name, facts.language, facts.autonomy) == (one, "Ben", "pt", "draft")
    contact = await Contacts(database).of_guest(two, hotel, "sms")
    assert contact is not None
    assert contact.guest_name == "Ben"


async def test_a_conversation_goes_on_through_merge_and_undo(
    working: None, ai: FakeAI, stack: Stack, manager: Person, guest: Guest, hotel: str, database: Database
) -> None:
    await guest.ask("When is breakfast?")
    conversation = await guest.conversation()
    await stack.stored(conversation)
    other = await add_guest(database, hotel, name="Ana")
    await _merge(manager, conversation.guest_id, into=other)
    await guest.ask("And dinner?")
    await stack.stored(await guest.conversation())
    assert (await _get(manager, conversation.guest_id))["id"] == other
    await manager.http.post(f"{GUESTS}/{conversation.guest_id}/unmerge")
    again = await _get(manager, conversation.guest_id)
    assert (again["name"], _addresses(again)) == (None, {guest.sender_id})
    stored = (await manager.http.get(f"/api/v1/conversations/{conversation.conversation_id}")).json()
    assert stored["guestId"] == conversation.guest_id
