"""The whole life of a conversation over REST: who holds it, what is promised, what the AI asks for, how it ends."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.ai import Action, AIRequest, AIResponse
from contracts.conversations import Conversation
from contracts.messages import DeliveryState
from settings import Settings
from tests.api import Api, Person, answered, problem
from tests.fakes.ai import FakeAI, confident
from tests.fakes.callback import FakeCallback
from tests.support import Guest, Stack, eventually

LIST = "/api/v1/conversations"
NOTES = "/api/v1/notifications"


@pytest.fixture
async def agent(api: Api, hotel: str) -> Person:
    return await api.person(hotel)


@pytest.fixture
async def talk(working: None, stack: Stack) -> str:
    return await answered(stack)


async def _told(person: Person, text: str) -> dict[str, Any]:
    """The notification that a person sees with this text."""

    async def look() -> dict[str, Any] | None:
        items = (await person.http.get(NOTES)).json()["items"]
        return next((each for each in items if text in each["text"]), None)

    return await eventually(look, what=f"a notification: {text}")


def _asking(*actions: Action, confidence: float = 0.95) -> Any:
    def respond(request: AIRequest) -> AIResponse:
        answer = confident(request)
        return answer.model_copy(update={"actions": list(actions), "confidence": confidence})

    return respond


# --- who holds it --------------------------------------------------------------------------------------------------


async def test_staff_give_a_conversation_to_each_other(talk: str, agent: Person, api: Api, hotel: str) -> None:
    colleague = await api.signed_in(await api.hire(hotel))
    assigned = await agent.http.post(f"{talk}/assign", json={"staffId": colleague.staff.id, "reason": "Speaks Danish"})
    assert (assigned.status_code, assigned.json()["state"]) == (200, "escalated")
    assert assigned.json()["assignedTo"] == colleague.staff.id
    assert assigned.json()["escalation"]["reason"] == "Speaks Danish"
    assert (await _told(colleague, "assigned a conversation to you"))["staffId"] == colleague.staff.id
    assert (await agent.http.get(NOTES)).json()["items"] == []  # it is for one person

    refused = await agent.http.post(f"{talk}/claim")
    assert (problem(refused), refused.json()["assignedTo"]) == ((409, "held_by_other"), colleague.staff.id)
    let_go = await agent.http.post(f"{talk}/unassign")
    assert (let_go.status_code, let_go.json()["assignedTo"], let_go.json()["state"]) == (200, None, "escalated")
    assert (await agent.http.post(f"{talk}/claim")).json()["assignedTo"] == agent.staff.id


@pytest.mark.parametrize("whose", ["nobody", "another property"])
async def test_only_somebody_of_the_property_can_be_given_it(talk: str, agent: Person, api: Api, whose: str) -> None:
    staff_id = "nobody" if whose == "nobody" else (await api.hire("another")).id
    refused = await agent.http.post(f"{talk}/assign", json={"staffId": staff_id})
    assert (problem(refused), refused.json()["field"]) == ((422, "invalid"), "staffId")


async def test_a_return_gives_the_ai_what_a_person_left_unanswered(talk: str, agent: Person, stack: Stack) -> None:
    guest, _ = await _guest_of(talk, stack)
    await agent.http.post(f"{talk}/claim")
    asked = await guest.ask("And when is dinner?")
    assert asked.outcome == "handed"
    assert (await agent.http.post(f"{talk}/return")).json()["state"] == "active"

    async def answered_by_ai() -> bool:
        outcome = (await guest.outcomes())[asked.message_id]
        return outcome.outcome == "answered"

    await eventually(answered_by_ai, what="the AI to take up what was left")


# --- time ----------------------------------------------------------------------------------------------------------


async def test_a_snooze_ends_when_the_guest_writes(talk: str, agent: Person, stack: Stack) -> None:
    guest, _ = await _guest_of(talk, stack)
    until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert problem(await agent.http.post(f"{talk}/snooze", json={"until": until})) == (409, "wrong_state")
    await agent.http.post(f"{talk}/claim")
    for wrong in ("2020-01-01T00:00:00Z", "9999-12-31T23:59:59Z", until.removesuffix("+00:00")):
        refused = await agent.http.post(f"{talk}/snooze", json={"until": wrong})
        assert (problem(refused), refused.json()["field"]) == ((422, "invalid"), "until")
    snoozed = await agent.http.post(f"{talk}/snooze", json={"until": until})
    assert datetime.fromisoformat(snoozed.json()["snoozedUntil"]) == datetime.fromisoformat(until)
    await guest.ask("Are you there?")
    conversation = await guest.conversation()
    assert conversation.snoozed_until is None
    assert conversation.response_due_at is not None


async def test_a_priority_brings_a_promise_nearer_and_is_told(talk: str, agent: Person) -> None:
    before = (await agent.http.post(f"{talk}/escalate")).json()
    urgent = (await agent.http.post(f"{talk}/priority", json={"priority": "urgent", "reason": "A VIP"})).json()
    assert (before["priority"], urgent["priority"]) == ("normal", "urgent")
    assert urgent["responseDueAt"] < before["responseDueAt"]
    again = (await agent.http.post(f"{talk}/priority", json={"priority": "urgent"})).json()
    assert again["seq"] == urgent["seq"]
    refused = await agent.http.post(f"{talk}/priority", json={"priority": "at once"})
    assert (problem(refused), refused.json()["field"]) == ((422, "invalid"), "priority")
    await agent.http.post(f"{talk}/resolve")
    assert problem(await agent.http.post(f"{talk}/priority", json={"priority": "low"}))[0] == 409


async def test_an_answer_keeps_the_promise(talk: str, agent: Person) -> None:
    escalated = (await agent.http.post(f"{talk}/escalate")).json()
    since, due = (datetime.fromisoformat(escalated[key]) for key in ("lastMessageAt", "responseDueAt"))
    assert timedelta(minutes=15) <= due - since < timedelta(minutes=17)
    await agent.http.post(f"{talk}/messages", json={"content": "Here I am"})
    assert (await agent.http.post(f"{talk}/claim")).json()["responseDueAt"] is None


async def test_rules_change_for_one_conversation(talk: str, agent: Person, stack: Stack, ai: FakeAI) -> None:
    guest, _ = await _guest_of(talk, stack)
    await agent.http.post(f"{talk}/escalate")
    levels = {"normal": {"firstResponse": "PT1H", "nextResponse": "PT2H"}}
    changed = await agent.http.post(f"{talk}/policy", json={"serviceLevels": levels, "autonomy": "draft"})
    assert changed.status_code == 200
    due, at = changed.json()["responseDueAt"], changed.json()["escalation"]["at"]
    assert datetime.fromisoformat(due) - datetime.fromisoformat(at) == timedelta(hours=1)
    await agent.http.post(f"{talk}/return")
    assert (await guest.ask("When is lunch?")).outcome == "handed"
    draft = (await guest.conversation()).draft
    assert draft is not None
    assert draft.content == "Answer to When is lunch?"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"escalationThreshold": 2}, "escalationThreshold"),
        ({"escalationThreshold": True}, "escalationThreshold"),
        ({"maxRetries": "6"}, "maxRetries"),
        ({"aiTimeout": True}, "aiTimeout"),
        ({"summaries": 0}, "summaries"),
        ({"colour": 1}, "colour"),
    ],
)
async def test_wrong_rules_are_told_by_their_field(talk: str, agent: Person, wrong: object, field: str) -> None:
    refused = await agent.http.post(f"{talk}/policy", json=wrong)
    assert (problem(refused), refused.json()["field"]) == ((422, "invalid"), field)


# --- what is said --------------------------------------------------------------------------------------------------


async def test_a_reply_is_refused_where_its_writer_has_missed_something(talk: str, agent: Person, stack: Stack) -> None:
    guest, before = await _guest_of(talk, stack)
    await agent.http.post(f"{talk}/claim")
    await guest.ask("Never mind, I found it")
    stale = {"content": "I will look for it", "lastSeenSeq": before.seq}
    refused = await agent.http.post(f"{talk}/messages", json=stale)
    assert problem(refused) == (409, "missed_messages")
    assert [each["content"] for each in refused.json()["missed"]] == ["Never mind, I found it"]
    seen = {**stale, "lastSeenSeq": refused.json()["missed"][-1]["seq"]}
    assert (await agent.http.post(f"{talk}/messages", json=seen)).status_code == 201


async def test_the_ais_draft_can_be_sent(talk: str, agent: Person, stack: Stack, ai: FakeAI) -> None:
    guest, _ = await _guest_of(talk, stack)
    ai.respond = ai.doubtful
    await guest.ask("Is the rooftop open?")
    draft = (await guest.conversation()).draft
    assert draft is not None
    sent = await agent.http.post(f"{talk}/messages", json={"draftId": draft.id})
    assert (sent.status_code, sent.json()["content"], sent.json()["author"]) == (201, draft.content, "staff")
    again = await agent.http.post(f"{talk}/messages", json={"draftId": draft.id})
    assert problem(again) == (409, "wrong_state")


async def test_a_note_tells_whom_it_names(talk: str, agent: Person, api: Api, hotel: str) -> None:
    colleague = await api.signed_in(await api.hire(hotel))
    await api.hire("another")  # of the same name, elsewhere
    note = {"content": "@marta reis, do you know this guest?", "private": True}
    assert (await agent.http.post(f"{talk}/messages", json=note)).status_code == 201
    told = await _told(colleague, "Rui Lima mentioned you")
    assert (told["kind"], told["staffId"]) == ("mention", colleague.staff.id)


async def test_what_was_not_delivered_is_said_again(
    working: None, stack: Stack, agent: Person, callback: FakeCallback
) -> None:
    callback.status = lambda message: 410
    guest = stack.guest(adapter="messages", channel_type="sms")
    await guest.ask("When is breakfast?")
    talk = f"{LIST}/{(await guest.conversation()).conversation_id}"
    await guest.reaches(lambda each: each.state == "escalated", "a person")
    failed = next(each for each in await guest.messages() if each.author == "ai")
    assert problem(await agent.http.post(f"{talk}/messages/{failed.id}/skip")) == (404, "not_found")
    callback.status = lambda message: 200
    keyed = {"Idempotency-Key": "again"}
    first, second = [await agent.http.post(f"{talk}/messages/{failed.id}/retry", headers=keyed) for _ in range(2)]
    assert (first.status_code, second.json()["id"]) == (201, first.json()["id"])
    assert (first.json()["content"], first.json()["author"]) == (failed.content, "staff")

    async def arrived() -> bool:
        return first.json()["id"] in callback.received

    await eventually(arrived, what="the message to arrive")
    assert problem(await agent.http.post(f"{talk}/messages/nowhere/retry")) == (404, "not_found")


async def test_what_holds_others_back_can_be_skipped(
    working: None, stack: Stack, agent: Person, callback: FakeCallback
) -> None:
    callback.status = lambda message: 503 if "first" in message.content else 200
    guest = stack.guest(adapter="messages", channel_type="sms")
    await guest.outcome(await guest.write("I want to speak to a person"))
    talk = f"{LIST}/{(await guest.conversation()).conversation_id}"
    first = (await agent.http.post(f"{talk}/messages", json={"content": "The first"})).json()
    second = (await agent.http.post(f"{talk}/messages", json={"content": "The other"})).json()
    skipped = await agent.http.post(f"{talk}/messages/{first['id']}/skip")
    assert skipped.status_code == 201

    async def given_up() -> bool:
        states = {each.id: each.delivery.state for each in await guest.messages()}
        return states[first["id"]] is DeliveryState.FAILED

    await eventually(given_up, what="the skipped message to have failed, after an attempt under way as well")

    async def arrived() -> bool:
        return second["id"] in callback.received

    await eventually(arrived, what="the message behind it to arrive")
    assert first["id"] not in callback.received


# --- what the AI asks for ------------------------------------------------------------------------------------------


async def test_staff_decide_what_the_ai_may_not(talk: str, agent: Person, stack: Stack, ai: FakeAI) -> None:
    guest, _ = await _guest_of(talk, stack)
    ai.respond = _asking(Action(id="a", type="request_late_checkout", params={"until": "14:00"}))
    await guest.ask("May I leave at two tomorrow?")
    waiting = (await guest.conversation()).pending_actions
    assert [(each.type, each.params) for each in waiting] == [("request_late_checkout", {"until": "14:00"})]
    await _told(agent, "asks for approval: request late checkout")
    path = f"{talk}/actions/{waiting[0].id}"
    decided = await agent.http.post(path, json={"approve": True})
    assert (decided.status_code, decided.json()["pendingActions"]) == (200, [])
    assert problem(await agent.http.post(path, json={"approve": True})) == (404, "not_found")

    async def told() -> bool:
        return any("confirmed your late check-out" in each.content for each in await guest.messages())

    await eventually(told, what="the guest to be told")
    changes = [each.get("change") for each in (await agent.http.get(f"{talk}/events")).json()["items"]]
    assert changes.count("action_asked") == 1


async def test_an_unknown_action_is_recorded_and_refused(talk: str, agent: Person, stack: Stack, ai: FakeAI) -> None:
    guest, _ = await _guest_of(talk, stack)
    ai.respond = _asking(Action(id="a", type="open_safe"), Action(id="b", type="create_task", params={"title": "x"}))
    assert (await guest.ask("Open the safe")).outcome == "answered"
    await stack.stored(await guest.conversation())
    events = (await agent.http.get(f"{talk}/events")).json()["items"]
    refused = [each["reason"] for each in events if each.get("change") == "action_refused"]
    assert refused == ["Unknown action open_safe", "create_task: wrong parameters (department)"]


# --- the beginning and the end -------------------------------------------------------------------------------------


async def test_staff_write_first(
    working: None, stack: Stack, agent: Person, hotel: str, callback: FakeCallback
) -> None:
    guest = stack.guest(adapter="messages", channel_type="sms")
    body = {
        "propertyId": hotel,
        "channelType": "sms",
        "recipientId": guest.sender_id,
        "content": "Your room is ready",
        "clientMessageId": str(uuid.uuid4()),
    }
    opened, again = [await agent.http.post(LIST, json=body) for _ in range(2)]
    assert (opened.status_code, opened.json()["state"]) == (201, "new")
    assert opened.headers["location"] == f"{LIST}/{opened.json()['conversationId']}"
    assert again.json()["lastMessage"]["id"] == opened.json()["lastMessage"]["id"] == body["clientMessageId"]
    reply = {"content": "The same id", "clientMessageId": body["clientMessageId"]}
    same = await agent.http.post(f"{opened.headers['location']}/messages", json=reply)
    assert (same.status_code, same.json()["content"]) == (201, body["content"])
    other = await agent.http.post(LIST, json={**body, "clientMessageId": str(uuid.uuid4())})
    assert problem(other) == (409, "already_open")
    assert other.json()["conversationId"] == opened.json()["conversationId"]

    async def arrived() -> bool:
        return list(callback.received) == [body["clientMessageId"]]

    await eventually(arrived, what="the first message to arrive")
    assert problem(await agent.http.post(f"{opened.headers['location']}/claim")) == (409, "wrong_state")
    assert (await guest.ask("Thank you, when is breakfast?")).outcome == "answered"
    assert (await guest.conversation()).conversation_id == opened.json()["conversationId"]


async def test_a_guest_is_written_to_by_their_id(talk: str, agent: Person, stack: Stack, hotel: str) -> None:
    _, conversation = await _guest_of(talk, stack)
    await agent.http.post(f"{talk}/resolve")
    await stack.client.get_workflow_handle(conversation.workflow_id).result()
    body = {"propertyId": hotel, "channelType": "webchat", "guestId": conversation.guest_id, "content": "Welcome back"}
    opened = await agent.http.post(LIST, json=body)
    assert (opened.status_code, opened.json()["guestId"]) == (201, conversation.guest_id)
    assert opened.json()["workflowId"] == conversation.workflow_id


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"recipientId": None}, 422, "guestId"),
        ({"guestId": "g"}, 422, "guestId"),
        ({"recipientId": None, "guestId": "nobody"}, 422, "guestId"),
        ({"content": " "}, 422, "content"),
        ({"channelType": "webchat"}, 422, "recipientId"),
        ({"channelType": "fax"}, 422, "channelType"),
        ({"propertyId": "elsewhere"}, 403, None),
    ],
)
async def test_a_wrong_opening_is_told_by_its_field(
    agent: Person, hotel: str, change: dict[str, Any], status: int, field: str | None
) -> None:
    body = {"propertyId": hotel, "channelType": "sms", "recipientId": "+351910000000", "content": "Hello", **change}
    refused = await agent.http.post(LIST, json={key: value for key, value in body.items() if value is not None})
    assert problem(refused)[0] == status
    assert refused.json().get("field") == field


async def test_a_resolution_tells_how_it_went(talk: str, agent: Person, stack: Stack) -> None:
    guest, _ = await _guest_of(talk, stack)
    await agent.http.post(f"{talk}/messages", json={"content": "I will see to it"})
    resolved = await agent.http.post(f"{talk}/resolve", json={"reason": "Settled"})
    resolution = resolved.json()["resolution"]
    assert (resolution["reason"], resolution["by"]) == ("Settled", agent.staff.id)
    assert resolution["messages"] == {"guest": 1, "ai": 1, "staff": 1}
    assert 0 <= resolution["firstResponseSeconds"] <= resolution["firstPersonSeconds"]
    assert resolution["firstPersonSeconds"] <= resolution["secondsToResolve"]
    await guest.handle.result()
    for command in ("read", "reviewed"):
        closed = await agent.http.post(f"{talk}/{command}")
        assert (closed.status_code, closed.json()["state"]) == (200, "resolved")


@pytest.mark.parametrize("closed", [False, True])
async def test_a_failure_of_the_ai_is_reviewed_also_after_the_end(
    working: None, settings: Settings, stack: Stack, agent: Person, ai: FakeAI, closed: bool
) -> None:
    ai.status = 400
    guest = stack.guest()
    await guest.ask("When is breakfast?")
    conversation = await guest.conversation()
    talk = f"{LIST}/{conversation.conversation_id}"
    await stack.stored(conversation)
    assert (await agent.http.post(f"{talk}/read")).json()["unread"] == 0
    if closed:
        await agent.http.post(f"{talk}/resolve")
        await guest.handle.result()
    reviewed = await agent.http.post(f"{talk}/reviewed", json={"reason": "Added an article"})
    assert (reviewed.status_code, reviewed.json()["needsReview"]) == (200, False)

    async def listed() -> bool:
        events = (await agent.http.get(f"{talk}/events")).json()["items"]
        last = events[-1] if events else {}
        return (last.get("change"), last.get("by"), last.get("reason")) == (
            "reviewed",
            agent.staff.id,
            "Added an article",
        )

    await eventually(listed, what="the review in the log")
    assert (await agent.http.get(LIST, params={"needsReview": True})).json()["items"] == []
    again = await agent.http.post(f"{talk}/reviewed")
    assert again.json()["seq"] == reviewed.json()["seq"]


async def _guest_of(talk: str, stack: Stack) -> tuple[Guest, Conversation]:
    """The guest of the only conversation, and the conversation."""
    conversation = await stack.conversations.get(talk.rpartition("/")[2])
    rows = await stack.rows("SELECT sender_id FROM contacts WHERE guest_id = :id", id=conversation.guest_id)
    return stack.guest(sender_id=str(rows[0]["sender_id"])), conversation
