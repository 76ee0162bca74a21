"""What is left of conversations and tasks over REST while a server behind them is away."""

import uuid
from contextlib import suppress

import asyncpg
import pytest
from redis.asyncio import Redis
from sqlalchemy import make_url, text

from activities.storage.conversations import StoredConversations
from activities.storage.database import Database
from activities.storage.log_writer import LiveStream
from activities.storage.search import ConversationFilter
from contracts.problems import StorageAway
from settings import Settings
from tests.api import Api, Person, answered, pages, problem, running_api
from tests.fakes.ai import FakeAI
from tests.support import Stack, eventually, workers

LIST = "/api/v1/conversations"
TASKS = "/api/v1/tasks"
NOWHERE = f"{LIST}/{'a' * 26}-00000000"


@pytest.fixture
async def agent(api: Api, hotel: str) -> Person:
    return await api.person(hotel)


@pytest.fixture
async def talk(working: None, stack: Stack) -> str:
    return await answered(stack)


@pytest.fixture
def away(settings: Settings) -> Settings:
    """Settings of an api that cannot reach PostgreSQL."""
    blind = settings.model_copy(deep=True)
    blind.database.url = "postgresql://nobody@127.0.0.1:1/nothing"
    blind.rate_limit.max_requests = 1_000_000
    return blind


async def test_just_the_reads_that_are_said_to_come_from_temporal_do(talk: str, away: Settings, hotel: str) -> None:
    async with running_api(away) as api:
        agent = await api.person(hotel)
        new = {"propertyId": hotel, "department": "housekeeping", "title": "Towels"}
        task = (await agent.http.post(TASKS, json=new)).json()
        described = (await agent.http.get("/openapi.json")).json()["paths"]
        reads = {path: each["get"]["responses"]["200"] for path, each in described.items() if "get" in each}
        degraded = set()
        for path in (path for path in reads if path.startswith("/api/v1/")):
            known = path.replace("{taskId}", task["id"]).replace(f"{LIST}/{{conversationId}}", talk)
            if "gateway-degraded" in (await agent.http.get(known)).headers:
                degraded.add(path)
    assert degraded == {path for path, answer in reads.items() if "Gateway-Degraded" in answer.get("headers", ())}


async def test_without_storage_reads_come_from_temporal_and_commands_work(
    talk: str, away: Settings, hotel: str, stack: Stack
) -> None:
    async with running_api(away) as api:
        agent = await api.person(hotel)
        one = await agent.http.get(talk)
        assert (one.status_code, one.headers["gateway-degraded"]) == (200, "storage")
        messages = await agent.http.get(f"{talk}/messages", params={"limit": 1})
        assert messages.headers["gateway-degraded"] == "storage"
        assert [each["content"] for each in messages.json()["items"]] == ["When is breakfast?"]
        assert len(await pages(agent.http, f"{talk}/messages", limit=1)) == 2
        outcomes = await agent.http.get(f"{talk}/outcomes")
        assert outcomes.headers["gateway-degraded"] == "storage"
        assert [each["outcome"] for each in outcomes.json()["items"]] == ["answered"]
        claimed = await agent.http.post(f"{talk}/claim")
        assert (claimed.status_code, claimed.json()["assignedTo"]) == (200, agent.staff.id)
        assert (await agent.http.post(f"{talk}/messages", json={"content": "I am here"})).status_code == 201
        assert problem(await agent.http.get(f"{talk}/events")) == (503, "storage_away")
        stranger = await api.person("another-hotel")
        assert problem(await stranger.http.get(talk)) == (403, "forbidden")
        assert problem(await agent.http.get(NOWHERE)) == (404, "not_found")


async def test_without_storage_the_list_holds_the_open_conversations(
    talk: str, away: Settings, hotel: str, stack: Stack
) -> None:
    async with running_api(away) as api:
        agent, stranger = await api.person(hotel), await api.person("another-hotel")

        async def listed() -> bool:
            response = await agent.http.get(LIST, params={"state": "active"})
            assert response.headers["gateway-degraded"] == "storage"
            return [item["conversationId"] for item in response.json()["items"]] == [talk.removeprefix(f"{LIST}/")]

        await eventually(listed, what="the conversation to be visible")
        assert (await stranger.http.get(LIST)).json()["items"] == []
        assert (await agent.http.get(LIST, params={"state": "escalated"})).json()["items"] == []


async def test_without_temporal_reads_go_on_and_commands_are_told(
    talk: str, settings: Settings, hotel: str, stack: Stack
) -> None:
    settings.temporal.address = "127.0.0.1:1"
    async with running_api(settings) as api:
        agent = await api.person(hotel)
        assert (await agent.http.get(talk)).status_code == 200
        assert (await agent.http.get(LIST)).status_code == 200
        refused = await agent.http.post(f"{talk}/claim")
        assert problem(refused) == (503, "unavailable")
        unsent = await agent.http.post(f"{talk}/messages", json={"content": "hello"})
        assert problem(unsent) == (503, "unavailable")
        assert unsent.json()["clientMessageId"]


async def test_a_conversation_that_storage_does_not_know_yet_is_found(
    working: None, stack: Stack, agent: Person, database: Database
) -> None:
    guest = stack.guest()
    await guest.ask("Hello?")
    conversation = await guest.conversation()
    await stack.stored(conversation)
    async with database.begin() as connection:
        await connection.execute(text("DELETE FROM conversations WHERE id = :id"), {"id": conversation.conversation_id})
    found = await agent.http.get(f"{LIST}/{conversation.conversation_id}")
    assert found.json()["conversationId"] == conversation.conversation_id
    assert "gateway-degraded" not in found.headers


# --- tasks ---------------------------------------------------------------------------------------------------------


async def test_without_storage_tasks_are_made_changed_and_read_from_temporal(
    working: None, away: Settings, api: Api, agent: Person, hotel: str
) -> None:
    async with running_api(away) as blind:
        clerk, stranger = await blind.person(hotel), await blind.person("another-hotel")
        keyed = {"Idempotency-Key": str(uuid.uuid4())}
        new = {"propertyId": hotel, "department": "housekeeping", "title": "Towels for 204", "assignedTo": "unchecked"}
        created, again = [await clerk.http.post(TASKS, json=new, headers=keyed) for _ in range(2)]
        assert (created.status_code, created.headers["etag"]) == (201, '"1"')
        assert (again.status_code, again.json(), again.headers["etag"]) == (201, created.json(), '"1"')
        path = created.headers["location"]
        changed = await clerk.http.patch(path, json={"status": "in_progress"}, headers={"If-Match": '"1"'})
        assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
        stale = await clerk.http.patch(path, json={"status": "done"}, headers={"If-Match": '"1"'})
        assert problem(stale) == (412, "stale")
        assert (stale.json()["etag"], stale.json()["version"]) == ('"2"', 2)
        read = await clerk.http.get(path)
        assert (read.json(), read.headers["etag"]) == (changed.json(), '"2"')
        assert read.headers["gateway-degraded"] == "storage"
        assert problem(await stranger.http.get(path)) == (403, "forbidden")
        assert problem(await stranger.http.patch(path, json={"status": "done"})) == (403, "forbidden")
        assert problem(await clerk.http.get(f"{TASKS}/nothing")) == (404, "not_found")

        async def listed() -> bool:
            response = await clerk.http.get(TASKS, params={"status": "in_progress"})
            assert response.headers["gateway-degraded"] == "storage"
            return bool(response.json() == {"items": [changed.json()], "nextCursor": None})

        await eventually(listed, what="the task to be visible")
        assert (await clerk.http.get(TASKS, params={"department": "security"})).json()["items"] == []
        assert (await stranger.http.get(TASKS)).json()["items"] == []
        done = await clerk.http.patch(path, json={"status": "done"})
        assert done.json()["status"] == "done"
        # Its workflow ends as soon as the worker, which has storage, has told it; what is read then is its last word.
        await api.state.temporal.get_workflow_handle(f"task-{created.json()['id']}").result()
        reopened = await clerk.http.patch(path, json={"status": "open"}, headers={"If-Match": '"3"'})
        assert (reopened.status_code, reopened.headers["etag"]) == (200, '"4"')

    async def caught_up() -> bool:
        return (await agent.http.get(path)).headers["etag"] == '"4"'

    await eventually(caught_up, what="storage to catch up")


async def test_without_temporal_tasks_are_read_and_refused(
    working: None, settings: Settings, agent: Person, hotel: str
) -> None:
    new = {"propertyId": hotel, "department": "housekeeping", "title": "Towels for 204"}
    path = (await agent.http.post(TASKS, json=new)).headers["location"]
    settings.temporal.address = "127.0.0.1:1"
    async with running_api(settings) as deaf:
        clerk = await deaf.person(hotel)
        assert (await clerk.http.get(path)).status_code == 200
        assert len((await clerk.http.get(TASKS)).json()["items"]) == 1
        assert problem(await clerk.http.post(TASKS, json=new)) == (503, "unavailable")
        assert problem(await clerk.http.patch(path, json={"status": "done"})) == (503, "unavailable")
    assert (await agent.http.get(path)).json()["status"] == "open"


async def test_without_a_worker_a_task_is_accepted_and_a_change_is_of_unknown_outcome(
    agent: Person, stack: Stack, settings: Settings, hotel: str, ai: FakeAI
) -> None:
    new = {"propertyId": hotel, "department": "housekeeping", "title": "Towels for 204"}
    created = await agent.http.post(TASKS, json=new)
    path = created.headers["location"]
    assert (await agent.http.get(path)).json() == created.json()
    assert problem(await agent.http.patch(path, json={"status": "done"})) == (503, "outcome_unknown")
    async with workers(settings, stack.client):
        again = await agent.http.patch(path, json={"status": "done"})
        assert again.json()["status"] == "done"
        assert (await agent.http.get(path)).json() == again.json()
        reopened = await agent.http.patch(path, json={"status": "open"})
        assert (await agent.http.get(path)).json() == reopened.json()
        assert reopened.json()["status"] == "open"


async def test_a_list_of_an_empty_database_and_over_a_lost_connection_is_storage_away_at_most(
    settings: Settings, database: Database, hotel: str, redis: Redis
) -> None:
    """The statement of a list goes past SQLAlchemy to the driver; what the driver raises is understood all the same."""
    name = f"empty_{uuid.uuid4().hex}"
    async with database.read() as connection:
        await connection.execute(text(f"CREATE DATABASE {name}"))
    url = make_url(str(settings.database.url)).set(database=name).render_as_string(hide_password=False)
    empty = Database(settings.database.model_copy(update={"url": url}))
    of_the_hotel = ConversationFilter([hotel])
    try:
        with pytest.raises(StorageAway, match="migrated"):
            await StoredConversations(empty, LiveStream(redis), settings).list(of_the_hotel, limit=1, after=None)
        async with database.driver() as driver:
            lost = driver.get_server_pid()
        async with empty.read() as connection:
            await connection.execute(text("SELECT pg_terminate_backend(:lost)"), {"lost": lost})
        stored = StoredConversations(database, LiveStream(redis), settings)
        with suppress(StorageAway):  # where the driver has not heard of it yet
            await stored.list(of_the_hotel, limit=1, after=None)
        assert (await stored.list(of_the_hotel, limit=1, after=None)).items == []
    finally:
        await empty.close()


async def test_a_connection_whose_driver_lost_track_is_not_used_again(database: Database) -> None:
    """The server's last word may come at the moment at which the driver begins to speak."""

    async def use(error: Exception | None = None) -> int:
        async with database.driver() as driver:
            if error is not None:
                raise error
            return int(driver.get_server_pid())

    lost = await use()
    with pytest.raises(StorageAway):
        await use(asyncpg.InternalClientError("cannot switch to state 11; another operation (2) is in progress"))
    assert await use() != lost
