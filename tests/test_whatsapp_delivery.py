"""What leaves by WhatsApp: once, whatever the provider does; and what it reports of it."""

import asyncio
import itertools
from dataclasses import replace
from typing import Any

import httpx
import pytest

from activities.channels import parts, whatsapp_sender
from activities.channels.provider_errors import Verdict
from activities.channels.whatsapp import ERRORS
from contracts.conversations import ConversationState
from settings import Property, Settings, WhatsAppChannel
from tests.api import Api, problem, running_api
from tests.fakes.ai import FakeAI
from tests.fakes.graph import FakeGraph
from tests.fakes.misbehaving import Fault
from tests.support import Stack, asked, command, eventually, workers
from tests.whatsapp import change, delivered, guest, notification, number, post, reply_of, settled, status, text, write

CODES: dict[int, Verdict] = {
    131047: "staff",
    131026: "permanent",
    131051: "permanent",
    131053: "staff",
    130429: "wait",
    131056: "wait",
    80007: "wait",
    190: "staff",
    368: "staff",
    429: "wait",
}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long: neither for an answer nor before the next try."""
    monkeypatch.setattr(parts, "RECONCILE_SECONDS", 0.1)
    monkeypatch.setattr(whatsapp_sender, "TIMEOUT", httpx.Timeout(0.5))
    for code, meaning in ERRORS.meanings.items():
        monkeypatch.setitem(ERRORS.meanings, code, replace(meaning, after=0.1 if meaning.after else None))


def test_each_code_has_its_meaning() -> None:
    assert {code: ERRORS.meanings[code].verdict for code in CODES} == CODES
    waits = [ERRORS.result("m", code) for code, verdict in CODES.items() if verdict == "wait"]
    assert all(each.result == "retry" and each.retry_after and not each.unsure for each in waits)
    assert ERRORS.result("m", 429, 7.0).retry_after == 7.0
    assert ERRORS.result("m", 987654).result == "failed"


async def test_each_error_code_is_waited_out_or_told_to_staff(
    api: Api, stack: Stack, ai: FakeAI, graph: FakeGraph, hotel: str, impatient: None
) -> None:
    async def check(code: int, verdict: Verdict) -> None:
        # In letters: a figure in an answer would have to stand in an article.
        asked = "Question " + "".join(chr(ord("a") + int(digit)) for digit in str(code))
        sender, answer = number(), f"Answer to {asked}"
        graph.refuse[answer] = [code]
        item = text(sender, asked)
        await write(api, hotel, item)
        writer = guest(stack, sender)
        message = await reply_of(writer)
        if verdict == "wait":
            await delivered(stack, message, "sent")
            assert _tries(graph, answer) == 2
            return
        row = await delivered(stack, message, "failed")
        assert str(code) in str(row["delivery_reason"])
        assert ERRORS.meanings[code].means in str(row["delivery_reason"])
        await writer.reaches(lambda each: each.state is ConversationState.ESCALATED, "staff to be asked")
        assert (await writer.outcome(item["id"])).outcome == "handed"
        assert _tries(graph, answer) == 1

    async with workers(stack.settings, stack.client):
        await asyncio.gather(*(check(code, verdict) for code, verdict in CODES.items()))


def _tries(graph: FakeGraph, answer: str) -> int:
    return [each["text"]["body"] for each in graph.attempts].count(answer)


async def test_a_failure_that_is_reported_later_is_told_too(
    api: Api, stack: Stack, ai: FakeAI, graph: FakeGraph, hotel: str
) -> None:
    async def check(code: int) -> None:
        sender = number()
        await write(api, hotel, text(sender, f"Question {code}"))
        message = await reply_of(guest(stack, sender))
        await delivered(stack, message, "sent")
        taken = next(each for each in graph.taken if each.payload["to"] == sender)
        errors = [{"code": code, "title": "refused", "error_data": {"details": "refused"}}]
        report = status(taken.reference, "failed", taken.wamid, errors=errors)
        assert (await post(api, hotel, notification(change(statuses=[report])))).status_code == 200
        row = await delivered(stack, message, "failed")
        assert ERRORS.meanings[code].means in str(row["delivery_reason"])
        await guest(stack, sender).reaches(lambda each: each.state is ConversationState.ESCALATED, "staff to be asked")

    async with workers(stack.settings, stack.client):
        await asyncio.gather(*(check(code) for code in CODES))


async def test_statuses_in_any_order_move_a_message_upwards(
    api: Api, stack: Stack, ai: FakeAI, graph: FakeGraph, hotel: str
) -> None:
    async def check(order: tuple[str, ...]) -> None:
        sender = number()
        await write(api, hotel, text(sender, "Hello"))
        message = await reply_of(guest(stack, sender))
        await delivered(stack, message, "sent")
        taken = next(each for each in graph.taken if each.payload["to"] == sender)
        for state in order:
            report = status(taken.reference, state, taken.wamid)
            assert (await post(api, hotel, notification(change(statuses=[report])))).status_code == 200
        await delivered(stack, message, "read")
        told = await stack.rows(
            "SELECT seq FROM log WHERE conversation_id = :conversation AND message_id = :id AND repeats",
            conversation=message.conversation_id,
            id=message.id,
        )
        assert 1 <= len(told) <= 3
        assert {each["seq"] for each in told} == {message.seq}

    async with workers(stack.settings, stack.client):
        await asyncio.gather(*(check(each) for each in itertools.permutations(["sent", "delivered", "read"])))


async def test_a_status_after_the_end_is_kept_and_begins_nothing(
    api: Api, stack: Stack, ai: FakeAI, graph: FakeGraph, hotel: str
) -> None:
    sender = number()
    async with workers(stack.settings, stack.client):
        await write(api, hotel, text(sender, "Hello"))
        writer = guest(stack, sender)
        message = await reply_of(writer)
        await delivered(stack, message, "sent")
        await stack.conversations.resolve(command(await writer.conversation()))
        await writer.handle.result()
    taken = graph.taken[0]
    statuses = [status(taken.reference, "delivered", taken.wamid), status(taken.reference, "read", taken.wamid)]
    assert (await post(api, hotel, notification(change(statuses=statuses)))).status_code == 200
    await delivered(stack, message, "read")
    failed = notification(change(statuses=[status(taken.reference, "failed", taken.wamid)]))
    assert (await post(api, hotel, failed)).status_code == 200
    await delivered(stack, message, "read")
    described = await writer.handle.describe()
    assert described.status is not None
    assert described.status.name == "COMPLETED"


async def test_statuses_of_what_is_not_ours_are_acknowledged(api: Api, graph: FakeGraph, hotel: str) -> None:
    statuses = [status(None, "read"), status("somebody else's", "read"), status(f"{'a' * 26}-00000000.0.1.m", "read")]
    assert (await post(api, hotel, notification(change(statuses=statuses)))).status_code == 200


@pytest.mark.parametrize(
    ("fault", "reported"),
    [
        ("silent_after", True),
        ("dropped_after", True),
        ("bad_gateway_after", True),
        ("silent", False),
        ("dropped", False),
        ("unavailable", False),
        ("too_many", False),
    ],
)
async def test_whatever_the_provider_does_a_message_leaves_once(
    api: Api,
    stack: Stack,
    ai: FakeAI,
    graph: FakeGraph,
    hotel: str,
    impatient: None,
    fault: Fault,
    reported: bool,
) -> None:
    """Where the provider took it and its answer was lost, the status it sends is what tells."""
    sender = number()
    graph.faults.then(fault)
    async with workers(stack.settings, stack.client):
        await write(api, hotel, text(sender, "Hello"))
        if reported:
            taken = await eventually(lambda: _first(graph), what="a message to be taken")
            report = status(taken.reference, "sent", taken.wamid)
            assert (await post(api, hotel, notification(change(statuses=[report])))).status_code == 200
        await settled(guest(stack, sender), await reply_of(guest(stack, sender)))
    assert graph.sent_texts() == ["Answer to Hello"]
    assert len(graph.attempts) == (1 if reported else 2)


async def _first(graph: FakeGraph) -> Any:
    return graph.taken[0] if graph.taken else None


async def test_a_batch_of_a_hundred_with_a_broken_one(
    api: Api, stack: Stack, ai: FakeAI, graph: FakeGraph, hotel: str
) -> None:
    senders = [number() for _ in range(25)]
    items = [text(senders[index % 25], f"Message {index}") for index in range(100)]
    broken = items[41]
    del broken["timestamp"]
    # Spread over entries and changes, as Meta may send it.
    whole = notification(*(change(messages=items[start : start + 20]) for start in range(0, 60, 20)))
    whole["entry"].append(notification(change(messages=items[60:]))["entry"][0])
    async with workers(stack.settings, stack.client):
        assert (await post(api, hotel, whole)).status_code == 200
        outcomes: dict[str, str] = {}
        for index, sender in enumerate(senders):
            mine = [each for each in items[index::25] if each is not broken]
            for item in mine:
                outcomes[item["id"]] = (await guest(stack, sender).outcome(item["id"])).outcome
            seen = [each.content for each in await guest(stack, sender).messages() if each.author == "guest"]
            assert seen == [each["text"]["body"] for each in mine]
    assert list(outcomes.values()) == ["answered"] * 99
    kept = await stack.rows("SELECT reason, payload FROM quarantine WHERE property_id = :hotel", hotel=hotel)
    assert [each["reason"] for each in kept] == ["timestamp: Field required"]
    assert broken["id"] in bytes(kept[0]["payload"]).decode()  # type: ignore[call-overload]


async def test_the_guest_sees_that_an_answer_is_being_written(
    api: Api, stack: Stack, ai: FakeAI, graph: FakeGraph, hotel: str
) -> None:
    sender, item = number(), text(number(), "Hello")
    item["from"] = sender
    ai.hold()
    async with workers(stack.settings, stack.client):
        await write(api, hotel, item)
        await asked(ai, 1)
        await eventually(lambda: _marks(graph, 1), what="the typing indicator")
        ai.let_go()
        await delivered(stack, await reply_of(guest(stack, sender)), "sent")
        await eventually(lambda: _marks(graph, 2), what="the read mark")
    typing, read = graph.marks
    assert typing == {
        "messaging_product": "whatsapp",
        "status": "read",
        "message_id": item["id"],
        "typing_indicator": {"type": "text"},
    }
    assert read == {"messaging_product": "whatsapp", "status": "read", "message_id": item["id"]}


async def _marks(graph: FakeGraph, count: int) -> bool:
    return len(graph.marks) >= count


async def test_an_item_goes_to_the_property_that_has_its_number(
    api: Api, stack: Stack, settings: Settings, graph: FakeGraph, hotel: str
) -> None:
    own = settings.properties[hotel].channels.whatsapp
    settings.properties["elsewhere"] = Property(name="Elsewhere")
    settings.properties["elsewhere"].channels.whatsapp = WhatsAppChannel(app_secret=own.app_secret, phone_number_id="2")
    settings.properties["stranger"] = Property(name="Stranger")
    settings.properties["stranger"].channels.whatsapp = own.model_copy(
        update={"app_secret": None, "phone_number_id": "3"}
    )
    senders = [number() for _ in range(4)]
    changes = [
        change(messages=[text(sender, "Hello")], phone_number_id=to)
        for sender, to in zip(senders, [str(own.phone_number_id), "2", "3", "4"], strict=True)
    ]
    assert (await post(api, hotel, notification(*changes))).status_code == 200
    found = []
    for property_id, sender in itertools.product([hotel, "elsewhere", "stranger"], senders):
        key = stack.conversations.contact_key(property_id, "whatsapp", sender)
        if [each async for each in stack.client.list_workflows(f"WorkflowId = 'conversation-{key}'")]:
            found.append((property_id, senders.index(sender)))
    assert found == [(hotel, 0), ("elsewhere", 1)]
    kept = await stack.rows("SELECT reason FROM quarantine WHERE property_id = :hotel", hotel=hotel)
    assert len(kept) == 2


async def test_while_temporal_and_storage_are_away_nothing_is_acknowledged(
    settings: Settings, graph: FakeGraph, hotel: str
) -> None:
    settings.temporal.address, settings.database.url = "127.0.0.1:1", "postgresql://nobody@127.0.0.1:1/nothing"
    async with running_api(settings) as api:
        refused = await post(api, hotel, notification(change(messages=[text(number(), "Hello")])))
        assert problem(refused) == (503, "unavailable")
        assert int(refused.headers["retry-after"]) > 0


async def test_while_storage_is_away_messages_are_accepted_and_statuses_come_again(
    settings: Settings, graph: FakeGraph, hotel: str
) -> None:
    settings.database.url = "postgresql://nobody@127.0.0.1:1/nothing"
    async with running_api(settings) as api:
        hello = change(messages=[text(number(), "Hello")])
        assert (await post(api, hotel, notification(hello))).status_code == 200
        read = change(statuses=[status(f"{'a' * 26}-00000000.0.1.m", "read")])
        assert problem(await post(api, hotel, notification(hello, read))) == (503, "storage_away")


async def test_after_the_window_only_a_template_goes(
    api: Api, stack: Stack, ai: FakeAI, graph: FakeGraph, hotel: str
) -> None:
    sender, agent = number(), await api.person(hotel)
    late = text(sender, "Hello")
    late["timestamp"] = str(int(late["timestamp"]) - 25 * 3600)
    async with workers(stack.settings, stack.client):
        await write(api, hotel, late)
        assert (await guest(stack, sender).outcome(late["id"])).outcome in ("suppressed", "handed")
        conversation = await guest(stack, sender).conversation()
        path = f"/api/v1/conversations/{conversation.conversation_id}/messages"
        assert problem(await agent.http.post(path, json={"content": "Hello"})) == (409, "window_closed")
        template = {"name": "we_are_here", "language": "pt_PT", "parameters": ["Ana"]}
        assert (await agent.http.post(path, json={"template": template})).status_code == 201
        taken = await eventually(lambda: _first(graph), what="the template to be sent")
    assert taken.payload["template"]["name"] == "we_are_here"
    assert len(graph.attempts) == 1


async def test_who_is_written_to_first_is_known_when_they_answer(
    api: Api, stack: Stack, ai: FakeAI, graph: FakeGraph, hotel: str
) -> None:
    sender, agent = number(), await api.person(hotel)
    opening = {"propertyId": hotel, "channelType": "whatsapp", "template": {"name": "welcome", "language": "en"}}
    spaced = f"+{sender[:3]} {sender[3:6]} {sender[6:]}"
    async with workers(stack.settings, stack.client):
        opened = await agent.http.post("/api/v1/conversations", json={**opening, "recipientId": spaced})
        assert opened.status_code == 201, opened.text
        item = text(sender, "Thank you")
        await write(api, hotel, item)
        assert (await guest(stack, sender).outcome(item["id"])).outcome == "answered"
        conversation = await guest(stack, sender).conversation()
    assert conversation.conversation_id == opened.json()["conversationId"]
    assert graph.taken[0].payload["to"] == sender
    wrong = await agent.http.post("/api/v1/conversations", json={**opening, "recipientId": "910000000 ext 7"})
    assert problem(wrong) == (422, "invalid")


async def test_a_notification_of_three_megabytes_is_taken(api: Api, stack: Stack, graph: FakeGraph, hotel: str) -> None:
    sender = number()
    body = notification(change(messages=[text(sender, "Hello", padding="x" * 3_000_000)]))
    assert (await post(api, hotel, body)).status_code == 200
    await guest(stack, sender).handle.describe()
    assert problem(await post(api, hotel, b"x" * 4_000_001)) == (413, "too_large")
