"""Messages that do not simply leave: taken back, given up on their way, or reported lost by a provider."""

from datetime import timedelta

import pytest

from contracts.commands import DeliveryFailure, Redeliver
from contracts.conversations import ConversationState
from contracts.events import SendResultKind
from contracts.messages import Author, Delivery, DeliveryState
from tests.records import (
    ANA,
    CONVERSATION_ID,
    NOW,
    a_command,
    a_message,
    a_record,
    a_result,
    answered,
    arrived,
    happened,
    outcomes,
)
from workflows import transitions
from workflows.owed import PendingSend
from workflows.record import Record

NEW, ACTIVE, ESCALATED, RESOLVED = ConversationState
QUEUED, UNKNOWN, SENT, FAILED, DELIVERED, READ = DeliveryState
LATER = NOW + timedelta(minutes=1)
LOST = DeliveryFailure(conversation_id=CONVERSATION_ID, message_id="r-1", reason="unreachable")
SKIP = Redeliver(conversation_id=CONVERSATION_ID, by=ANA, message_id="r-1", copy_id="c-1", skip=True)


def _delivery(record: Record, message_id: str = "r-1") -> DeliveryState:
    message = record.message(message_id)
    assert message is not None
    return message.delivery.state


def _on_its_way() -> tuple[Record, PendingSend]:
    """The AI's answer, of which an attempt has begun."""
    record, pending = answered("messages")
    transitions.attempt(record, pending, NOW)
    return record, pending


# --- reported lost -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "heard"),
    [
        pytest.param(QUEUED, True, id="queued: before its attempt came back"),
        pytest.param(UNKNOWN, True, id="unknown"),
        pytest.param(SENT, True, id="sent"),
        pytest.param(FAILED, False, id="failed already"),
        pytest.param(DELIVERED, False, id="delivered: it has not failed"),
        pytest.param(READ, False, id="read"),
    ],
)
def test_a_report_of_failure(state: DeliveryState, heard: bool) -> None:
    record, pending = _on_its_way()
    if state is not QUEUED:
        record.sends = []
        record.set_delivery("r-1", Delivery(state=state))
    record.outbox = []
    for _ in range(2):
        transitions.delivery_failed(record, LOST, LATER)
    assert _delivery(record) is (FAILED if heard else state)
    assert happened(record) == (["delivery_failed", "escalated", "escalation"] if heard else [])
    assert record.state is (ESCALATED if heard else ACTIVE)
    assert outcomes(record) == {"g-1": ("handed", None) if heard else ("answered", "r-1")}
    if heard:
        assert record.sends == []
        transitions.sent(record, pending, a_result("r-1"), LATER)
        assert _delivery(record) is FAILED, "the provider knows better than an attempt that came back late"


@pytest.mark.parametrize("state", [ESCALATED, RESOLVED])
def test_a_report_of_failure_moves_no_conversation_that_is_not_the_ais(state: ConversationState) -> None:
    record = a_record(state)
    record.add_message("r-1", Author.STAFF, "At seven.", NOW, delivery=SENT)
    transitions.delivery_failed(record, LOST, LATER)
    assert (record.state, _delivery(record), happened(record)) == (state, FAILED, ["message", "delivery_failed"])


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"conversation_id": "contact-00000000"}, id="of an earlier conversation"),
        pytest.param({"message_id": "r-9"}, id="of a message that nobody knows"),
    ],
)
def test_a_report_of_something_else_is_passed_over(changed: dict[str, str]) -> None:
    record, _ = _on_its_way()
    before = record.model_copy(deep=True)
    transitions.delivery_failed(record, LOST.model_copy(update=changed), LATER)
    assert record == before


# --- given up on its way -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "unsure", "state", "outcome"),
    [
        pytest.param("sent", False, SENT, ("answered", "r-1"), id="it left all the same"),
        pytest.param("failed", False, FAILED, ("handed", None), id="it was refused"),
        pytest.param("retry", False, FAILED, ("handed", None), id="it was not taken"),
        pytest.param("retry", True, UNKNOWN, ("handed", None), id="nobody knows"),
    ],
)
def test_a_message_that_is_skipped_while_it_leaves(
    result: SendResultKind, unsure: bool, state: DeliveryState, outcome: tuple[str, str | None]
) -> None:
    record, pending = _on_its_way()
    transitions.redeliver(record, SKIP, NOW)
    assert (_delivery(record), outcomes(record)) == (UNKNOWN, {"g-1": ("handed", None)})
    transitions.sent(record, pending, a_result("r-1", result, unsure=unsure), LATER)
    assert (_delivery(record), outcomes(record)) == (state, {"g-1": outcome})
    assert record.sends == []


def test_a_guest_who_opts_out_while_a_message_leaves() -> None:
    record, pending = _on_its_way()
    arrived(record, a_message("g-2", "STOP", opts="out"))
    assert (_delivery(record), outcomes(record)["g-1"]) == (UNKNOWN, ("suppressed", None))
    transitions.sent(record, pending, a_result("r-1"), LATER)
    assert (_delivery(record), outcomes(record)["g-1"]) == (SENT, ("answered", "r-1"))


def test_a_message_given_up_after_an_attempt_without_a_word_may_have_left() -> None:
    record, pending = _on_its_way()
    transitions.sent(record, pending, a_result("r-1", "retry", unsure=True), NOW)
    transitions.redeliver(record, SKIP, NOW)
    assert _delivery(record) is UNKNOWN


def test_a_channel_that_refuses_says_that_nothing_left() -> None:
    record, pending = _on_its_way()
    transitions.sent(record, pending, a_result("r-1", "retry", unsure=True), NOW)
    transitions.attempt(record, pending, LATER)
    transitions.sent(record, pending, a_result("r-1", "failed", reason="unknown number"), LATER)
    assert _delivery(record) is FAILED


# --- taken over --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("commands", "may"),
    [
        pytest.param([], True, id="the AI's"),
        pytest.param(["claim"], False, id="a person's"),
        pytest.param(["claim", "return"], True, id="the AI's again"),
        pytest.param(["claim", "resolve"], False, id="resolved by the person who had it"),
        pytest.param(["resolve"], True, id="resolved while the AI had it"),
    ],
)
def test_who_may_send(commands: list[str], may: bool) -> None:
    record, pending = _on_its_way()
    acts = {"claim": transitions.claim, "return": transitions.return_to_ai, "resolve": transitions.resolve}
    for name in commands:
        acts[name](record, a_command(), NOW)
    assert transitions.may_send(record, pending) is may
    transitions.sent(record, pending, a_result("r-1", "retry"), LATER)
    assert bool(record.sends) is may, "an attempt that comes back is not tried again while a person has it"


@pytest.mark.parametrize(
    ("unsure", "state", "open_again"),
    [
        pytest.param(False, FAILED, ["g-1"], id="it has not left"),
        pytest.param(True, UNKNOWN, [], id="it may have left"),
    ],
)
def test_a_question_whose_answer_is_taken_back_is_open_again(
    unsure: bool, state: DeliveryState, open_again: list[str]
) -> None:
    record, pending = _on_its_way()
    transitions.claim(record, a_command(), NOW)
    transitions.sent(record, pending, a_result("r-1", "retry", unsure=unsure), LATER)
    assert _delivery(record) is state
    assert [arrival.message.id for arrival in record.unread_by_ai] == open_again
    assert (record.wait is not None) is bool(open_again)
    assert record.conversation.draft is not None
