"""The staff socket: who may see and say what, and when it ends."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import update
from sqlmodel import col
from websockets.exceptions import ConnectionClosed

from activities.storage.database import Database
from activities.storage.publications import Publications
from activities.storage.tables import StaffRow
from contracts.conversations import Conversation, ConversationState
from contracts.events import MessageDelivery
from contracts.messages import Author, ChannelType, Delivery, DeliveryState
from settings import Property, Settings
from tests.api import Api, Person, running_api
from tests.live import Client, Story, guest, is_message, of_type, opened, staff
from workflows.client import Conversations


@pytest.fixture
async def desk(api: Api, marta: Person, hotel: str) -> AsyncIterator[Client]:
    """Marta's socket, subscribed to her property."""
    async with staff(api.url, marta.token, hotel) as client:
        yield client


def _story(
    publications: Publications, conversations: Conversations, hotel: str, channel: ChannelType = "webchat"
) -> Story:
    sender = uuid.uuid4().hex
    key = conversations.contact_key(hotel, channel, sender)
    return Story(publications, hotel, key, sender, channel_type=channel)


@pytest.fixture
def story(publications: Publications, conversations: Conversations, hotel: str) -> Story:
    return _story(publications, conversations, hotel)


# --- signing in ------------------------------------------------------------------------------------------------------


async def test_a_socket_begins_with_who_it_is(api: Api, marta: Person) -> None:
    async with opened(api.url, "/ws") as client:
        await client.send("auth", {"token": marta.token}, "first")
        session = await client.next()
    assert (session["type"], session["id"]) == ("session", "first")
    assert session["payload"]["staff"] == marta.staff.model_dump(mode="json")


@pytest.mark.parametrize("payload", [{}, {"token": ""}, {"token": "nonsense"}, {"token": "a.b.c"}])
async def test_without_a_session_it_is_closed(api: Api, payload: dict[str, str]) -> None:
    async with opened(api.url, "/ws") as client:
        await client.send("auth", payload)
        assert await client.closed() == 4401
    assert client.frames[0]["payload"]["code"] == "unauthenticated"


async def test_signing_out_closes_the_socket(api: Api, marta: Person, desk: Client) -> None:
    await marta.http.post("/api/v1/auth/logout")
    assert await desk.closed() == 4401


async def test_a_session_that_runs_out_closes_the_socket(settings: Settings, hotel: str) -> None:
    settings.session.ttl, settings.session.renewal_threshold = 1, 0
    async with running_api(settings) as api:
        rui = await api.person(hotel)
        async with staff(api.url, rui.token, hotel) as client:
            assert await client.closed() == 4401


async def test_working_on_the_socket_keeps_the_session(settings: Settings, hotel: str) -> None:
    settings.session.ttl, settings.session.renewal_threshold = 2, 2
    async with running_api(settings) as api:
        rui = await api.person(hotel)
        async with staff(api.url, rui.token) as client:
            began = asyncio.get_running_loop().time()
            while asyncio.get_running_loop().time() - began < 4:
                assert (await client.ask("unsubscribe"))["type"] == "ack"
                await asyncio.sleep(0.2)


async def test_a_ping_is_answered_and_keeps_no_session(settings: Settings, hotel: str) -> None:
    settings.session.ttl, settings.session.renewal_threshold = 2, 2
    async with running_api(settings) as api:
        rui = await api.person(hotel)
        async with staff(api.url, rui.token) as client, guest(api.url, hotel) as visitor:
            assert (await visitor.ask("ping"))["type"] == "ack"

            async def ping_on() -> None:
                while len(client.frames) < 40:
                    assert (await client.ask("ping"))["type"] == "ack"
                    await asyncio.sleep(0.2)

            with pytest.raises(ConnectionClosed, match="4401"):
                await ping_on()


async def test_nothing_is_compressed_unless_a_proxy_does_it(api: Api) -> None:
    async with opened(api.url, "/ws", compression="deflate") as client:
        assert client.socket.protocol.extensions == []


# --- seeing ----------------------------------------------------------------------------------------------------------


async def test_staff_see_everything_of_their_property(
    api: Api, hotel: str, marta: Person, desk: Client, story: Story
) -> None:
    await story.say("A note", Author.STAFF, private=True)
    await story.say("An answer")
    story.change(ConversationState.ESCALATED)
    story.notify("Please look")
    await story.publish()
    task = {"propertyId": hotel, "department": "housekeeping", "title": "Towels for 12"}
    assert (await marta.http.post("/api/v1/tasks", json=task)).status_code == 201
    await desk.until(of_type("task_update"))
    told = [frame for frame in desk.frames if "cursor" in frame and frame["type"] != "ack"]
    assert [frame["type"] for frame in told] == [
        "message",
        "message",
        "conversation_update",
        "notification",
        "task_update",
    ]
    assert [frame.get("seq") for frame in told] == [1, 2, 3, 4, None]
    assert told[1]["payload"]["message"]["ai"] == {"confidence": 0.9, "intent": "secret_intent", "sources": []}
    assert told[2]["payload"]["conversation"]["workflowId"] == f"conversation-{story.contact_key}"
    assert told[3]["payload"]["notification"]["text"] == "Please look"
    assert told[4]["payload"]["task"]["title"] == "Towels for 12"
    assert {frame["payload"]["propertyId"] for frame in told} == {hotel}
    assert "null" not in json.dumps(told)


async def test_no_event_of_another_property_leaves(
    settings: Settings,
    publications: Publications,
    conversations: Conversations,
    hotel: str,
    story: Story,
) -> None:
    other = f"other-{uuid.uuid4().hex[:8]}"
    settings.properties[other] = Property(name="Other Hotel")
    theirs = _story(publications, conversations, other)
    await theirs.say("Theirs")
    async with running_api(settings) as api:
        marta = await api.person(hotel)
        async with staff(api.url, marta.token, hotel) as desk:
            refusals = [
                await desk.ask("subscribe", {"propertyId": other}),
                await desk.ask("subscribe", {"conversationId": theirs.id}),
                await desk.ask("subscribe", {"conversationId": theirs.id, "propertyId": hotel}),
                await desk.ask("send_message", {"conversationId": theirs.id, "content": "Hello"}),
                await desk.ask("typing", {"conversationId": theirs.id}),
            ]
            everything = await desk.ask("subscribe")
            await theirs.say("Theirs, live")
            await story.say("Ours")
            await desk.message("Ours")
    assert [(each["type"], each["payload"]["code"]) for each in refusals] == [("error", "forbidden")] * 5
    assert everything["type"] == "ack"
    assert desk.contents() == ["Ours"]


async def test_a_conversation_that_does_not_exist_is_not_found(desk: Client) -> None:
    for name in ("nonsense", "a" * 26 + "-00000000"):
        refusal = await desk.ask("subscribe", {"conversationId": name})
        assert refusal["payload"]["code"] == "not_found"


async def test_one_conversation_and_one_channel_can_be_chosen(
    api: Api, marta: Person, publications: Publications, conversations: Conversations, hotel: str
) -> None:
    chat, other = (_story(publications, conversations, hotel) for _ in range(2))
    sms = _story(publications, conversations, hotel, "sms")
    for each in (chat, other, sms):
        await each.say(f"Begun by {each.channel_type}")
    async with staff(api.url, marta.token) as one, staff(api.url, marta.token) as two:
        assert (await one.ask("subscribe", {"conversationId": chat.id}))["payload"]["conversationId"] == chat.id
        after = (await two.ask("subscribe", {"propertyId": hotel, "channel": "sms"}))["cursor"]
        for each in (other, sms, chat):
            await each.say(f"Live by {each.channel_type}")
        await one.message("Live by webchat")
        await two.message("Live by sms")
        async with staff(api.url, marta.token) as three:
            await three.ask("subscribe", {"propertyId": hotel, "channel": "sms", "after": after})
            await three.message("Live by sms")
            await sms.say("The end")
            await three.message("The end")
    assert one.contents() == ["Live by webchat"]
    assert [frame["payload"]["conversationId"] for frame in one.frames if is_message(frame)] == [chat.id]
    assert two.contents() == ["Live by sms"]
    assert three.contents() == ["Live by sms", "The end"]


async def test_what_two_subscriptions_want_comes_once(desk: Client, hotel: str, story: Story) -> None:
    await story.say("Before")
    await desk.ask("subscribe", {"conversationId": story.id})
    await desk.ask("subscribe", {"propertyId": hotel})
    await story.say("Once")
    await story.say("The end")
    await desk.message("The end")
    assert desk.contents() == ["Before", "Once", "The end"]


async def test_what_two_subscriptions_missed_comes_once(api: Api, marta: Person, hotel: str, story: Story) -> None:
    await story.say("Seen")
    async with staff(api.url, marta.token, hotel) as desk:
        cursor = desk.cursor
    await story.say("Missed")
    async with opened(api.url, "/ws") as desk:
        await desk.send("auth", {"token": marta.token})
        await desk.ask("subscribe", {"propertyId": hotel, "after": cursor})
        await desk.ask("subscribe", {"conversationId": story.id, "after": cursor})
        await story.say("The end")
        await desk.message("The end")
        assert desk.contents() == ["Missed", "The end"]


async def test_unsubscribed_is_silent(desk: Client, hotel: str, story: Story) -> None:
    await story.say("Before")
    await desk.message("Before")
    await desk.ask("unsubscribe", {"propertyId": hotel})
    await story.say("Meanwhile")
    await desk.ask("subscribe", {"propertyId": hotel})
    await story.say("After")
    await desk.message("After")
    assert desk.contents() == ["Before", "After"]


async def test_subscribing_after_a_cursor_brings_what_was_missed(
    api: Api, marta: Person, desk: Client, hotel: str, story: Story
) -> None:
    for number in range(3):
        await story.say(f"Message {number}")
    await desk.message("Message 2")
    first = next(frame for frame in desk.frames if is_message(frame))["cursor"]
    async with staff(api.url, marta.token, hotel, after=first) as again:
        await story.say("Live")
        await again.message("Live")
    assert again.contents() == ["Message 1", "Message 2", "Live"]
    assert [frame["cursor"] for frame in again.frames if is_message(frame)] == [
        *[frame["cursor"] for frame in desk.frames if is_message(frame)][1:],
        again.cursor,
    ]


async def test_a_message_whose_delivery_moves_is_told_again(
    desk: Client, publications: Publications, story: Story
) -> None:
    message = await story.say("On its way")
    conversation = Conversation(
        conversation_id=story.id,
        guest_id="guest",
        property_id=story.property_id,
        state=ConversationState.ACTIVE,
        channel_type="webchat",
        created_at=datetime.now(UTC),
        workflow_id="workflow",
    )
    delivered = Delivery(state=DeliveryState.DELIVERED)
    await publications.move_delivery(conversation, MessageDelivery(message_id=message.id, delivery=delivered))
    first, second = [await desk.until(is_message) for _ in range(2)]
    assert first["payload"]["message"]["delivery"]["state"] == "sent"
    assert second["payload"]["message"]["delivery"]["state"] == "delivered"
    assert (first["payload"]["message"]["id"], first["seq"]) == (second["payload"]["message"]["id"], second["seq"])
    assert first["cursor"] != second["cursor"]


# --- saying ----------------------------------------------------------------------------------------------------------


async def test_a_reply_reaches_the_guest_and_everybody_else(
    working: None, api: Api, hotel: str, desk: Client, marta: Person
) -> None:
    async with guest(api.url, hotel) as visitor:
        await visitor.ask("send_message", {"content": "Hello?"})
        answer = await visitor.message("Answer to Hello?")
        conversation_id = answer["payload"]["conversationId"]
        note = await desk.ask(
            "send_message", {"conversationId": conversation_id, "content": "A regular", "private": True}
        )
        reply = {
            "conversationId": conversation_id,
            "content": "Marta here",
            "channel": "webchat",
            "clientMessageId": str(uuid.uuid4()),
        }
        acks = [await desk.ask("send_message", reply) for _ in range(2)]
        shown = await visitor.message("Marta here")
        await desk.message("Marta here")
        wrong = await desk.ask("send_message", {**reply, "channel": "sms"})
    assert note["type"] == "ack"
    assert [ack["payload"]["messageId"] for ack in acks] == [reply["clientMessageId"]] * 2
    assert shown["payload"]["message"]["authorName"] == marta.staff.name
    assert "A regular" not in visitor.contents()
    assert desk.contents() == ["Hello?", "Answer to Hello?", "A regular", "Marta here"]
    assert (wrong["payload"]["code"], wrong["payload"]["field"]) == ("invalid", "channel")


BAD_REPLIES: list[tuple[dict[str, object], str]] = [
    ({"content": ""}, "content"),
    ({"content": "  "}, "content"),
    ({"content": "x" * 4097}, "content"),
    ({"content": 7}, "content"),
    ({"content": "a\0"}, "content"),
    ({"content": "x", "clientMessageId": "a b"}, "clientMessageId"),
    ({"content": "x", "private": "perhaps"}, "private"),
    ({"content": "x", "channel": "pigeon"}, "channel"),
    ({"content": "x", "conversationId": None}, "conversationId"),
]


async def test_what_is_no_reply_is_told(desk: Client, story: Story) -> None:
    await story.say("Hello")
    for payload, field in BAD_REPLIES:
        refusal = await desk.ask("send_message", {"conversationId": story.id, **payload})
        assert (refusal["payload"]["code"], refusal["payload"]["field"]) == ("invalid", field), payload


async def test_bad_json_is_told_and_the_socket_stays(desk: Client) -> None:
    for text in ("{", "[" * 50_000, '{"type":"auth"}', '{"type":"dance","id":"a"}'):
        await desk.socket.send(text)
        assert (await desk.until(of_type("error")))["payload"]["code"] in ("malformed", "invalid")
    assert (await desk.ask("unsubscribe"))["type"] == "ack"


async def test_a_reply_to_a_conversation_that_is_over_is_refused(desk: Client, story: Story) -> None:
    story.change(ConversationState.RESOLVED)
    await story.publish()
    refusal = await desk.ask("send_message", {"conversationId": story.id, "content": "Too late"})
    assert refusal["payload"]["code"] in ("resolved", "not_found")


# --- who may still see -----------------------------------------------------------------------------------------------


async def test_who_loses_a_property_is_told_nothing_more_of_it(
    settings: Settings,
    database: Database,
    publications: Publications,
    conversations: Conversations,
    hotel: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.live.standing.LOOK", 0.1)
    other = f"other-{uuid.uuid4().hex[:8]}"
    settings.properties[other] = Property(name="Other Hotel")
    lost = _story(publications, conversations, other)
    async with running_api(settings) as api:
        ana, rui = [await api.signed_in(await api.hire(hotel, other)) for _ in range(2)]
        async with staff(api.url, ana.token, hotel, other) as desk, staff(api.url, rui.token, other) as unchanged:
            await lost.say("Before")
            await desk.message("Before")
            async with database.begin() as connection:
                await connection.execute(
                    update(StaffRow).where(col(StaffRow.id) == ana.staff.id).values(properties=[hotel])
                )
            assert await desk.closed() == 4401
            await lost.say("After")
            await unchanged.message("After")
        assert desk.contents() == ["Before"]
        async with opened(api.url, "/ws") as again:
            await again.send("auth", {"token": ana.token})
            assert await again.closed() == 4401
        assert [frame["payload"]["code"] for frame in again.frames] == ["unauthenticated"]
