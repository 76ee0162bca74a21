"""The guest's socket, over real sockets and against the whole product."""

import json
import uuid
from collections.abc import AsyncIterator, Callable

import jwt
import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from activities.storage.database import Database
from activities.storage.log_writer import LiveStream
from activities.storage.publications import Publications
from api.live.cursors import encode
from contracts.conversations import ConversationState
from contracts.messages import Author, DeliveryState
from embedded.service import free_port
from settings import Settings
from tests.api import Api, running_api
from tests.fakes.ai import FakeAI
from tests.live import Client, Frame, Story, guest, is_message, of_type, opened, staff
from tests.support import eventually
from workflows.client import Conversations

TellStory = Callable[[Frame], Story]


@pytest.fixture
def story_of(database: Database, redis: Redis, conversations: Conversations, hotel: str) -> TellStory:
    """A conversation with the visitor of a `session` frame."""
    publications = Publications(database, LiveStream(redis))

    def story(session: Frame) -> Story:
        visitor = session["payload"]["visitorId"]
        return Story(publications, hotel, conversations.contact_key(hotel, "webchat", visitor), visitor)

    return story


@pytest.fixture
async def visitor(api: Api, hotel: str) -> AsyncIterator[Client]:
    async with guest(api.url, hotel) as client:
        yield client


def _session(client: Client) -> Frame:
    return next(frame for frame in client.frames if frame["type"] == "session")


def _token(client: Client) -> str:
    return str(_session(client)["payload"]["token"])


# --- the whole way ---------------------------------------------------------------------------------------------------


async def test_a_question_is_acknowledged_shown_and_answered(working: None, visitor: Client, hotel: str) -> None:
    before = _inbound(hotel)
    ack = await visitor.ask("send_message", {"content": "When is breakfast?"})
    answer = await visitor.message("Answer to When is breakfast?")
    own = next(frame for frame in visitor.frames if is_message(frame))
    assert own["payload"]["message"]["id"] == ack["payload"]["messageId"]
    assert own["payload"]["message"]["author"] == "guest"
    assert (answer["payload"]["message"]["author"], "ai" in answer["payload"]["message"]) == ("ai", False)
    assert answer["seq"] > own["seq"]
    assert answer["cursor"]
    assert any(frame["type"] == "typing" and frame["payload"]["author"] == "ai" for frame in visitor.frames)
    assert _inbound(hotel) == before + 1


async def test_a_message_sent_again_is_acknowledged_again_and_handled_once(
    working: None, visitor: Client, ai: FakeAI
) -> None:
    frame_id = str(uuid.uuid4())
    acks = []
    for _ in range(3):
        await visitor.send("send_message", {"content": "Towels, please"}, frame_id)
        acks.append(await visitor.until(of_type("ack")))
    await visitor.message("Answer to Towels, please")
    await visitor.send("send_message", {"content": "And soap"}, frame_id)
    other = await visitor.until(of_type("ack"))
    await visitor.message("Answer to And soap")
    assert {ack["payload"]["messageId"] for ack in acks} != {other["payload"]["messageId"]}
    assert len({ack["payload"]["messageId"] for ack in acks}) == 1
    assert visitor.contents().count("Towels, please") == 1


async def test_nobody_writes_an_answer_to_what_is_sent_again_after_it_was_answered(
    working: None, api: Api, hotel: str, visitor: Client
) -> None:
    frame_id = str(uuid.uuid4())
    await visitor.send("send_message", {"content": "Towels, please"}, frame_id)
    await visitor.message("Answer to Towels, please")
    async with guest(api.url, hotel, _token(visitor), after=visitor.cursor) as again:
        await again.send("send_message", {"content": "Towels, please"}, frame_id)
        await again.until(of_type("ack"))
        assert (await again.ask("typing"))["type"] == "ack"  # whatever the message brought came before this
        assert not [frame for frame in again.frames if frame["type"] == "typing"]
        await again.send("send_message", {"content": "And soap"}, str(uuid.uuid4()))
        assert (await again.until(of_type("typing")))["payload"] == {"author": "ai", "typing": True}


async def test_without_temporal_and_storage_a_message_is_refused_for_now(settings: Settings, hotel: str) -> None:
    settings.temporal.address = f"127.0.0.1:{free_port()}"
    settings.database.url = "postgresql://nobody@127.0.0.1:1/nothing"
    async with running_api(settings) as away, guest(away.url, hotel) as client:
        refusal = await client.ask("send_message", {"content": "Hello?"})
    assert (refusal["type"], refusal["payload"]["code"]) == ("error", "unavailable")


async def test_too_many_messages_are_refused(settings: Settings, hotel: str) -> None:
    settings.rate_limit.max_requests = 2
    async with running_api(settings) as strict, guest(strict.url, hotel) as client:
        answers = [await client.ask("send_message", {"content": f"Message {number}"}) for number in range(3)]
    assert [answer["type"] for answer in answers] == ["ack", "ack", "error"]
    assert answers[-1]["payload"]["code"] == "too_many_requests"


async def test_too_many_new_visitors_from_one_address_are_refused_and_known_ones_are_not(
    settings: Settings, hotel: str
) -> None:
    settings.rate_limit.max_requests = 7
    async with running_api(settings) as strict:
        for _ in range(7):
            async with guest(strict.url, hotel) as client:
                token = _token(client)
        async with opened(strict.url, f"/chat/{hotel}") as late:
            await late.send("auth")
            assert (await late.closed(), late.frames[-1]["payload"]["code"]) == (4429, "too_many_requests")
        async with guest(strict.url, hotel, token) as known:
            assert (await known.ask("send_message", {"content": "Hello"}))["type"] == "ack"


# --- what may not come in --------------------------------------------------------------------------------------------


BAD_FRAMES: list[tuple[object, str, str | None]] = [
    ("{", "malformed", None),
    ("[" * 10_000, "malformed", None),
    ("[]", "malformed", None),
    ("null", "malformed", None),
    ('"text"', "malformed", None),
    (b"\x00\x01", "malformed", None),
    ({"payload": {}}, "invalid", "type"),
    ({"type": "dance"}, "invalid", "type"),
    ({"type": "subscribe"}, "invalid", "type"),
    ({"type": "auth"}, "invalid", "type"),
    ({"type": "send_message", "payload": {"content": "Hello"}}, "invalid", "id"),
    ({"type": "send_message", "id": "", "payload": {"content": "Hello"}}, "invalid", "id"),
    ({"type": "send_message", "id": 7, "payload": {"content": "Hello"}}, "invalid", "id"),
    ({"type": "send_message", "id": "x" * 129, "payload": {"content": "Hello"}}, "invalid", "id"),
    ({"type": "send_message", "id": "a", "payload": {}}, "invalid", "content"),
    ({"type": "send_message", "id": "a", "payload": []}, "invalid", "payload"),
    ({"type": "send_message", "id": "a", "payload": {"content": ""}}, "invalid", "content"),
    ({"type": "send_message", "id": "a", "payload": {"content": " \n"}}, "invalid", "content"),
    ({"type": "send_message", "id": "a", "payload": {"content": "x" * 4097}}, "invalid", "content"),
    ({"type": "send_message", "id": "a", "payload": {"content": 7}}, "invalid", "content"),
    ({"type": "send_message", "id": "a", "payload": {"content": ["a"]}}, "invalid", "content"),
    ({"type": "send_message", "id": "a", "payload": {"content": "a\0b"}}, "invalid", "content"),
    ('{"type": "send_message", "id": "a", "payload": {"content": "\\ud800"}}', "malformed", None),
]


async def test_what_is_no_message_is_told_and_the_socket_stays(visitor: Client) -> None:
    for frame, code, field in BAD_FRAMES:
        await visitor.socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))
        refusal = await visitor.until(of_type("error"))
        assert (refusal["payload"]["code"], refusal["payload"].get("field")) == (code, field), frame
        if isinstance(frame, dict) and frame.get("id") == "a":
            assert refusal["id"] == "a"
    longest = await visitor.ask("send_message", {"content": "\N{GRINNING FACE}" * 4096})
    assert longest["type"] == "ack"


async def test_an_unknown_property_is_refused(api: Api) -> None:
    async with opened(api.url, "/chat/nowhere") as client:
        assert await client.closed() == 4403
    assert client.frames[0]["payload"]["code"] == "forbidden"


@pytest.mark.parametrize(
    ("origin", "welcome"),
    [("http://evil.test", False), ("null", False), ("https://widget.test", True), (None, True)],
)
async def test_another_origin_is_refused(settings: Settings, hotel: str, origin: str | None, welcome: bool) -> None:
    settings.websocket.allowed_origins = ["https://widget.test"]
    async with running_api(settings) as api, opened(api.url, f"/chat/{hotel}", origin=origin) as client:
        await client.send("auth")
        if welcome:
            assert (await client.next())["type"] == "session"
        else:
            assert await client.closed() == 4403


async def test_the_page_of_this_server_is_welcome(api: Api, hotel: str) -> None:
    async with opened(api.url, f"/chat/{hotel}", origin=api.url) as client:
        await client.send("auth")
        assert (await client.next())["type"] == "session"


async def test_who_does_not_say_who_they_are_is_closed(api: Api, hotel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.live.connection.AUTH_SECONDS", 0.1)
    async with opened(api.url, f"/chat/{hotel}") as silent, opened(api.url, f"/chat/{hotel}") as hasty:
        await hasty.send("send_message", {"content": "Hello"}, "a")
        assert (await silent.closed(), await hasty.closed()) == (4401, 4401)


# --- who sees what ---------------------------------------------------------------------------------------------------


async def test_a_guest_sees_nothing_that_is_not_theirs(
    api: Api, hotel: str, visitor: Client, story_of: TellStory
) -> None:
    story = story_of(_session(visitor))
    async with guest(api.url, hotel) as other:
        await story_of(_session(other)).say("For another guest")
        await other.message("For another guest")
    await story.say("A note", Author.STAFF, private=True)
    story.message("Not sent yet", delivery=DeliveryState.QUEUED)
    story.notify("Staff are told")
    story.change(ConversationState.ESCALATED)
    await story.publish()
    await story.say("For you", Author.STAFF)
    await visitor.message("For you")
    assert visitor.contents() == ["For you"]
    update = next(frame for frame in visitor.frames if frame["type"] == "conversation_update")
    assert update["payload"]["conversation"] == {"conversationId": story.id, "state": "escalated", "seq": 4}
    assert {frame["type"] for frame in visitor.frames} == {"session", "conversation_update", "message"}
    assert "secret_intent" not in json.dumps(visitor.frames)


async def test_a_token_of_elsewhere_makes_a_new_visitor(api: Api, hotel: str, visitor: Client) -> None:
    claims = jwt.decode(_token(visitor), options={"verify_signature": False})
    forged = [
        jwt.encode({**claims, "property": hotel}, "another secret of at least 32 bytes!", algorithm="HS256"),
        jwt.encode({**claims, "property": "other"}, "a signing secret of at least 32 bytes", algorithm="HS256"),
        jwt.encode({**claims, "aud": "gateway-staff"}, "a signing secret of at least 32 bytes", algorithm="HS256"),
        jwt.encode({**claims, "exp": 1}, "a signing secret of at least 32 bytes", algorithm="HS256"),
        jwt.encode(claims, "", algorithm="none"),
        "nonsense",
    ]
    for token in forged:
        async with guest(api.url, hotel, token) as client:
            assert _session(client)["payload"]["visitorId"] != claims["sub"]
    async with guest(api.url, hotel, _token(visitor)) as client:
        assert _session(client)["payload"]["visitorId"] == claims["sub"]


async def test_a_visitors_token_opens_nothing_of_the_staff(api: Api, visitor: Client) -> None:
    async with opened(api.url, "/ws") as client:
        await client.send("auth", {"token": _token(visitor)})
        assert await client.closed() == 4401
    answer = await api.http.get("/api/v1/conversations", headers={"Authorization": f"Bearer {_token(visitor)}"})
    assert answer.status_code == 401


async def test_typing_goes_both_ways(api: Api, hotel: str, visitor: Client, story_of: TellStory) -> None:
    story = story_of(_session(visitor))
    await story.say("Hello")
    await visitor.message("Hello")
    marta, rui = await api.person(hotel), await api.person(hotel)
    async with staff(api.url, marta.token, hotel) as one, staff(api.url, rui.token, hotel) as two:
        await visitor.send("typing", {"typing": True})
        seen = await one.until(of_type("typing"))
        assert seen["payload"] == {
            "propertyId": hotel,
            "conversationId": story.id,
            "author": "guest",
            "typing": True,
        }
        assert "cursor" not in seen
        await one.send("typing", {"conversationId": story.id, "typing": True})
        told = [await client.until(of_type("typing")) for client in (visitor, two, two)]
        assert [frame["payload"]["author"] for frame in told] == ["staff", "guest", "staff"]
        assert told[0]["payload"]["authorName"] == marta.staff.name
        await story.say("Done")
        await one.message("Done")
    assert [frame["payload"]["author"] for frame in one.frames if frame["type"] == "typing"] == ["guest"]


async def test_typing_is_acknowledged_to_who_asks_for_it(
    api: Api, hotel: str, visitor: Client, story_of: TellStory
) -> None:
    assert (await visitor.ask("typing", {"typing": True}))["type"] == "ack"  # also before there is a conversation
    story = story_of(_session(visitor))
    await story.say("Hello")
    marta = await api.person(hotel)
    async with staff(api.url, marta.token) as one:
        ack = await one.ask("typing", {"conversationId": story.id, "typing": True})
        assert (ack["type"], ack["payload"]) == ("ack", {"conversationId": story.id})


async def test_who_is_not_heard_of_has_stopped_typing(
    api: Api, hotel: str, visitor: Client, story_of: TellStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.live.tail.TYPING", 0.2)
    story = story_of(_session(visitor))
    await story.say("Hello")
    await visitor.message("Hello")
    marta = await api.person(hotel)
    async with staff(api.url, marta.token, hotel) as desk:
        await visitor.send("typing", {"typing": True})
        told = [await desk.until(of_type("typing")) for _ in range(2)]
        await desk.send("typing", {"conversationId": story.id, "typing": True})
        shown = [await visitor.until(of_type("typing")) for _ in range(2)]
    assert [frame["payload"]["typing"] for frame in (*told, *shown)] == [True, False] * 2
    assert {frame["payload"]["author"] for frame in told} == {"guest"}
    assert {frame["payload"]["authorName"] for frame in shown} == {marta.staff.name}


async def test_the_ai_is_shown_writing_no_longer_than_an_answer_may_take(settings: Settings, hotel: str) -> None:
    settings.routing.ai_timeout = 200
    async with running_api(settings) as api, guest(api.url, hotel) as visitor:
        await visitor.ask("send_message", {"content": "Nobody works on this"})
        shown = [await visitor.until(of_type("typing")) for _ in range(2)]
    assert [frame["payload"] for frame in shown] == [
        {"author": "ai", "typing": True},
        {"author": "ai", "typing": False},
    ]


# --- coming back -----------------------------------------------------------------------------------------------------


async def test_a_reloaded_page_shows_the_open_conversation_once(
    api: Api, hotel: str, visitor: Client, story_of: TellStory
) -> None:
    story = story_of(_session(visitor))
    await story.say("One", Author.GUEST)
    story.change(ConversationState.ESCALATED)
    await story.say("A note", Author.STAFF, private=True)
    await story.say("Two", Author.STAFF)
    async with guest(api.url, hotel, _token(visitor)) as again:
        state = await again.until(of_type("conversation_update"))
        await story.say("Three", Author.STAFF)
        await again.message("Three")
    assert again.contents() == ["One", "Two", "Three"]
    assert _session(again)["payload"]["conversation"]["state"] == "escalated"
    assert state["payload"]["conversation"]["state"] == "escalated"


async def test_a_new_connection_goes_on_where_the_old_one_was(
    api: Api, hotel: str, visitor: Client, story_of: TellStory
) -> None:
    story = story_of(_session(visitor))
    await story.say("One")
    await visitor.message("One")
    await visitor.socket.close()
    for number in range(2, 5):
        await story.say(f"Message {number}")
    async with guest(api.url, hotel, _token(visitor), after=visitor.cursor) as again:
        await again.message("Message 4")
        await story.say("Live")
        await again.message("Live")
    assert again.contents() == ["Message 2", "Message 3", "Message 4", "Live"]


@pytest.mark.parametrize("after", ["", "nonsense", "c2VhdmlldzoxMg", "é", "future", "monstrous"])
async def test_a_cursor_that_says_nothing_here_is_answered_by_resync(
    api: Api, hotel: str, visitor: Client, story_of: TellStory, after: str
) -> None:
    story = story_of(_session(visitor))
    await story.say("Before")
    await visitor.message("Before")
    after = {"future": encode(hotel, 10**9), "monstrous": encode(hotel, 10**30)}.get(after, after)
    async with guest(api.url, hotel, _token(visitor), after=after) as again:
        resync = await again.until(of_type("resync"))
        await story.say("After")
        await again.message("After")
    assert again.contents() == ["After"]
    assert resync["cursor"] == visitor.cursor


async def test_open_sockets_are_counted_and_closed_ones_forgotten(api: Api, hotel: str) -> None:
    async def reaches(count: int) -> None:
        async def look() -> bool:
            return REGISTRY.get_sample_value("gateway_ws_connections", {"audience": "guest"}) == count

        await eventually(look, what=f"{count} open sockets", seconds=20)

    async with guest(api.url, hotel):
        await reaches(1)
        async with guest(api.url, hotel):
            await reaches(2)
        await reaches(1)
    await reaches(0)


def _inbound(hotel: str) -> float:
    labels = {"channel": "webchat", "property": hotel, "outcome": "accepted"}
    return REGISTRY.get_sample_value("gateway_messages_inbound_total", labels) or 0
