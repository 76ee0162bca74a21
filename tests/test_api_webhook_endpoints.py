"""Webhook endpoints over REST: secrets shown once, changes, tests, and what is refused."""

import uuid
from typing import Any

import pytest

from tests.api import Api, Person, pages, problem
from tests.fakes.receiver import FakeReceiver

ENDPOINTS = "/api/v1/webhook-endpoints"
URL = "https://hooks.example/in"


@pytest.fixture
async def manager(api: Api, hotel: str) -> Person:
    return await api.person(hotel, role="manager")


async def _create(person: Person, hotel: str, **more: Any) -> dict[str, Any]:
    body = {"propertyId": hotel, "url": URL, "eventTypes": ["task.*"], **more}
    answer = await person.http.post(ENDPOINTS, json=body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{ENDPOINTS}/{answer.json()['id']}"
    created: dict[str, Any] = answer.json()
    return created


async def test_an_endpoint_shows_its_secret_once(manager: Person, hotel: str) -> None:
    created = await _create(manager, hotel)
    assert created.pop("secret").startswith("whsec_")
    read = await manager.http.get(f"{ENDPOINTS}/{created['id']}")
    assert read.json() == created
    changes = {"description": "The task board", "eventTypes": ["task.created", "message.*"], "enabled": False}
    changed = await manager.http.patch(
        f"{ENDPOINTS}/{created['id']}", json=changes, headers={"If-Match": read.headers["etag"]}
    )
    assert {**changed.json(), **changes} == changed.json()
    assert changed.json()["disabledReason"] == "staff"
    stale = await manager.http.patch(
        f"{ENDPOINTS}/{created['id']}", json=changes, headers={"If-Match": read.headers["etag"]}
    )
    assert problem(stale) == (412, "stale")
    on = await manager.http.patch(f"{ENDPOINTS}/{created['id']}", json={"enabled": True, "skipMissed": True})
    assert (on.json()["enabled"], on.json()["disabledReason"]) == (True, None)
    assert (await manager.http.delete(f"{ENDPOINTS}/{created['id']}")).status_code == 204
    assert problem(await manager.http.get(f"{ENDPOINTS}/{created['id']}")) == (404, "not_found")


async def test_a_rotation_gives_a_new_secret(manager: Person, hotel: str) -> None:
    created = await _create(manager, hotel)
    rotated = await manager.http.post(f"{ENDPOINTS}/{created['id']}/rotate-secret")
    assert rotated.json()["secret"] not in ("", created["secret"])


async def test_the_same_key_makes_one_endpoint(manager: Person, hotel: str) -> None:
    body = {"propertyId": hotel, "url": URL, "eventTypes": ["task.*"]}
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    first, second = [await manager.http.post(ENDPOINTS, json=body, headers=headers) for _ in range(2)]
    assert first.json() == second.json()
    assert sum(len(page) for page in await pages(manager.http, ENDPOINTS, limit=1)) == 1


async def test_endpoints_and_deliveries_are_listed(receiver: FakeReceiver, manager: Person, hotel: str) -> None:
    receiver.status = lambda event: 200 if len(receiver.attempts) > 1 else 500
    created = [await _create(manager, hotel, url=receiver.url) for _ in range(3)]
    listed = [each["id"] for page in await pages(manager.http, ENDPOINTS, limit=2, property=hotel) for each in page]
    assert listed == [each["id"] for each in reversed(created)]
    receiver.secret = created[0]["secret"]
    path = f"{ENDPOINTS}/{created[0]['id']}"
    failed, delivered = [(await manager.http.post(f"{path}/test")).json() for _ in range(2)]
    assert (failed["state"], failed["responseStatus"], failed["reason"]) == ("failing", 500, "it answered 500")
    assert (delivered["state"], delivered["responseStatus"]) == ("delivered", 200)
    (event,) = receiver.received.values()
    assert (event["type"], event["data"]["endpointId"]) == ("webhook.test", created[0]["id"])
    told = [each for page in await pages(manager.http, f"{path}/deliveries", limit=1) for each in page]
    assert told == [delivered, failed]
    (only,) = (await manager.http.get(f"{path}/deliveries", params={"state": "failing"})).json()["items"]
    assert only == failed


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"url": "http://hooks.example/in"}, "url"),
        ({"url": "ftp://hooks.example/in"}, "url"),
        ({"url": "https://localhost/in"}, "url"),
        ({"url": "https://10.0.0.1/in"}, "url"),
        ({"url": "https://[::1]/in"}, "url"),
        ({"url": "https://169.254.169.254/latest"}, "url"),
        ({"url": "https://user:word@hooks.example/"}, "url"),
        ({"url": "https://hooks.example/a b"}, "url"),
        ({"url": "https://hooks.example:99999/"}, "url"),
        ({"url": "https://[::1"}, "url"),
        ({"url": "https://a..b/"}, "url"),
        ({"url": f"https://{'a' * 64}.example/"}, "url"),
        ({"url": ""}, "url"),
        ({"eventTypes": []}, "eventTypes"),
        ({"eventTypes": ["task.*", "guest.checked_in"]}, "eventTypes.1"),
        ({"event": "task.*"}, "event"),
    ],
)
async def test_what_is_wrong_is_named(manager: Person, hotel: str, changes: dict[str, Any], field: str) -> None:
    body = {"propertyId": hotel, "url": URL, "eventTypes": ["task.*"], **changes}
    answer = await manager.http.post(ENDPOINTS, json=body)
    assert problem(answer) == (422, "invalid")
    assert answer.json()["field"] == field


async def test_endpoints_are_for_managers_of_the_property(api: Api, manager: Person, hotel: str) -> None:
    path = f"{ENDPOINTS}/{(await _create(manager, hotel))['id']}"
    agent, stranger = await api.person(hotel), await api.person("elsewhere", role="admin")
    for person in (agent, stranger):
        assert problem(await person.http.get(path)) == (403, "forbidden")
        assert problem(await person.http.patch(path, json={"enabled": False})) == (403, "forbidden")
        assert problem(await person.http.delete(path)) == (403, "forbidden")
        assert problem(await person.http.post(f"{path}/test")) == (403, "forbidden")
    assert (await stranger.http.get(ENDPOINTS)).json()["items"] == []


@pytest.mark.parametrize("row_id", ["nothing", "%00", "ä", "x" * 300])
async def test_what_is_not_there_is_not_found(manager: Person, row_id: str) -> None:
    for method, path in (
        ("GET", f"{ENDPOINTS}/{row_id}"),
        ("PATCH", f"{ENDPOINTS}/{row_id}"),
        ("DELETE", f"{ENDPOINTS}/{row_id}"),
        ("POST", f"{ENDPOINTS}/{row_id}/test"),
        ("POST", f"{ENDPOINTS}/{row_id}/rotate-secret"),
        ("GET", f"{ENDPOINTS}/{row_id}/deliveries"),
    ):
        json: dict[str, Any] | None = {} if method == "PATCH" else None
        assert problem(await manager.http.request(method, path, json=json)) == (404, "not_found"), path
