"""Administrators and their staff: who is listed, what may be changed, and which sessions a change ends."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from activities.storage.database import Database
from activities.storage.staff import StaffAccounts
from contracts.problems import StorageAway
from settings import Settings
from tests.api import PASSWORD, Api, Person, pages, problem, running_api
from tests.live import staff
from tests.support import eventually

STAFF = "/api/v1/staff"
ME = "/api/v1/auth/me"
LOGOUT = "/api/v1/auth/logout"


def _somebody(hotel: str, **changes: Any) -> dict[str, Any]:
    email = f"{uuid.uuid4().hex[:12]}@hotel.test"
    return {
        "email": email,
        "name": "Ines Prata",
        "role": "agent",
        "properties": [hotel],
        "password": PASSWORD,
    } | changes


@pytest.fixture
async def admin(api: Api, hotel: str) -> Person:
    return await api.session_of(await api.hire(hotel, role="admin"))


async def test_somebody_who_is_added_can_sign_in(api: Api, admin: Person, hotel: str) -> None:
    new = _somebody(hotel, email=f"  {uuid.uuid4().hex[:12]}@Hotel.test", role="manager")
    added = await admin.http.post(STAFF, json=new)
    assert added.status_code == 201
    assert added.headers["etag"] == '"1"'
    member = added.json()
    assert "password" not in str(member)
    assert (member["email"], member["disabled"]) == (new["email"].strip().lower(), False)
    access = (await api.login(new["email"])).json()
    assert access["staff"] == {key: member[key] for key in ("id", "email", "name", "role", "properties")}
    assert (await admin.http.get(f"{STAFF}/{member['id']}")).json() == member


async def test_somebody_is_added_once_under_a_key(admin: Person, hotel: str) -> None:
    new, key = _somebody(hotel), {"Idempotency-Key": uuid.uuid4().hex}
    first, again = [await admin.http.post(STAFF, json=new, headers=key) for _ in range(2)]
    assert (first.status_code, first.json()) == (again.status_code, again.json()) == (201, first.json())
    taken = await admin.http.post(STAFF, json=new)
    assert problem(taken) == (422, "invalid")
    assert taken.json()["field"] == "email"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"email": "no address"}, "email"),
        ({"password": "short"}, "password"),
        ({"role": "service"}, "role"),
        ({"role": "owner"}, "role"),
        ({"properties": []}, "properties"),
        ({"name": "   "}, "name"),
        ({"disabled": True}, "disabled"),
    ],
)
async def test_what_is_wrong_is_named(admin: Person, hotel: str, wrong: dict[str, Any], field: str) -> None:
    refused = await admin.http.post(STAFF, json=_somebody(hotel, **wrong))
    assert problem(refused) == (422, "invalid")
    assert refused.json()["field"] == field


async def test_colleagues_are_listed_and_nobody_else(api: Api, admin: Person, hotel: str) -> None:
    elsewhere = f"elsewhere-{hotel}"
    both, agent = await api.hire(hotel, elsewhere), await api.hire(hotel)
    stranger = await api.hire(elsewhere)
    await admin.http.patch(f"{STAFF}/{agent.id}", json={"disabled": True})

    async def listed(**params: Any) -> list[str]:
        return [member["id"] for page in await pages(admin.http, STAFF, limit=2, **params) for member in page]

    assert await listed() == [agent.id, both.id, admin.staff.id]
    assert await listed(disabled="true") == [agent.id]
    assert await listed(disabled="false", property=hotel) == [both.id, admin.staff.id]
    assert problem(await admin.http.get(STAFF, params={"property": elsewhere})) == (403, "forbidden")
    assert problem(await admin.http.get(f"{STAFF}/{stranger.id}")) == (403, "forbidden")
    assert problem(await admin.http.get(f"{STAFF}/{uuid.uuid4()}")) == (404, "not_found")


async def test_an_administrator_reaches_no_further_than_their_properties(api: Api, admin: Person, hotel: str) -> None:
    elsewhere = f"elsewhere-{hotel}"
    both, stranger = await api.hire(hotel, elsewhere), await api.hire(elsewhere)
    answers = [
        await admin.http.post(STAFF, json=_somebody(hotel, properties=[hotel, elsewhere])),
        await admin.http.patch(f"{STAFF}/{both.id}", json={"password": "another password"}),
        await admin.http.patch(f"{STAFF}/{stranger.id}", json={"disabled": True}),
        await admin.http.patch(f"{STAFF}/{(await api.hire(hotel)).id}", json={"properties": [hotel, elsewhere]}),
    ]
    assert [problem(answer) for answer in answers] == [(403, "forbidden")] * 4
    assert (await api.login(both.email)).status_code == 200


async def test_nobody_changes_their_own_rights(api: Api, hotel: str) -> None:
    admin = await api.session_of(await api.hire(hotel, f"other-{hotel}", role="admin"))
    path = f"{STAFF}/{admin.staff.id}"
    for change in ({"role": "agent"}, {"disabled": True}, {"properties": [hotel, hotel]}):
        refused = await admin.http.patch(path, json=change)
        assert (problem(refused), refused.json()["field"]) == ((422, "invalid"), next(iter(change)))
    assert (await admin.http.patch(path, json={"role": "admin", "name": "Ana Reis"})).json()["name"] == "Ana Reis"
    assert (await admin.http.get(ME)).status_code == 200


async def test_two_who_edit_one_person_are_told(api: Api, admin: Person, hotel: str) -> None:
    path = f"{STAFF}/{(await api.hire(hotel)).id}"
    seen = {"If-Match": (await admin.http.get(path)).headers["etag"]}
    assert (await admin.http.patch(path, json={"name": "Ana"}, headers=seen)).headers["etag"] == '"2"'
    assert problem(await admin.http.patch(path, json={"name": "Eva"}, headers=seen)) == (412, "stale")
    taken = await admin.http.patch(path, json={"email": admin.staff.email})
    assert (problem(taken), taken.json()["field"]) == ((422, "invalid"), "email")


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        ({"role": "manager"}, True),
        ({"disabled": True}, True),
        ({"password": "quite another password"}, True),
        ({"properties": ["HOTEL", "OTHER"]}, True),
        ({"role": "agent", "disabled": False, "name": "Ana"}, False),
    ],
)
async def test_a_change_of_rights_ends_every_session_at_once(
    api: Api, hotel: str, settings: Settings, change: dict[str, Any], ends: bool
) -> None:
    other = f"other-{hotel}"
    if "properties" in change:
        change = {"properties": [hotel, other]}
    admin = await api.person(hotel, other, role="admin")
    agent = await api.hire(hotel)
    phone, desk = await api.signed_in(agent), await api.signed_in(agent)
    async with running_api(settings) as second_process, staff(second_process.url, desk.token, hotel) as socket:
        changed = await admin.http.patch(f"{STAFF}/{agent.id}", json=change)
        assert changed.status_code == 200
        if ends:
            assert await socket.closed() == 4401
    answers = {(await session.http.get(ME)).status_code for session in (phone, desk)}
    assert answers == ({401} if ends else {200})
    password, signs_in = change.get("password", PASSWORD), not change.get("disabled", False)
    again = await api.login(agent.email, password)
    assert again.status_code == (200 if signs_in else 401)
    if signs_in:
        assert again.json()["staff"]["role"] == change.get("role", "agent")


async def test_who_signs_in_while_they_are_disabled_has_no_session(database: Database, api: Api, hotel: str) -> None:
    """However the two meet: the sign-in that read the account before the change does not get past it."""
    accounts = StaffAccounts(database)
    agent = await api.hire(hotel)
    read_before = await accounts.by_email(agent.email)
    assert read_before is not None
    changed = await accounts.update(agent.id, {"disabled": True}, lambda _: None)
    assert changed is not None
    ends_at = datetime.now(UTC) + timedelta(hours=1)
    assert not await accounts.note_session(read_before, uuid.uuid4().hex, ends_at)


async def test_signing_out_everywhere_ends_all_that_are_mine(api: Api, hotel: str, settings: Settings) -> None:
    mine, another = await api.hire(hotel), await api.signed_in(await api.hire(hotel))
    here, there = await api.signed_in(mine), await api.signed_in(mine)
    async with running_api(settings) as second_process, staff(second_process.url, there.token, hotel) as socket:
        assert (await here.http.post(LOGOUT, params={"all": "true"})).status_code == 204
        assert await socket.closed() == 4401
    assert [problem(await session.http.get(ME)) for session in (here, there)] == [(401, "unauthenticated")] * 2
    assert (await another.http.get(ME)).status_code == 200
    assert (await api.login(mine.email)).status_code == 200


async def test_signing_out_ends_one_session_only(api: Api, hotel: str) -> None:
    mine = await api.hire(hotel)
    here, there = await api.signed_in(mine), await api.signed_in(mine)
    assert (await here.http.post(LOGOUT)).status_code == 204
    assert ((await here.http.get(ME)).status_code, (await there.http.get(ME)).status_code) == (401, 200)


async def test_signing_out_everywhere_says_when_it_cannot(
    api: Api, hotel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await api.signed_in(await api.hire(hotel))

    async def away(*_: object, **__: object) -> None:
        raise StorageAway("PostgreSQL does not answer; try again shortly")

    with monkeypatch.context() as patch:
        patch.setattr(type(api.state.sessions), "end_all", away)
        assert problem(await person.http.post(LOGOUT, params={"all": "true"})) == (503, "storage_away")
    assert (await person.http.post(LOGOUT, params={"all": "true"})).status_code == 204


async def test_another_password_ends_the_other_sessions(api: Api, hotel: str) -> None:
    mine, new = await api.hire(hotel), "quite another password"
    here, there = await api.signed_in(mine), await api.signed_in(mine)
    path = "/api/v1/auth/password"
    wrong = await here.http.post(path, json={"currentPassword": "guess", "newPassword": new})
    assert problem(wrong) == (401, "bad_credentials")
    short = await here.http.post(path, json={"currentPassword": PASSWORD, "newPassword": "short"})
    assert problem(short) == (422, "invalid")
    assert (await here.http.post(path, json={"currentPassword": PASSWORD, "newPassword": new})).status_code == 204
    assert ((await here.http.get(ME)).status_code, (await there.http.get(ME)).status_code) == (200, 401)
    assert (await api.login(mine.email)).status_code == 401
    assert (await api.login(mine.email, new)).status_code == 200


async def test_an_ending_that_only_postgresql_knows_is_told_to_redis(
    api: Api, hotel: str, database: Database, settings: Settings
) -> None:
    """As after a process that died between the two: the next that starts makes the ending true."""
    person = await api.signed_in(await api.hire(hotel))
    session_id = api.state.tokens.read(person.token).sid
    async with database.begin() as connection:
        await connection.execute(
            text("INSERT INTO revoked_sessions VALUES (:id, now() + interval '1 hour')"), {"id": session_id}
        )
    async with running_api(settings):

        async def ended() -> bool:
            return (await person.http.get(ME)).status_code == 401

        await eventually(ended, what="Redis to know of the end")
    assert problem(await person.http.get(ME)) == (401, "unauthenticated")
