"""The process itself: starting while others are away, readiness, metrics, and errors nobody expected."""

import asyncio
import json
import logging
import re
from pathlib import Path

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from jsonschema import Draft202012Validator
from sqlalchemy import text

from api.auth.permissions import ALLOWED
from api.deps import Allow
from api.gate import OPEN
from api.main import create_app
from api.names import BASE
from embedded import PostgresServer, RedisServer
from settings import Security, Settings, SettingsError
from tests.api import Api, problem, running_api
from tests.support import eventually


async def test_ready_is_what_can_work(api: Api) -> None:
    assert (await api.http.get("/healthz")).json() == {"status": "ok"}

    async def ready() -> bool:
        return (await api.http.get("/readyz")).status_code == 200

    await eventually(ready, what="the api to be ready")
    assert (await api.http.get("/readyz")).json() == {"temporal": "ok", "postgres": "ok", "redis": "ok"}


async def test_it_starts_while_all_are_away_and_heals(settings: Settings, tmp_path: Path, hotel: str) -> None:
    postgres, redis = PostgresServer(tmp_path / "postgres"), RedisServer(tmp_path / "redis")
    settings.database.url, settings.redis.url = postgres.url, redis.url
    async with running_api(settings) as api:
        assert (await api.http.get("/healthz")).status_code == 200
        ready_for_guests = await api.http.get("/readyz")
        assert ready_for_guests.status_code == 200
        assert ready_for_guests.json() == {"temporal": "ok", "postgres": "away", "redis": "away"}
        assert problem(await api.login("agent@seaview.demo")) == (503, "storage_away")
        person = await api.person(hotel)
        assert problem(await person.http.get("/api/v1/guests")) == (503, "storage_away")
        async with postgres, redis:

            async def ready() -> bool:
                seen = (await api.http.get("/readyz")).json()
                return bool(seen == {"temporal": "ok", "postgres": "ok", "redis": "ok"})

            await eventually(ready, what="the api to heal")
            staff = await api.hire(hotel)
            assert (await (await api.signed_in(staff)).http.get("/api/v1/tasks")).json()["items"] == []
            await postgres.stop()
            assert (await api.http.get("/readyz")).json()["postgres"] == "away"
            for path in ("/api/v1/conversations", "/api/v1/tasks"):
                assert (await person.http.get(path)).headers["gateway-degraded"] == "storage"
            await postgres.start()

            async def back() -> bool:
                return "gateway-degraded" not in (await person.http.get("/api/v1/tasks")).headers

            await eventually(back, what="tasks to be back")


async def test_without_temporal_it_is_ready_for_what_guests_write(settings: Settings) -> None:
    settings.temporal.address = "127.0.0.1:1"
    async with running_api(settings) as api:

        async def ready() -> bool:
            response = await api.http.get("/readyz")
            return (response.status_code, response.json()["temporal"]) == (200, "away")

        await eventually(ready, what="the api to be ready")


async def test_it_is_not_ready_without_temporal_and_postgresql(settings: Settings) -> None:
    settings.temporal.address, settings.database.url = "127.0.0.1:1", "postgresql://nobody@127.0.0.1:1/nothing"
    async with running_api(settings) as api:
        response = await api.http.get("/readyz")
        assert response.status_code == 503
        assert response.json() == {"temporal": "away", "postgres": "away", "redis": "ok"}


async def test_it_is_not_ready_before_its_schema_is(settings: Settings, tmp_path: Path) -> None:
    async with PostgresServer(tmp_path) as postgres:
        settings.database.url = postgres.url
        async with running_api(settings) as api:
            api.state.migrated.clear()
            response = await api.http.get("/readyz")
            assert (response.status_code, response.json()["postgres"]) == (503, "away")


async def test_a_postgresql_that_only_reads_is_away(settings: Settings, tmp_path: Path) -> None:
    """As after another server has become the primary."""
    async with PostgresServer(tmp_path) as postgres:
        settings.database.url = postgres.url
        async with running_api(settings) as api:

            async def told() -> str:
                return str((await api.http.get("/readyz")).json()["postgres"])

            async def ready() -> bool:
                return await told() == "ok"

            await eventually(ready, what="the api to be ready")
            async with api.state.database.read() as connection:
                await connection.execute(text("ALTER DATABASE postgres SET default_transaction_read_only = on"))
            await api.state.database.close()  # it takes connections anew
            assert await told() == "away"


async def test_metrics_are_told_to_prometheus(api: Api) -> None:
    response = await api.http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    for name in ("messages_inbound_total", "messages_outbound_total", "messages_routed_total", "escalations_total"):
        assert f"gateway_{name}" in response.text


async def test_a_secret_that_is_missing_stops_the_start_by_its_name(settings: Settings) -> None:
    settings.security = Security()
    app = create_app(settings)
    with pytest.raises(SettingsError, match="GATEWAY_SECURITY__JWT_SECRET"):
        async with app.router.lifespan_context(app):
            pytest.fail("it started")


async def test_what_nobody_expected_is_a_plain_500_and_logs_no_text(
    api: Api, hotel: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("Ana said hello") from KeyError("Ana's room number")

    person = await api.person(hotel)
    monkeypatch.setattr(type(api.state.tasks), "get", fail)
    with caplog.at_level(logging.DEBUG):
        response = await person.http.get("/api/v1/tasks/1")
    assert problem(response) == (500, "internal")
    assert "Ana" not in response.text
    logged = "\n".join(f"{record.getMessage()}\n{record.exc_text}" for record in caplog.records)
    assert "unexpected RuntimeError from KeyError at" in logged
    assert "Ana" not in logged
    assert (await person.http.get("/api/v1/auth/me")).status_code == 200


async def test_errors_of_routing_and_reading_are_problems(api: Api, hotel: str) -> None:
    person = await api.person(hotel)
    assert problem(await api.http.get("/nothing")) == (404, "not_found")
    assert problem(await person.http.get("/api/v1/nothing")) == (404, "not_found")
    wrong_method = await person.http.delete("/api/v1/conversations")
    assert problem(wrong_method) == (405, "method_not_allowed")
    assert wrong_method.headers["allow"] == "GET, POST"
    assert (await person.http.delete("/api/v1/tasks/1")).headers["allow"] == "GET, PATCH"
    assert problem(await api.http.request("TRACE", "/api/v1/auth/login")) == (405, "method_not_allowed")
    as_json = {"Content-Type": "application/json"}
    for body in (b"{", b"", b"\xff", b"[" * 100_000):
        refused = await person.http.post("/api/v1/tasks", content=body, headers=as_json)
        assert problem(refused) in ((400, "malformed"), (422, "invalid")), body
    assert problem(await person.http.post("/api/v1/tasks", content=b"{", headers=as_json)) == (400, "malformed")
    plain = await person.http.post("/api/v1/tasks", content=b"x")
    assert plain.json()["detail"] == "body: must be a JSON object, sent as Content-Type: application/json"
    too_large = await person.http.post("/api/v1/tasks", content=b'"' + b"x" * 1_000_001, headers=as_json)
    assert problem(too_large) == (413, "too_large")


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
async def test_a_body_that_nests_deep_is_refused_and_no_error_of_ours(
    api: Api, hotel: str, opening: str, closing: str
) -> None:
    """JSON is read about as deep as Python's stack reaches; what looks through it afterwards began further down."""
    person, as_json = await api.person(hotel), {"Content-Type": "application/json"}
    for http, path, field in ((api.http, "/api/v1/auth/login", "email"), (person.http, "/api/v1/tasks", "title")):
        for depth in (60, 65, 800):
            value = opening * depth + "1" + closing * depth
            for body in (f'{{"{field}":{value}}}', f'{{"unknown":{value}}}', value):
                refused = await http.post(path, content=body, headers=as_json)
                assert problem(refused) == (422, "invalid"), (path, depth, body[:20])
            told = await http.post(path, content=f'{{"{field}":{value}}}', headers=as_json)
            why = {error["field"]: error["detail"] for error in told.json()["errors"]}[field]
            assert ("must not be nested more than 64 levels deep" in why) == (depth > 64), why
        for depth in range(900, 960):  # about where it cannot be read any more
            body = f'{{"{field}":{opening * depth}1{closing * depth}}}'
            refused = await http.post(path, content=body, headers=as_json)
            assert problem(refused) in ((400, "malformed"), (422, "invalid")), (path, depth)


async def test_a_wrong_request_names_every_field_and_repeats_nothing(api: Api, hotel: str) -> None:
    person = await api.person(hotel)
    refused = await person.http.post("/api/v1/tasks", json={"department": "secret words", "title": 3})
    assert [error["field"] for error in refused.json()["errors"]] == ["propertyId", "department", "title"]
    assert "secret words" not in refused.text


# --- the description -----------------------------------------------------------------------------------------------


def test_every_route_of_the_rest_interface_says_who_may_use_it(settings: Settings) -> None:
    checked = 0
    for route in iter_route_contexts(create_app(settings).routes):
        path, methods = route.path or "", route.methods or set()
        if not path.startswith(f"{BASE}/"):
            continue
        allowed = [each.call for each in route.dependant.dependencies if isinstance(each.call, Allow)]
        if {(method, path) for method in methods} <= OPEN:
            assert allowed == []
        else:
            assert [each.permission for each in allowed if each.permission in ALLOWED], f"{path} names no permission"
            checked += 1
    assert checked >= 22


async def test_the_description_is_complete(api: Api) -> None:
    described = (await api.http.get("/openapi.json")).json()
    assert described["openapi"].startswith("3.1")
    operations = [
        (path, method, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    names = [operation["operationId"] for _, _, operation in operations]
    assert len(names) == len(set(names))
    assert {"listConversations", "sendMessage", "claimConversation", "updateTask", "receiveMessage"} <= set(names)
    for path, method, operation in operations:
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["tags"], where
        for status, response in operation["responses"].items():
            if (int(status) >= 400 and status != "503") or (path.startswith(BASE) and int(status) >= 400):
                assert list(response["content"]) == ["application/problem+json"], f"{where} {status}"
        if path.startswith(BASE) and (method.upper(), path) not in OPEN:
            assert {"401", "403", "429"} <= set(operation["responses"]), where
            assert operation["security"] == [{"accessToken": []}], where
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        assert body is None or body.get("examples"), where
    assert "HTTPValidationError" not in json.dumps(described)
    for name in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(described)):
        assert name in described["components"]["schemas"]
    assert "$defs" not in json.dumps(described)


async def test_the_description_s_examples_are_what_it_describes(api: Api) -> None:
    described = (await api.http.get("/openapi.json")).json()
    schemas = described["components"]["schemas"]
    checked = 0
    components = {"components": described["components"]}
    for name, schema in schemas.items():
        validator = Draft202012Validator({"$ref": f"#/components/schemas/{name}", **components})
        for example in schema.get("examples", []):
            validator.validate(example)
            checked += 1
    for methods in described["paths"].values():
        for operation in methods.values():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            validator = Draft202012Validator({**content.get("schema", {}), **components})
            for example in content.get("examples", {}).values():
                validator.validate(example["value"])
                checked += 1
    assert checked >= 15


async def test_the_docs_need_no_internet(api: Api) -> None:
    page = await api.http.get("/docs")
    assert page.status_code == 200
    assert "https://" not in page.text.replace("https://fastapi.tiangolo.com", "")
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert f"/docs/files/{asset}" in page.text
        found = await api.http.get(f"/docs/files/{asset}")
        assert found.status_code == 200
        assert len(found.content) > 100_000


async def test_clients_that_leave_midway_disturb_nobody(api: Api) -> None:
    host, port = api.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /webhooks/messages/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    async with httpx.AsyncClient() as other:
        assert (await other.get(f"{api.url}/healthz")).status_code == 200
