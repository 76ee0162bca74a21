"""What is left of conversations over REST while a server behind them is away."""

import pytest
from sqlalchemy import text

from activities.storage.database import Database
from settings import Settings
from tests.api import Api, Person, answered, pages, problem, running_api
from tests.support import Stack, eventually

LIST = "/api/v1/conversations"
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
