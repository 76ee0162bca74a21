"""The main job on real input: sockets and signed webhooks in, answers out, storage and metrics behind."""

import asyncio
import uuid
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from itertools import cycle
from pathlib import Path

import httpx
import pytest

import activities.ai
from contracts.conversations import ConversationState
from contracts.messages import Author
from settings import Settings
from tests.api import Api
from tests.fakes.ai import FakeAI
from tests.fakes.callback import FakeCallback, signed_message
from tests.live import Client, is_message, of_type
from tests.live import guest as visiting
from tests.live import staff as watching
from tests.questions import ASIDES, QUESTIONS
from tests.support import Guest, Stack, eventually, workers

pytestmark = pytest.mark.usefixtures("held_to_the_rules")

KNOWLEDGE = Path(activities.ai.__file__).parent / "properties" / "seaview"
GUESTS_A_CHANNEL = 25
MESSAGES = 10


def _questions() -> Iterator[str]:
    """Distinct, answerable questions without end."""
    for room, (question, _) in enumerate(cycle(QUESTIONS)):
        yield f"{question}{ASIDES[room // len(QUESTIONS) % len(ASIDES)]}"


async def test_fifty_guests_are_answered_once_in_order(
    api: Api, stack: Stack, hotel: str, callback: FakeCallback
) -> None:
    """Every inbound id is in exactly one reply, in order, and PostgreSQL says what the workflows say."""
    stack.settings.properties[hotel].knowledge = str(KNOWLEDGE)
    questions = _questions()
    scripts = [[next(questions) for _ in range(MESSAGES)] for _ in range(2 * GUESTS_A_CHANNEL)]
    async with workers(stack.settings, stack.client):
        told = await asyncio.gather(
            *(_by_webhook(api, stack, callback, script) for script in scripts[:GUESTS_A_CHANNEL]),
            *(_by_web_chat(api, stack, script) for script in scripts[GUESTS_A_CHANNEL:]),
        )
        for guest, inbound in told:
            await _says_the_same_everywhere(stack, guest, inbound)
    answered = Counter(each for reply in callback.received.values() for each in reply.in_reply_to)
    by_webhook = [each for _, inbound in told[:GUESTS_A_CHANNEL] for each in inbound]
    assert answered == Counter(by_webhook)
    assert len(callback.attempts) == len(callback.received)


async def _by_webhook(api: Api, stack: Stack, callback: FakeCallback, script: list[str]) -> tuple[Guest, list[str]]:
    guest = stack.guest(adapter="messages", channel_type="sms")
    inbound: list[str] = []
    for content in script:
        message_id = uuid.uuid4().hex
        inbound.append(message_id)
        answer = await _post(api.http, stack.hotel, guest.sender_id, message_id, content)
        assert answer.status_code == 202

        async def replied(message_id: str = message_id) -> bool:
            return any(message_id in reply.in_reply_to for reply in callback.received.values())

        await eventually(replied, what="the callback", seconds=120)
    return guest, inbound


async def _by_web_chat(api: Api, stack: Stack, script: list[str]) -> tuple[Guest, list[str]]:
    inbound: list[str] = []
    async with visiting(api.url, stack.hotel) as client:
        visitor: str = next(frame for frame in client.frames if frame["type"] == "session")["payload"]["visitorId"]
        for content in script:
            inbound.append((await client.ask("send_message", {"content": content}))["payload"]["messageId"])
            await _next_answer(client, len(inbound))
        authors = [frame["payload"]["message"]["author"] for frame in client.frames if is_message(frame)]
        assert authors == ["guest", "ai"] * len(script)
    return stack.guest(sender_id=visitor), inbound


async def _next_answer(client: Client, count: int) -> None:
    def answers() -> int:
        return sum(is_message(frame) and frame["payload"]["message"]["author"] == "ai" for frame in client.frames)

    async with asyncio.timeout(120):
        while answers() < count:
            await client.next()


async def _post(http: httpx.AsyncClient, hotel: str, sender: str, message_id: str, content: str) -> httpx.Response:
    body, headers = signed_message(sender, message_id, content)
    return await http.post(f"/webhooks/messages/{hotel}", content=body, headers=headers)


async def _says_the_same_everywhere(stack: Stack, guest: Guest, inbound: list[str]) -> None:
    conversation = await guest.conversation()
    await stack.stored(conversation)
    assert conversation.state is ConversationState.ACTIVE, conversation.escalation
    messages = await guest.messages()
    assert [each.id for each in messages if each.author is Author.GUEST] == inbound
    rows = await stack.rows(
        "SELECT id, author, content, seq FROM messages WHERE contact_key = :key ORDER BY seq", key=guest.contact_key
    )
    assert rows == [
        {"id": each.id, "author": each.author.value, "content": each.content, "seq": each.seq} for each in messages
    ]
    outcomes = await guest.outcomes()
    replies = [each.id for each in messages if each.author is Author.AI]
    assert [outcomes[each].reply_id for each in inbound] == replies
    stored = await stack.rows(
        "SELECT message_id, outcome, reply_id FROM outcomes WHERE conversation_id = :id",
        id=conversation.conversation_id,
    )
    assert {row["message_id"]: row["reply_id"] for row in stored} == dict(zip(inbound, replies, strict=True))
    assert {row["outcome"] for row in stored} == {"answered"}


async def test_staff_see_and_answer_over_rest_and_socket(api: Api, stack: Stack, hotel: str, ai: FakeAI) -> None:
    person = await api.person(hotel)
    async with (
        workers(stack.settings, stack.client),
        visiting(api.url, hotel) as visitor,
        watching(api.url, person.token, hotel) as live,
    ):
        await visitor.ask("send_message", {"content": "I want to speak to a person"})
        escalated = await live.until(
            lambda frame: (
                frame["type"] == "conversation_update" and frame["payload"]["conversation"]["state"] == "escalated"
            )
        )
        conversation_id = escalated["payload"]["conversationId"]
        await live.until(of_type("notification"))
        claimed = await person.http.post(f"/api/v1/conversations/{conversation_id}/claim", json={})
        assert claimed.json()["assignedTo"] == person.staff.id
        sent = await person.http.post(f"/api/v1/conversations/{conversation_id}/messages", json={"content": "Rui here"})
        assert sent.status_code == 201
        over_socket = await live.ask("send_message", {"conversationId": conversation_id, "content": "How may I help?"})
        assert over_socket["type"] == "ack"
        for content in ("Rui here", "How may I help?"):
            assert (await visitor.message(content))["payload"]["message"]["author"] == "staff"
            await live.message(content)
        resolved = await person.http.post(f"/api/v1/conversations/{conversation_id}/resolve", json={})
        assert resolved.json()["state"] == "resolved"
        await visitor.until(
            lambda frame: (
                frame["type"] == "conversation_update" and frame["payload"]["conversation"]["state"] == "resolved"
            )
        )


METRICS = (
    "gateway_messages_inbound_total",
    "gateway_messages_outbound_total",
    "gateway_messages_routed_total",
    "gateway_escalations_total",
    "gateway_latency_routing_seconds_count",
)


async def test_one_escalated_conversation_moves_every_metric(
    api: Api, stack: Stack, hotel: str, ai: FakeAI, settings: Settings
) -> None:
    async def figures() -> dict[str, float]:
        """Samples of this hotel, and of all sockets."""
        lines = (await api.http.get("/metrics")).text.splitlines()
        samples = [line.rsplit(" ", 1) for line in lines if hotel in line or line.startswith("gateway_ws_connections")]
        found: defaultdict[str, float] = defaultdict(float)
        for name, value in samples:
            found[name.split("{")[0]] += float(value)
        return found

    before = await figures()
    async with workers(stack.settings, stack.client), visiting(api.url, hotel) as visitor:
        await visitor.ask("send_message", {"content": "When is breakfast?"})
        await _next_answer(visitor, 1)
        assert (await figures())["gateway_ws_connections"] == before["gateway_ws_connections"] + 1
        await visitor.ask("send_message", {"content": "I want to speak to a person"})
        await visitor.until(of_type("conversation_update"))
        look = _moved(figures, before)
        await eventually(look, what="all metrics to move")


def _moved(
    figures: Callable[[], Awaitable[dict[str, float]]], before: dict[str, float]
) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        now = await figures()
        return all(now.get(name, 0) > before.get(name, 0) for name in METRICS)

    return look
