"""Sending messages to the guest: attempt after attempt, until each is sent, given up or withdrawn."""

from datetime import datetime

from contracts.commands import DeliveryFailure
from contracts.conversations import ConversationState, Draft, Outcome
from contracts.events import Send, SendResult
from contracts.messages import Author, Delivery, DeliveryState, OutboundMessage
from workflows import editions, policy, surveys
from workflows.owed import Arrival, PendingSend
from workflows.record import WINDOW, Record

WEBCHAT = "webchat"
"""The adapter whose messages are sent by being published."""
TAKEN_OVER = "A person took over before it could be sent"
OVERTAKEN = "The conversation went on before it could be sent"
"""Why a rating question was withdrawn."""


def due_sends(record: Record, now: datetime) -> list[PendingSend]:
    """The messages that may be sent now, in order: one that has to wait holds back those behind it.

    Web chat takes all at once, any other channel one at a time, so that each has its own result.
    """
    due: list[PendingSend] = []
    for send in record.sends:
        if send.not_before is not None and send.not_before > now:
            break
        due.append(send)
        if record.route.adapter != WEBCHAT:
            break
    return due


def attempt(record: Record, pending: PendingSend, now: datetime) -> Send:
    """Starts one attempt to send."""
    pending.attempts += 1
    pending.first_attempt_at = pending.first_attempt_at or now
    pending.under_way = True
    message, conversation = pending.message, record.conversation
    return Send(
        message=OutboundMessage(
            message_id=message.id,
            conversation_id=conversation.conversation_id,
            recipient_id=record.route.sender_id,
            channel_id=record.route.channel_id,
            channel_type=conversation.channel_type,
            content=message.content,
            attachments=message.attachments,
            in_reply_to=pending.in_reply_to,
            author=message.author,
            template=pending.template,
            context=record.route.context,
            unsure=pending.unsure,
        ),
        adapter=record.route.adapter,
        attempt=pending.attempts,
        author=message.author,
        received_at=pending.received_at,
    )


def sent(record: Record, pending: PendingSend, result: SendResult, now: datetime) -> None:
    """An attempt has ended: the message was sent, will be retried, or goes to staff."""
    if pending not in record.sends:
        if pending.under_way:
            _taken_back_on_its_way(record, pending, result, now)
        return
    pending.under_way = False
    # A message that a channel refuses was not sent, even if an earlier attempt was unsure.
    pending.unsure = (pending.unsure or result.unsure) and result.result != "failed"
    if result.opted_out:
        _wants_no_messages(record, now)
    if result.result == "retry" and not may_send(record, pending):
        withdraw(record, pending, now)
        return
    verdict = policy.after_attempt(pending, result, record.policy, now)
    if verdict.tell_staff:
        pending.told_staff = True
        record.notify("delivery_failed", f"A message could not be delivered: {result.reason}", now)
    if verdict.again_at is not None:
        pending.not_before = verdict.again_at
        return
    if verdict.failed is not None:
        give_up(record, pending, verdict.failed, now, noted=result.noted and result.result == "failed")
        if result.opted_out:
            _nobody_waits(record)
        elif record.policy.edition >= editions.FOURTH and pending.message.author is Author.AI and not pending.unsure:
            _leave_open(record, _unpassed(record, pending.in_reply_to), pending.received_at, now)
        return
    record.sends.remove(pending)
    record.set_delivery(pending.message.id, Delivery(state=DeliveryState.SENT), noted=result.noted)


def not_attempted(record: Record, pending: PendingSend, now: datetime) -> None:
    """An attempt that never reached a worker does not count."""
    if pending not in record.sends:
        return
    pending.attempts -= 1
    pending.under_way = False
    if pending.attempts == 0:
        pending.first_attempt_at = None
    if not may_send(record, pending):
        withdraw(record, pending, now)


def may_send(record: Record, pending: PendingSend) -> bool:
    """Ownership: after a take-over the AI is silent until the conversation is its own again, even if resolved.

    Resolving a conversation that the AI has does not withdraw its messages. A guest who writes on is not asked for a
    rating.
    """
    if surveys.is_question(record, pending.message.id):
        return record.state is ConversationState.RESOLVED
    handed_over = bool(record.handoffs) and record.handoffs[-1].to_seq is None
    a_persons = handed_over or record.state is ConversationState.ESCALATED
    return pending.message.author is not Author.AI or not a_persons


def hold_back(record: Record, pending: PendingSend, now: datetime) -> bool:
    """Called before every attempt: withdraws a message that must not be sent any more. Returns whether it did."""
    if not may_send(record, pending):
        withdraw(record, pending, now)
        return True
    refused = policy.refusal_of_channel(record, with_template=pending.template is not None, now=now)
    if refused is not None:
        if not surveys.is_question(record, pending.message.id):
            record.notify("delivery_failed", f"A message could not be delivered: {refused.title.lower()}", now)
        give_up(record, pending, refused.title, now)
        return True
    return False


def withdraw(record: Record, pending: PendingSend, now: datetime) -> None:
    """Withdraws an AI message because a person has taken over: its text becomes a draft.

    If an earlier attempt may have succeeded, its delivery state is unknown and not failed.
    """
    if surveys.is_question(record, pending.message.id):
        _take_back(record, pending, OVERTAKEN)
        return
    _take_back(record, pending, TAKEN_OVER)
    _hand(record, pending.in_reply_to, TAKEN_OVER, now)
    if not pending.unsure:
        _leave_open(record, pending.in_reply_to, pending.received_at, now)
    if pending.message.ai is not None:
        record.keep_draft(
            Draft(id=f"{pending.message.id}-draft", content=pending.message.content, ai=pending.message.ai), now
        )


def withdraw_all(record: Record, reason: str, now: datetime) -> None:
    """Withdraws everything: nothing more may go to the guest."""
    for pending in list(record.sends):
        _take_back(record, pending, reason)
        for message_id in pending.in_reply_to:
            record.settle(Outcome(message_id=message_id, outcome="suppressed", reason=reason, at=now))


def give_up(record: Record, pending: PendingSend, reason: str, now: datetime, *, noted: bool = False) -> None:
    """Gives a message up. The guest messages that it was to answer, if any, go to a person."""
    asks = surveys.is_question(record, pending.message.id)
    _take_back(record, pending, reason, noted=noted)
    _hand(record, pending.in_reply_to, f"The reply was not delivered: {reason}", now)
    if not asks and record.state is ConversationState.ACTIVE:
        record.escalate(f"A reply was not delivered: {reason}", now)


def delivery_failed(record: Record, failure: DeliveryFailure, now: datetime) -> None:
    """A provider reports that a message it had accepted was not delivered. Repeated reports are ignored."""
    message = record.message(failure.message_id)
    own = record.conversation.conversation_id == failure.conversation_id
    if message is not None and message.delivery.state.rank >= DeliveryState.FAILED.rank:
        return
    if failure.opted_out:  # which holds for the contact, whichever conversation the message was of
        _wants_no_messages(record, now)
        _nobody_waits(record)
    if not own or message is None:
        return
    pending = next((send for send in record.sends if send.message.id == message.id), None)
    if pending is not None:  # its attempt has not returned yet; this is the result
        record.sends.remove(pending)
        pending.under_way = False
    record.set_delivery(message.id, Delivery(state=DeliveryState.FAILED, reason=failure.reason), noted=True)
    record.notify("delivery_failed", f"A message was not delivered: {failure.reason}", now)
    if surveys.is_question(record, message.id):
        record.conversation.survey = None
        return
    answered = [
        each.message_id for each in record.outcomes if (each.outcome, each.reply_id) == ("answered", message.id)
    ]
    _hand(record, answered, f"The reply was not delivered: {failure.reason}", now)
    if record.state is ConversationState.ACTIVE:
        record.escalate(f"A reply was not delivered: {failure.reason}", now)
    if record.policy.edition >= editions.FOURTH:
        _leave_open(record, _unpassed(record, answered), None, now)


def _wants_no_messages(record: Record, now: datetime) -> None:
    """The network refuses our messages because the guest has opted out there."""
    if not record.opted_out:
        record.opted_out = True
        record.change("opted_out", now)


def _nobody_waits(record: Record) -> None:
    """Nobody can answer a guest who has opted out."""
    if record.policy.edition >= editions.SECOND:
        record.unread_by_ai = []
        record.wait_ends()


def _take_back(record: Record, pending: PendingSend, reason: str, *, noted: bool = False) -> None:
    record.sends.remove(pending)
    state = DeliveryState.UNKNOWN if pending.may_have_left else DeliveryState.FAILED
    record.set_delivery(pending.message.id, Delivery(state=state, reason=reason), noted=noted)
    if state is DeliveryState.FAILED and surveys.is_question(record, pending.message.id):
        record.conversation.survey = None  # nobody was asked


def _leave_open(record: Record, message_ids: list[str], received_at: datetime | None, now: datetime) -> None:
    """Messages left unanswered wait for a person now, and for the AI if the person returns the conversation."""
    if record.person_has_replied or record.state is not ConversationState.ESCALATED:
        return
    if record.opted_out and record.policy.edition >= editions.SECOND:
        return  # nobody can answer
    asked = [message for each in message_ids if (message := record.message(each)) is not None]
    arrivals = [
        Arrival(message=each, received_at=received_at or each.created_at, sent_at=each.created_at) for each in asked
    ]
    if arrivals:
        record.unread_by_ai = sorted([*arrivals, *record.unread_by_ai], key=lambda each: each.message.seq)[-WINDOW:]
        record.wait_for_person(now)


def _unpassed(record: Record, message_ids: list[str]) -> list[str]:
    """Without those behind which a later message was replied to: answers keep to the order of questions.

    What waits with them does not count, for it is answered with them.
    """
    waiting = {*message_ids, *(each.message.id for each in record.unread_by_ai)}
    replied = {each.message_id for each in record.outcomes if each.reply_id is not None} - waiting
    newest = max((each.seq for each in record.window if each.id in replied), default=0)
    return [each.id for each in record.window if each.id in message_ids and each.seq > newest]


def _taken_back_on_its_way(record: Record, pending: PendingSend, result: SendResult, now: datetime) -> None:
    """A message was withdrawn or given up during an attempt, which now tells whether it was sent after all."""
    pending.under_way = False
    pending.unsure = (pending.unsure or result.unsure) and result.result == "retry"
    message = record.message(pending.message.id)
    if pending.unsure or (message is not None and message.delivery.state.rank >= DeliveryState.SENT.rank):
        return  # still unknown, or a provider has reported more meanwhile
    left = result.result == "sent"
    delivery = Delivery(state=DeliveryState.SENT if left else DeliveryState.FAILED, reason=result.reason)
    record.set_delivery(pending.message.id, delivery, noted=result.noted and result.result != "retry")
    if left and pending.message.author is Author.AI:
        reply_id, reason = pending.message.id, "Sent before it could be withdrawn"
        for message_id in pending.in_reply_to:
            record.settle(Outcome(message_id=message_id, outcome="answered", reply_id=reply_id, reason=reason, at=now))


def _hand(record: Record, message_ids: list[str], reason: str, now: datetime) -> None:
    for message_id in message_ids:
        record.settle(Outcome(message_id=message_id, outcome="handed", reason=reason, at=now))
