"""How a conversation moves: each function changes the record for one thing that happened. Pure, like the record."""

from datetime import datetime

from contracts.ai import AIRequest, AIResponse, ConversationContext
from contracts.commands import Command, Reply
from contracts.conversations import ConversationState, Draft, Outcome
from contracts.events import ContactFacts, Send, SendResult
from contracts.guests import GuestProfile
from contracts.messages import AIInfo, Author, Delivery, DeliveryState, GuestMessage, Message, OutboundMessage
from workflows import policy
from workflows.record import STAFF_REPLIES, WINDOW, Arrival, PendingSend, Record

AI_MESSAGES = 6
"""Messages of the conversation that an engine is given, the one to be answered among them; a longer turn goes whole."""
WEBCHAT = "webchat"
"""The adapter for which publishing a message is sending it."""


# --- guests ------------------------------------------------------------------------------------------------------


def receive(record: Record, message: GuestMessage, now: datetime) -> None:
    """A guest message came in; a repeat of one that did is passed over."""
    if record.remembers(message.id):
        return
    record.remember(message.id)
    record.route = message.route
    if record.looked_up:
        admit(record, message, now)
    else:
        record.unchecked.append(message)


def looked_up(record: Record, facts: ContactFacts | None, now: datetime) -> None:
    """Storage said what it knows of the contact (or is away): what it has not seen yet is admitted."""
    record.looked_up = True
    conversation = record.conversation
    if facts is not None:
        conversation.guest_id = facts.guest_id or conversation.guest_id
        conversation.guest_name = facts.guest_name or conversation.guest_name
        conversation.previous_conversation_id = facts.previous_conversation_id
        record.profile = GuestProfile(id=conversation.guest_id, name=conversation.guest_name)
        record.window = [*facts.previous_messages, *record.window][-WINDOW:]
    known = set(facts.known_message_ids) if facts is not None else set()
    for message in record.unchecked:
        if message.id not in known:
            admit(record, message, now)
    record.unchecked = []


def admit(record: Record, message: GuestMessage, now: datetime) -> None:
    """Takes a guest message into the conversation: to the AI's queue, or to the person who has it."""
    conversation = record.conversation
    if message.guest_name is not None:
        conversation.guest_name = record.profile.name = message.guest_name
    if conversation.state is ConversationState.NEW:
        record.activate("started", now)
    elif conversation.state is ConversationState.RESOLVED:
        record.activate("reopened", now)
    admitted = record.add_message(
        message.id,
        Author.GUEST,
        message.content,
        now,
        delivery=DeliveryState.DELIVERED,
        author_name=conversation.guest_name,
        attachments=message.attachments,
    )
    conversation.unread += 1
    if conversation.state is ConversationState.ESCALATED:
        settle(record, [admitted.id], "handed", "A person has the conversation", now)
    else:
        record.queue.append(Arrival(message=admitted, received_at=message.received_at, sent_at=message.sent_at))


# --- staff -------------------------------------------------------------------------------------------------------


def reply(record: Record, command: Reply, now: datetime) -> Message:
    """A person writes: a note changes nothing, a message to the guest takes the conversation over."""
    if command.message_id in record.staff_replies:
        return _repeated_reply(record, command, now)
    if not command.private:
        _take_over(record, command, f"{command.by.name} replied", now)
        record.conversation.unread = 0
        record.conversation.draft = None
    message = record.add_message(
        command.message_id,
        Author.STAFF,
        command.content,
        now,
        author_name=command.by.name,
        attachments=command.attachments,
        private=command.private,
        delivery=DeliveryState.SENT if command.private else DeliveryState.QUEUED,
    )
    record.staff_replies[command.message_id] = message.seq
    while len(record.staff_replies) > STAFF_REPLIES:
        del record.staff_replies[next(iter(record.staff_replies))]
    if not command.private:
        record.sends.append(PendingSend(message=message))
    return message


def claim(record: Record, command: Command, now: datetime) -> None:
    _take_over(record, command, f"{command.by.name} took over", now)
    record.last_command = ("claim", command.by.id)


def escalate(record: Record, command: Command, now: datetime) -> None:
    if record.state is not ConversationState.ESCALATED:
        record.escalate(command.reason or f"{command.by.name} asked for a person", now, by=command.by.id)
    record.last_command = ("escalate", command.by.id)


def return_to_ai(record: Record, command: Command, now: datetime) -> None:
    if record.state is ConversationState.ESCALATED:
        record.activate("returned", now, command.by.id)
    record.last_command = ("return", command.by.id)


def resolve(record: Record, command: Command, now: datetime) -> None:
    if record.state is not ConversationState.RESOLVED:
        record.resolve(now, command.by.id, command.reason)
    record.last_command = ("resolve", command.by.id)


def _take_over(record: Record, command: Command, reason: str, now: datetime) -> None:
    record.escalate(reason, now, by=command.by.id, assigned_to=command.by.id)


def _repeated_reply(record: Record, command: Reply, now: datetime) -> Message:
    """The message that the first of these commands made; rebuilt when it has left the window."""
    kept = record.message(command.message_id)
    if kept is not None:
        return kept
    return Message(
        id=command.message_id,
        conversation_id=command.conversation_id,
        seq=record.staff_replies[command.message_id],
        author=Author.STAFF,
        author_name=command.by.name,
        content=command.content,
        attachments=command.attachments,
        private=command.private,
        created_at=now,
        delivery=Delivery(state=DeliveryState.SENT),
    )


# --- the AI ------------------------------------------------------------------------------------------------------


def ai_request(record: Record, arrivals: list[Arrival]) -> AIRequest:
    """One turn's request: its last message, the last few before it, and who asks."""
    conversation = record.conversation
    message = record.message(arrivals[-1].message.id) or arrivals[-1].message
    earlier = [each for each in record.window if not each.private and each.id != message.id]
    return AIRequest(
        conversation_id=conversation.conversation_id,
        message=message,
        context=ConversationContext(
            **conversation.model_dump(
                include={
                    "conversation_id",
                    "guest_id",
                    "property_id",
                    "channel_type",
                    "state",
                    "assigned_to",
                    "message_count",
                    "current_intent",
                    "created_at",
                    "last_message_at",
                },
                by_alias=False,
            ),
            messages=earlier[1 - max(AI_MESSAGES, len(arrivals)) :],
            turn_message_ids=[arrival.message.id for arrival in arrivals],
        ),
        guest_profile=record.profile,
    )


def conclude(
    record: Record, arrivals: list[Arrival], decision: policy.TurnDecision, reply_id: str, now: datetime
) -> None:
    """Carries out what was decided on a turn: something is said to the guest, and its messages have an outcome."""
    ids = [arrival.message.id for arrival in arrivals]
    record.queue = [arrival for arrival in record.queue if arrival.message.id not in ids]
    match decision:
        case policy.Reply(response=response):
            record.failures = 0
            _understood(record, response)
            _say(record, arrivals, Author.AI, decision.text, reply_id, now, response)
            settle(record, ids, "answered", decision.reason, now, reply_id)
        case policy.Handover(draft=draft):
            record.failures = 0
            _say(record, arrivals, Author.SYSTEM, decision.text, reply_id, now)
            record.escalate(decision.reason, now)
            settle(record, ids, "handed", decision.reason, now, reply_id)
            if draft is not None:
                _understood(record, draft)
                keep_as_draft(record, draft, f"{reply_id}-draft", now)
        case policy.Fallback():
            record.failures += 1
            record.conversation.needs_review = True
            _say(record, arrivals, Author.SYSTEM, decision.text, reply_id, now)
            record.change("review", now)
            record.notify(decision.notice, decision.reason, now)
            if decision.escalation is not None:
                record.escalate(decision.escalation, now)
            settle(record, ids, "handed", decision.reason, now, reply_id)


def keep_as_draft(record: Record, response: AIResponse, draft_id: str, now: datetime) -> None:
    """The AI's words are for staff to use or leave."""
    if response.response.strip():
        record.keep_draft(Draft(id=draft_id, content=response.response, ai=_info(response)), now)


def settle(
    record: Record,
    message_ids: list[str],
    outcome: policy.OutcomeKind,
    reason: str,
    now: datetime,
    reply_id: str | None = None,
) -> None:
    for message_id in message_ids:
        record.settle(Outcome(message_id=message_id, outcome=outcome, reason=reason, at=now, reply_id=reply_id))


def _say(
    record: Record,
    arrivals: list[Arrival],
    author: Author,
    text: str,
    message_id: str,
    now: datetime,
    response: AIResponse | None = None,
) -> None:
    info = _info(response) if response is not None else None
    message = record.add_message(message_id, author, text, now, delivery=DeliveryState.QUEUED, ai=info)
    record.sends.append(
        PendingSend(
            message=message,
            in_reply_to=[arrival.message.id for arrival in arrivals],
            received_at=min(arrival.received_at for arrival in arrivals),
        )
    )


def _understood(record: Record, response: AIResponse) -> None:
    record.conversation.current_intent = response.intent
    record.conversation.pending_actions = response.actions


def _info(response: AIResponse) -> AIInfo:
    return AIInfo(confidence=response.confidence, intent=response.intent, sources=response.sources)


# --- sending -----------------------------------------------------------------------------------------------------


def due_sends(record: Record, now: datetime) -> list[PendingSend]:
    """What may be sent now: in order, so that a message which has to wait holds back those behind it.

    Web chat takes all at once; any other channel one an attempt, so that each has a result of its own.
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
    """Begins one attempt to send."""
    pending.attempts += 1
    pending.first_attempt_at = pending.first_attempt_at or now
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
        ),
        adapter=record.route.adapter,
        attempt=pending.attempts,
        author=message.author,
        received_at=pending.received_at,
    )


def sent(record: Record, pending: PendingSend, result: SendResult, now: datetime) -> None:
    """An attempt came to its end: the message is gone, will be tried again, or is staff's to look after."""
    pending.unsure = pending.unsure or result.unsure
    if result.result == "retry" and not may_send(record, pending):
        withdraw(record, pending, now)
        return
    verdict = policy.after_attempt(pending, result, record.policy, now)
    if verdict.tell_staff:
        pending.told_staff = True
        record.notify("delivery_failed", f"A message is not delivered: {result.reason}", now)
    if verdict.again_at is not None:
        pending.not_before = verdict.again_at
        return
    record.sends.remove(pending)
    if verdict.failed is None:
        record.set_delivery(pending.message.id, Delivery(state=DeliveryState.SENT), noted=result.noted)
        return
    failed = Delivery(state=DeliveryState.FAILED, reason=verdict.failed)
    record.set_delivery(pending.message.id, failed, noted=result.noted and result.result == "failed")
    settle(record, pending.in_reply_to, "handed", f"The reply was not delivered: {verdict.failed}", now)
    if record.state is ConversationState.ACTIVE:
        record.escalate(f"A reply was not delivered: {verdict.failed}", now)


def not_attempted(record: Record, pending: PendingSend, now: datetime) -> None:
    """An attempt that was begun here and never reached a worker counts for nothing."""
    pending.attempts -= 1
    if pending.attempts == 0:
        pending.first_attempt_at = None
    if not may_send(record, pending):
        withdraw(record, pending, now)


def may_send(record: Record, pending: PendingSend) -> bool:
    """Ownership: the AI is silent while a person has the conversation. Resolving takes back nothing it has said."""
    return pending.message.author is not Author.AI or record.state is not ConversationState.ESCALATED


def withdraw(record: Record, pending: PendingSend, now: datetime) -> None:
    """An AI message that a person's taking over came before: it is not sent, and its text becomes a draft.

    Where an earlier attempt may have gone through, its delivery is unknown and not failed.
    """
    record.sends.remove(pending)
    state = DeliveryState.UNKNOWN if pending.unsure else DeliveryState.FAILED
    reason = "A person took over before it was sent"
    record.set_delivery(pending.message.id, Delivery(state=state, reason=reason))
    settle(record, pending.in_reply_to, "handed", reason, now)
    if pending.message.ai is not None:
        record.keep_draft(
            Draft(id=f"{pending.message.id}-draft", content=pending.message.content, ai=pending.message.ai), now
        )
