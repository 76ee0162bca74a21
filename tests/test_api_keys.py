"""Keys of programs: told once, good for what they are for, ended at once, and used while storage is away."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from activities.storage.api_keys import TRUSTED_FOR
from activities.storage.database import Database
from api.auth.permissions import permissions_of
from contracts.problems import StorageAway
from settings import Settings
from tests.api import Api, Person, pages, problem, running_api
from tests.live import opened, staff

KEYS = "/api/v1/api-keys"
TASKS = "/api/v1/tasks"


@pytest.fixture
async def admin(api: Api, hotel: str) -> Person:
    return await api.person(hotel, role="admin")


async def _make(admin: Person, hotel: str, **more: Any) -> dict[str, Any]:
    made = await admin.http.post(KEYS, json={"name": "Dashboard", "properties": [hotel], **more})
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    key: dict[str, Any] = made.json()
    return key


async def test_a_key_is_told_once_and_kept_as_a_hash(api: Api, admin: Person, hotel: str, database: Database) -> None:
    made = await _make(admin, hotel, scopes=["tasks:read"])
    key = made.pop("key")
    assert key.startswith("gw_")
    assert key.startswith(made["begins"])
    assert len(key) > 40 > len(made["begins"])
    program = await api.client(key)
    assert (await program.get(TASKS)).json() == {"items": [], "nextCursor": None}
    [[listed]] = await pages(admin.http, KEYS)
    assert listed.pop("lastUsedAt") is not None
    assert listed | {"lastUsedAt": None} == made
    async with database.begin() as connection:
        row = (await connection.execute(text("SELECT * FROM api_keys WHERE id = :id"), {"id": made["id"]})).one()
    assert key not in str(row)
    assert (made["createdBy"], made["scopes"], made["expiresAt"]) == (admin.staff.id, ["tasks:read"], None)


async def test_a_key_without_scopes_may_do_what_programs_may(api: Api, admin: Person, hotel: str) -> None:
    made = await _make(admin, hotel)
    assert made["scopes"] == list(map(str, permissions_of("service")))
    assert "staff:write" not in made["scopes"]


async def test_what_a_program_does_bears_its_name(served: None, api: Api, admin: Person, hotel: str) -> None:
    program = await api.client((await _make(admin, hotel, name="Housekeeping app"))["key"])
    task = {"propertyId": hotel, "department": "housekeeping", "title": "Towels for 204"}
    assert (await program.post(TASKS, json=task)).status_code == 201


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"scopes": ["staff:write"]}, "scopes"),
        ({"scopes": ["everything"]}, "scopes.0"),
        ({"scopes": []}, "scopes"),
        ({"properties": []}, "properties"),
        ({"name": " "}, "name"),
        ({"expiresAt": "2020-01-01T00:00:00Z"}, "expiresAt"),
        ({"expiresAt": "2900-01-01T00:00:00"}, "expiresAt"),
    ],
)
async def test_what_is_wrong_is_named(admin: Person, hotel: str, wrong: dict[str, Any], field: str) -> None:
    refused = await admin.http.post(KEYS, json={"name": "Dashboard", "properties": [hotel], **wrong})
    assert problem(refused) == (422, "invalid")
    assert refused.json()["field"] == field


async def test_a_lost_answer_leaves_one_key(api: Api, admin: Person, hotel: str) -> None:
    body, headers = {"name": "Dashboard", "properties": [hotel]}, {"Idempotency-Key": uuid.uuid4().hex}
    lost, got = [(await admin.http.post(KEYS, json=body, headers=headers)).json() for _ in range(2)]
    assert lost == got
    assert (await (await api.client(got["key"])).get(TASKS)).status_code == 200


async def test_a_key_whose_answer_was_never_kept_gets_another_text(
    api: Api, admin: Person, hotel: str, database: Database
) -> None:
    body, headers = {"name": "Dashboard", "properties": [hotel]}, {"Idempotency-Key": uuid.uuid4().hex}

    async def ask() -> httpx.Response:
        async with database.begin() as connection:
            await connection.execute(text("DELETE FROM idempotency_keys"))
        return await admin.http.post(KEYS, json=body, headers=headers)

    lost, got = (await ask()).json(), (await ask()).json()
    assert lost["id"] == got["id"]
    assert problem(await (await api.client(lost["key"])).get(TASKS)) == (401, "unauthenticated")
    assert (await (await api.client(got["key"])).get(TASKS)).status_code == 200
    await admin.http.delete(f"{KEYS}/{got['id']}")
    assert problem(await ask()) == (422, "invalid")


async def test_an_idempotency_key_of_long_ago_takes_no_key_from_its_program(
    api: Api, admin: Person, hotel: str, database: Database
) -> None:
    """For a day it stands for one request; after that it stands for another."""
    body, headers = {"name": "Dashboard", "properties": [hotel]}, {"Idempotency-Key": uuid.uuid4().hex}
    first = (await admin.http.post(KEYS, json=body, headers=headers)).json()
    async with database.begin() as connection:
        await connection.execute(text("DELETE FROM idempotency_keys"))
        a_day_ago = text("UPDATE api_keys SET created_at = created_at - interval '25 hours' WHERE id = :id")
        await connection.execute(a_day_ago, {"id": first["id"]})
    second = (await admin.http.post(KEYS, json={**body, "name": "Another"}, headers=headers)).json()
    assert (second["name"], second["id"] == first["id"]) == ("Another", False)
    for made in (first, second):
        assert (await (await api.client(made["key"])).get(TASKS)).status_code == 200


async def test_a_revoked_key_ends_at_once_with_its_sockets(
    api: Api, admin: Person, hotel: str, settings: Settings
) -> None:
    made = await _make(admin, hotel)
    path = f"{KEYS}/{made['id']}"
    program = await api.client(made["key"])
    assert (await program.get(TASKS)).status_code == 200
    async with running_api(settings) as second_process, staff(second_process.url, made["key"], hotel) as socket:
        assert (await admin.http.delete(path)).status_code == 204
        assert await socket.closed() == 4401
    assert problem(await program.get(TASKS)) == (401, "unauthenticated")
    assert (await admin.http.delete(path)).status_code == 204
    [[listed]] = await pages(admin.http, KEYS)
    assert listed["revokedAt"] is not None


async def test_a_key_tells_the_live_only_what_it_is_for(api: Api, admin: Person, hotel: str) -> None:
    reader = (await _make(admin, hotel, scopes=["conversations:read"]))["key"]
    other = (await _make(admin, hotel, scopes=["tasks:read"]))["key"]
    async with opened(api.url, "/ws") as socket:
        await socket.send("auth", {"token": other})
        assert (await socket.next())["type"] == "session"
        assert (await socket.ask("subscribe", {"propertyId": hotel}))["payload"]["code"] == "forbidden"
    async with staff(api.url, reader, hotel) as socket:
        for kind in ("send_message", "typing"):
            refused = await socket.ask(kind, {"conversationId": "x", "content": "hello"})
            assert refused["payload"]["code"] == "forbidden", kind


async def test_an_administrator_hands_out_only_what_is_theirs(api: Api, admin: Person, hotel: str) -> None:
    elsewhere = f"elsewhere-{hotel}"
    theirs = await api.program(hotel, elsewhere)
    assert [item["id"] for page in await pages(admin.http, KEYS) for item in page] == [theirs.key.id]
    answers = [
        await admin.http.post(KEYS, json={"name": "Both", "properties": [hotel, elsewhere]}),
        await admin.http.delete(f"{KEYS}/{theirs.key.id}"),
    ]
    assert [problem(answer) for answer in answers] == [(403, "forbidden")] * 2
    assert problem(await admin.http.delete(f"{KEYS}/{uuid.uuid4()}")) == (404, "not_found")
    assert (await theirs.http.get(TASKS)).status_code == 200


async def test_a_key_is_known_while_storage_is_away(
    api: Api, hotel: str, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    known, unknown, ended = [await api.program(hotel) for _ in range(3)]
    for program in (known, ended):
        assert (await program.http.get(TASKS)).status_code == 200
    keys = api.state.api_keys
    ending = await keys.revoke(ended.key.id, lambda _: None)
    assert ending is not None

    async def away(*_: object) -> None:
        raise StorageAway("PostgreSQL does not answer; try again shortly")

    monkeypatch.setattr(keys, "_look_up", away)
    assert (await known.http.get(TASKS)).status_code == 200
    assert problem(await unknown.http.get(TASKS)) == (503, "storage_away")
    # Another process revoked it, and said so by Redis, before storage went away.
    await api.state.sessions.announce([ending])
    assert problem(await ended.http.get(TASKS)) == (401, "unauthenticated")
    [seen] = [each for each in keys._seen.values() if each.key.id == known.key.id]
    long_ago = datetime.now(UTC) - TRUSTED_FOR - timedelta(minutes=1)
    monkeypatch.setitem(
        keys._seen, next(key for key, each in keys._seen.items() if each is seen), type(seen)(seen.key, long_ago)
    )
    assert problem(await known.http.get(TASKS)) == (503, "storage_away")
    async with opened(api.url, "/ws") as socket:
        await socket.send("auth", {"token": unknown.text})
        assert await socket.closed() == 1013
