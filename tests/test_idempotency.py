"""`Idempotency-Key`: one effect and one answer, whatever comes in between."""

import asyncio
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from activities.storage.database import Database
from activities.storage.idempotency import SWEPT_AT_ONCE, Claim, IdempotencyKeys
from api.main import create_app
from contracts.problems import StorageAway
from embedded import PostgresServer
from settings import Settings
from tests.api import PASSWORD, Api, Person, answered, problem, running_api
from tests.support import Stack

TASKS = "/api/v1/tasks"
SOON = (datetime.now(UTC) + timedelta(days=2)).isoformat()


@pytest.fixture
async def agent(api: Api, hotel: str) -> Person:
    return await api.person(hotel)


@pytest.fixture
async def manager(api: Api, hotel: str) -> Person:
    return await api.person(hotel, role="manager")


@pytest.fixture
async def talk(working: None, stack: Stack) -> str:
    return await answered(stack)


@pytest.fixture
def keyed() -> Mapping[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())}


def _task(hotel: str, **changes: Any) -> dict[str, Any]:
    return {"propertyId": hotel, "department": "housekeeping", "title": "Towels for 204"} | changes


class _Forgetful(IdempotencyKeys):
    """Dies, as far as its callers can tell, between the effect and the keeping of its answer."""

    async def keep(self, key: str, attempt: str, answer: bytes) -> None:
        raise StorageAway("gone")


class _Held(IdempotencyKeys):
    """Holds the first answer back until it is let go."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.made, self.go_on = asyncio.Event(), asyncio.Event()

    async def keep(self, key: str, attempt: str, answer: bytes) -> None:
        self.made.set()
        await self.go_on.wait()
        await super().keep(key, attempt, answer)


async def _lease_ends(database: Database) -> None:
    await _touch(database, "UPDATE idempotency_keys SET leased_until = :past WHERE answer IS NULL")


async def _touch(database: Database, statement: str) -> None:
    async with database.begin() as connection:
        await connection.execute(text(statement), {"past": datetime.now(UTC) - timedelta(hours=25)})


async def test_the_same_request_is_answered_as_before(agent: Person, hotel: str, keyed: Mapping[str, str]) -> None:
    first = await agent.http.post(TASKS, json=_task(hotel), headers=keyed)
    assert "idempotent-replayed" not in first.headers
    again = await agent.http.post(TASKS, json=_task(hotel), headers=keyed)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    for name in ("content-type", "etag", "location"):
        assert again.headers[name] == first.headers[name]
    assert again.headers["idempotent-replayed"] == "true"


async def test_another_body_under_the_key_is_refused(agent: Person, hotel: str, keyed: Mapping[str, str]) -> None:
    first = await agent.http.post(TASKS, json=_task(hotel), headers=keyed)
    other = await agent.http.post(TASKS, json=_task(hotel, title="Pillows for 204"), headers=keyed)
    assert problem(other) == (422, "idempotency_key_reused")
    assert (await agent.http.post(TASKS, json=_task(hotel), headers=keyed)).json() == first.json()


async def test_of_many_at_once_one_is_made_and_the_rest_are_told_so(
    api: Api, agent: Person, hotel: str, keyed: Mapping[str, str], database: Database
) -> None:
    held = _Held(database)
    api.change(idempotency_keys=held)
    first = asyncio.create_task(agent.http.post(TASKS, json=_task(hotel), headers=keyed))
    await held.made.wait()
    meanwhile = await asyncio.gather(*(agent.http.post(TASKS, json=_task(hotel), headers=keyed) for _ in range(5)))
    assert {problem(each) for each in meanwhile} == {(409, "idempotency_key_in_flight")}
    assert {each.headers["retry-after"] for each in meanwhile} == {"1"}
    other = await agent.http.post(TASKS, json=_task(hotel, title="Pillows"), headers=keyed)
    assert problem(other) == (422, "idempotency_key_reused")
    held.go_on.set()
    made = await first
    assert made.status_code == 201
    assert (await agent.http.post(TASKS, json=_task(hotel), headers=keyed)).json() == made.json()


async def test_twenty_at_once_have_one_effect(agent: Person, hotel: str, keyed: Mapping[str, str]) -> None:
    answers = await asyncio.gather(*(agent.http.post(TASKS, json=_task(hotel), headers=keyed) for _ in range(20)))
    assert {each.status_code for each in answers} <= {201, 409}
    assert len({each.json()["id"] for each in answers if each.status_code == 201}) == 1
    assert len((await agent.http.get(TASKS)).json()["items"]) == 1


async def test_a_process_that_dies_before_the_answer_is_kept_has_its_effect_once(
    talk: str, api: Api, agent: Person, keyed: Mapping[str, str], database: Database
) -> None:
    kept = api.state.idempotency_keys
    api.change(idempotency_keys=_Forgetful(database))
    lost = await agent.http.post(f"{talk}/messages", json={"content": "Here I am"}, headers=keyed)
    api.change(idempotency_keys=kept)
    waiting = await agent.http.post(f"{talk}/messages", json={"content": "Here I am"}, headers=keyed)
    assert problem(waiting) == (409, "idempotency_key_in_flight")
    await _lease_ends(database)
    again = await agent.http.post(f"{talk}/messages", json={"content": "Here I am"}, headers=keyed)
    assert (again.status_code, again.json()["id"]) == (201, lost.json()["id"])
    replayed = await agent.http.post(f"{talk}/messages", json={"content": "Here I am"}, headers=keyed)
    assert replayed.content == again.content


async def test_keys_are_of_one_caller_and_one_address(
    api: Api, agent: Person, hotel: str, talk: str, keyed: Mapping[str, str]
) -> None:
    colleague = await api.person(hotel)
    mine = await agent.http.post(TASKS, json=_task(hotel), headers=keyed)
    theirs = await colleague.http.post(TASKS, json=_task(hotel, title="Pillows"), headers=keyed)
    claimed = await agent.http.post(f"{talk}/claim", headers=keyed)
    assert (mine.status_code, theirs.status_code, claimed.status_code) == (201, 201, 200)


async def test_a_refusal_that_was_decided_stands_and_a_mistake_may_be_mended(
    api: Api, agent: Person, hotel: str, talk: str, keyed: Mapping[str, str]
) -> None:
    colleague = await api.person(hotel)
    await colleague.http.post(f"{talk}/claim")
    assert problem(await agent.http.post(f"{talk}/claim", headers=keyed)) == (409, "held_by_other")
    await colleague.http.post(f"{talk}/unassign")
    assert problem(await agent.http.post(f"{talk}/claim", headers=keyed)) == (409, "held_by_other")
    mistaken = await agent.http.post(TASKS, json=_task(hotel, department="stables"), headers=keyed)
    assert problem(mistaken) == (422, "invalid")
    assert (await agent.http.post(TASKS, json=_task(hotel), headers=keyed)).status_code == 201


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "schlüssel"])
@pytest.mark.parametrize("path", [TASKS, "/api/v1/auth/logout", "/api/v1/auth/refresh"])
async def test_a_bad_key_is_told_wherever_it_is_sent(agent: Person, hotel: str, path: str, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode())]
    response = await agent.http.post(path, json=_task(hotel), headers=httpx.Headers(headers))
    assert problem(response) == (422, "invalid")
    assert response.json()["field"] == "Idempotency-Key"


async def test_a_form_is_the_same_whatever_boundary_its_sender_made_up(
    agent: Person, hotel: str, keyed: Mapping[str, str]
) -> None:
    async def upload(content: bytes, boundary: str) -> httpx.Response:
        return await agent.http.post(
            "/api/v1/media",
            data={"propertyId": hotel},
            files={"file": ("menu.txt", content)},
            headers={**keyed, "Content-Type": f"multipart/form-data; boundary={boundary}"},
        )

    first, again = await upload(b"Soup", "one"), await upload(b"Soup", "another")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert problem(await upload(b"Fish", "one")) == (422, "idempotency_key_reused")


async def test_signing_in_under_a_key_opens_one_session(api: Api, hotel: str, keyed: Mapping[str, str]) -> None:
    staff = await api.hire(hotel)
    credentials = {"email": staff.email, "password": PASSWORD}
    one, two = [await api.http.post("/api/v1/auth/login", json=credentials, headers=keyed) for _ in range(2)]
    assert (one.status_code, two.content) == (200, one.content)
    guess = await api.http.post("/api/v1/auth/login", json=credentials | {"password": "wrong"}, headers=keyed)
    assert problem(guess) == (422, "idempotency_key_reused")


async def test_what_is_kept_tells_nothing(
    agent: Person, hotel: str, keyed: Mapping[str, str], stack: Stack, settings: Settings
) -> None:
    await agent.http.post(TASKS, json=_task(hotel, title="A secret towel"), headers=keyed)
    rows = await stack.rows("SELECT * FROM idempotency_keys WHERE answer IS NOT NULL")
    assert rows
    told = repr(rows)
    assert all(word not in told for word in (keyed["Idempotency-Key"], "secret towel", agent.staff.id, hotel))


async def test_without_storage_commands_go_on_and_have_their_effect_once(
    talk: str, settings: Settings, hotel: str, keyed: Mapping[str, str]
) -> None:
    settings.database.url = "postgresql://nobody@127.0.0.1:1/nothing"
    async with running_api(settings) as blind:
        agent = await blind.person(hotel)
        one, two = [
            await agent.http.post(f"{talk}/messages", json={"content": "Here I am"}, headers=keyed) for _ in range(2)
        ]
    assert (one.status_code, two.status_code) == (201, 201)
    assert one.json()["id"] == two.json()["id"]


async def test_a_storage_that_only_reads_is_as_good_as_away(
    talk: str, settings: Settings, hotel: str, keyed: Mapping[str, str], tmp_path: Path
) -> None:
    """As PostgreSQL does after another has become the primary, and where its provider saves the last of a disk."""
    async with PostgresServer(tmp_path) as server:
        settings.database.url = server.url
        database = Database(settings.database)
        await database.migrate()
        async with running_api(settings) as api:
            staff, agent = await api.hire(hotel), await api.person(hotel)
            async with database.read() as connection:
                await connection.execute(text("ALTER DATABASE postgres SET default_transaction_read_only = on"))
            await api.state.database.close()  # it takes connections anew
            said = [
                await agent.http.post(f"{talk}/messages", json={"content": "Here I am"}, headers=keyed)
                for _ in range(2)
            ]
            assert problem(await api.login(staff.email)) == (503, "storage_away")
        await database.close()
    assert [each.status_code for each in said] == [201, 201]
    assert said[0].json()["id"] == said[1].json()["id"]


async def test_an_outage_is_not_kept_as_an_answer(
    agent: Person, settings: Settings, hotel: str, keyed: Mapping[str, str], api: Api
) -> None:
    settings.temporal.address = "127.0.0.1:1"
    async with running_api(settings) as deaf:
        same = await deaf.client(agent.token)
        assert problem(await same.post(TASKS, json=_task(hotel), headers=keyed)) == (503, "unavailable")
    assert (await agent.http.post(TASKS, json=_task(hotel), headers=keyed)).status_code == 201


async def test_a_key_is_free_again_after_a_day_and_old_rows_are_swept(database: Database) -> None:
    keys, names = IdempotencyKeys(database), [uuid.uuid4().hex for _ in range(SWEPT_AT_ONCE)]
    await _touch(database, "DELETE FROM idempotency_keys WHERE expires_at > :past")
    for name in names:
        await keys.claim(name, "asked", "first")
        await keys.keep(name, "first", b"answer")
    assert await keys.claim(names[0], "asked", "second") == Claim(False, "asked", b"answer")
    await _touch(database, "UPDATE idempotency_keys SET expires_at = :past")
    third = await keys.claim(names[0], "asked otherwise", "third")
    assert (third.made, third.fingerprint, third.answer) == (True, "asked otherwise", None)
    await keys.keep(names[0], "first", b"too late")
    assert await keys.claim(names[0], "asked otherwise", "fourth") == Claim(False, "asked otherwise")
    async with database.begin() as connection:
        left = await connection.scalar(
            text("SELECT count(*) FROM idempotency_keys WHERE id = ANY(:names)"), {"names": names}
        )
    assert left == 1


async def test_a_key_after_a_day_is_another_request_s_with_effects_of_its_own(
    talk: str, api: Api, agent: Person, hotel: str, keyed: Mapping[str, str], database: Database
) -> None:
    """The day before yesterday's message was answered again, and nothing was said to the guest."""
    manager = await api.person(hotel, role="admin")
    endpoint = {"propertyId": hotel, "url": "https://pms.hotel.example/hooks", "eventTypes": ["task.*"]}

    async def ask() -> list[httpx.Response]:
        return [
            await agent.http.post(f"{talk}/messages", json={"content": "Here I am"}, headers=keyed),
            await agent.http.post(TASKS, json=_task(hotel), headers=keyed),
            await agent.http.post(f"{talk}/snooze", json={"until": SOON}, headers=keyed),
            await manager.http.post("/api/v1/webhook-endpoints", json=endpoint, headers=keyed),
        ]

    first = await ask()
    api.change(idempotency_keys=IdempotencyKeys(database, now=lambda: datetime.now(UTC) + timedelta(hours=25)))
    later = await ask()
    assert [each.status_code for each in (*first, *later)] == [201, 201, 200, 201] * 2
    assert all("idempotent-replayed" not in each.headers for each in later)
    said, tasks, _, hooks = zip(*(map(httpx.Response.json, each) for each in (first, later)), strict=True)
    assert all(one["id"] != two["id"] for one, two in (said, tasks, hooks))
    told = (await agent.http.get(f"{talk}/messages")).json()["items"]
    assert [each["content"] for each in told].count("Here I am") == 2
    assert [each.content for each in await ask()] == [each.content for each in later]


async def test_a_request_stays_the_same_however_often_it_is_let_go(database: Database) -> None:
    """It may have had its effect, and by the day on which it first came it is known."""
    began, name = datetime.now(UTC), uuid.uuid4().hex
    for hours in range(0, 100, 20):
        now = began + timedelta(hours=hours)
        keys = IdempotencyKeys(database, now=lambda now=now: now)  # type: ignore[misc]
        assert await keys.claim(name, f"asked {hours}", f"{hours}") == Claim(True, f"asked {hours}", began_at=began)
        other = await keys.claim(name, "asked otherwise", "meanwhile")
        assert other == Claim(False, f"asked {hours}")
        await keys.release(name, f"{hours}")


async def test_a_request_that_first_came_to_an_older_release_keeps_its_ids(database: Database) -> None:
    keys, name = IdempotencyKeys(database), uuid.uuid4().hex
    await keys.claim(name, "asked", "first")
    await _touch(database, "UPDATE idempotency_keys SET began_at = NULL, leased_until = :past WHERE answer IS NULL")
    assert await keys.claim(name, "asked", "second") == Claim(True, "asked")
    await keys.release(name, "second")
    assert await keys.claim(name, "asked", "third") == Claim(True, "asked")
    await _touch(database, "UPDATE idempotency_keys SET expires_at = :past")
    assert (await keys.claim(name, "asked", "fourth")).began_at is not None


def test_every_post_of_the_interface_tells_of_the_key(settings: Settings) -> None:
    described = create_app(settings).openapi()
    for path, operations in described["paths"].items():
        if path.startswith("/api/v1/") and "post" in operations:
            names = [each.get("name") for each in operations["post"].get("parameters", ())]
            assert names.count("Idempotency-Key") == 1, path
            assert {"409", "422"} <= operations["post"]["responses"].keys(), path
