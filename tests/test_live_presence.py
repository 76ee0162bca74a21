"""The staff socket: who else looks at a conversation, and how much of it nobody has read."""

import uuid
from collections.abc import AsyncIterator, Callable

import pytest
from redis.asyncio import Redis

from activities.storage.publications import Publications
from api.live.presence import Presence
from contracts.conversations import ConversationState
from contracts.events import Viewer
from contracts.messages import Author
from settings import Settings
from tests.api import Api, Person, running_api
from tests.live import Client, Frame, Story, guest, is_message, of_type, staff
from workflows.client import Conversations


@pytest.fixture
async def desk(api: Api, marta: Person, hotel: str) -> AsyncIterator[Client]:
    """Marta's socket, subscribed to her property."""
    async with staff(api.url, marta.token, hotel) as client:
        yield client


@pytest.fixture
def story(publications: Publications, conversations: Conversations, hotel: str) -> Story:
    sender = uuid.uuid4().hex
    return Story(publications, hotel, conversations.contact_key(hotel, "webchat", sender), sender)


def _viewers(frame: Frame) -> list[str]:
    return sorted(person["id"] for person in frame["payload"]["viewers"])


def _presence(*people: Person) -> Callable[[Frame], bool]:
    expected = sorted(person.staff.id for person in people)
    return lambda frame: frame["type"] == "presence" and _viewers(frame) == expected


async def test_staff_see_who_looks_at_a_conversation(
    settings: Settings, api: Api, hotel: str, marta: Person, desk: Client, story: Story
) -> None:
    await story.say("Hello")
    rui = await api.person(hotel)
    async with running_api(settings) as elsewhere:
        async with staff(elsewhere.url, rui.token) as one, staff(elsewhere.url, rui.token) as two:
            await one.ask("subscribe", {"conversationId": story.id})
            seen = await desk.until(_presence(rui))
            assert seen["payload"]["conversationId"] == story.id
            assert seen["payload"]["viewers"][0]["name"] == rui.staff.name
            assert "cursor" not in seen
            await two.ask("subscribe", {"conversationId": story.id})
            await two.until(_presence(rui))
            await desk.ask("subscribe", {"conversationId": story.id})
            for client in (desk, one, two):
                await client.until(_presence(rui, marta))
            async with staff(api.url, marta.token, hotel) as late:
                await late.until(_presence(rui, marta))
            await desk.ask("unsubscribe", {"conversationId": story.id})
            await one.until(_presence(rui))
            await one.socket.close()
            await desk.ask("subscribe", {"conversationId": story.id})
            await two.until(_presence(rui, marta))  # by their other socket
        await desk.until(_presence(marta))


async def test_guests_do_not_see_who_looks(
    api: Api, hotel: str, publications: Publications, conversations: Conversations, marta: Person
) -> None:
    async with guest(api.url, hotel) as visitor, staff(api.url, marta.token) as desk:
        sender = visitor.frames[0]["payload"]["visitorId"]
        story = Story(publications, hotel, conversations.contact_key(hotel, "webchat", sender), sender)
        await story.say("Hello")
        await desk.ask("subscribe", {"conversationId": story.id})
        await desk.until(_presence(marta))
        await story.say("The end")
        await visitor.message("The end")
    assert {frame["type"] for frame in visitor.frames} == {"session", "message"}


async def test_who_a_dead_process_left_looking_goes(
    settings: Settings, redis: Redis, hotel: str, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.live.tail.REFRESH", 0.1)
    monkeypatch.setattr("api.live.presence.LASTS", 1.0)
    await story.say("Hello")
    viewer = Viewer(conversation_id=story.id, socket_id="dead", staff_id="ana", name="Ana")
    async with running_api(settings) as api:
        marta = await api.person(hotel)
        assert await Presence(redis).begin(hotel, viewer) is None
        async with staff(api.url, marta.token, hotel) as desk:
            await desk.until(lambda frame: frame["type"] == "presence" and _viewers(frame) == ["ana"])
            await desk.ask("subscribe", {"conversationId": story.id})
            await desk.until(_presence(marta))


async def test_a_message_says_how_many_are_unread(
    api: Api, marta: Person, desk: Client, hotel: str, story: Story
) -> None:
    story.unread = 3
    await story.say("Hello?", Author.GUEST)
    live = await desk.until(is_message)
    story.unread = 0
    story.change(ConversationState.ESCALATED)
    await story.publish()
    update_frame = await desk.until(of_type("conversation_update"))
    assert (live["payload"]["unread"], update_frame["payload"]["conversation"]["unread"]) == (3, 0)
    first = next(frame["cursor"] for frame in desk.frames if frame["type"] == "ack")
    async with staff(api.url, marta.token, hotel, after=first) as again:
        assert (await again.until(is_message))["payload"]["unread"] == 0, "as it is now"
