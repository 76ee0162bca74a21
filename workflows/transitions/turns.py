"""The AI's turns: the request, and what is done with the answer."""

from datetime import datetime

from contracts.ai import AIRequest, AIResponse, ConversationContext
from contracts.conversations import ConversationState, Draft, Outcome
from contracts.messages import AIInfo, Author
from workflows import editions, policy, promises
from workflows.owed import Arrival
from workflows.record import QUESTIONS, Record
from workflows.transitions.actions import take_up

AI_MESSAGES = 6
"""How many messages an engine is given, including the one to answer. A turn of more messages is given whole."""

COURTESIES = ("greeting", "thanks")
"""Intents that may come again and again without escalating."""


def ai_request(record: Record, arrivals: list[Arrival]) -> AIRequest:
    """The request of one turn: its last message, the few before it, the guest, and what people have done."""
    conversation = record.conversation
    message = record.message(arrivals[-1].message.id) or arrivals[-1].message
    earlier = [each for each in record.window if not each.private and each.id != message.id]
    recent = earlier[1 - max(AI_MESSAGES, len(arrivals)) :]
    shown = {each.id for each in recent}
    older = [arrival.message for arrival in arrivals[:-1] if arrival.message.id not in shown]
    return AIRequest(
        conversation_id=conversation.conversation_id,
        message=message,
        context=ConversationContext(
            conversation_id=conversation.conversation_id,
            guest_id=conversation.guest_id,
            property_id=conversation.property_id,
            channel_type=conversation.channel_type,
            state=conversation.state,
            assigned_to=conversation.assigned_to,
            messages=[*older, *recent],
            turn_message_ids=[arrival.message.id for arrival in arrivals],
            handoffs=record.handoffs,
            message_count=conversation.message_count,
            current_intent=conversation.current_intent,
            pending_actions=conversation.pending_actions,
            created_at=conversation.created_at,
            last_message_at=conversation.last_message_at,
        ),
        guest_profile=record.profile,
    )


def conclude(
    record: Record, arrivals: list[Arrival], decision: policy.TurnDecision, reply_id: str, now: datetime
) -> None:
    """Carries out the decision on a turn: the guest gets a message, and the turn's messages get outcomes."""
    ids = [arrival.message.id for arrival in arrivals]
    record.drafted_to = arrivals[-1].message.seq
    record.queue = [arrival for arrival in record.queue if arrival.message.id not in ids]
    match decision:
        case policy.Answered(response=response):
            record.failures = 0
            record.conversation.current_intent = response.intent
            if record.policy.edition < editions.SECOND or response.intent not in COURTESIES:
                asked = policy.questions(arrivals)
                record.answered_questions = [*record.answered_questions, *asked][-QUESTIONS:]
            _say(record, arrivals, Author.AI, decision.text, reply_id, now, response)
            _settle(record, ids, "answered", decision.reason, now, reply_id)
            take_up(record, response.actions, reply_id, now, sure=True)
        case policy.Handover(draft=draft):
            record.failures = 0
            told = not decision.urgent and _were_told(record, ids)
            if not told:
                # Out of hours never that somebody replies shortly.
                away = None if decision.urgent else promises.away_words(record, now, again=True)
                _say(record, arrivals, Author.SYSTEM, away or decision.text, reply_id, now)
            if decision.urgent:
                record.prioritise("urgent", now)
            _leave_to_people(record, arrivals, decision.reason, now)
            _settle(record, ids, "handed", decision.reason, now, None if told else reply_id)
            if draft is not None:
                record.conversation.current_intent = draft.intent
                keep_as_draft(record, draft, f"{reply_id}-draft", now)
                take_up(record, draft.actions, reply_id, now, sure=False)
        case policy.Fallback():
            record.failures += 1
            record.conversation.needs_review = True
            told = _were_told(record, ids)
            if not told:
                leaves = decision.escalation is not None and record.policy.edition >= editions.THIRD
                away = promises.away_words(record, now, again=True) if leaves else None
                _say(record, arrivals, Author.SYSTEM, away or decision.text, reply_id, now)
            record.change("review", now)
            record.notify(decision.notice, decision.reason, now)
            if decision.escalation is not None:
                _leave_to_people(record, arrivals, decision.escalation, now)
            _settle(record, ids, "handed", decision.reason, now, None if told else reply_id)


def overtaken(record: Record, arrivals: list[Arrival], response: AIResponse, reply_id: str, now: datetime) -> None:
    """The AI answered after a person took over: they decide on its words and its actions."""
    record.drafted_to = max(record.drafted_to, arrivals[-1].message.seq)
    keep_as_draft(record, response, reply_id, now)
    if record.policy.edition >= editions.THIRD:
        take_up(record, response.actions, reply_id, now, sure=False)


def keep_as_draft(record: Record, response: AIResponse, draft_id: str, now: datetime) -> None:
    """Keeps the AI's answer as a draft for staff."""
    if response.response.strip():
        record.keep_draft(Draft(id=draft_id, content=response.response, ai=_info(response)), now)


def summarised(record: Record, summary: str | None, now: datetime) -> None:
    """The AI has written a summary; None if there is none."""
    record.summary_due = False
    conversation = record.conversation
    resolved = conversation.state is ConversationState.RESOLVED
    place = conversation.resolution if resolved else conversation.escalation
    if summary is not None and summary.strip() and place is not None:
        place.summary = summary.strip()
        record.change("summary", now)


def _were_told(record: Record, message_ids: list[str]) -> bool:
    """Whether the guest has been told of all these messages that people have them. It is not said twice."""
    if record.policy.edition < editions.FOURTH:
        return False
    announced = {each.message_id for each in record.outcomes if each.outcome == "handed" and each.reply_id is not None}
    return announced.issuperset(message_ids)


def _leave_to_people(record: Record, arrivals: list[Arrival], reason: str, now: datetime) -> None:
    """Escalates. If people return the turn's messages without an answer, the AI tries each of them once more."""
    if record.policy.edition >= editions.FOURTH and not record.opted_out:
        kept = [each.model_copy(update={"handed_over": True}) for each in arrivals if not each.handed_over]
        record.unread_by_ai = [*record.unread_by_ai, *kept]
    again = any(each.handed_over for each in arrivals)
    record.escalate(f"Handed over again: {reason}" if again else reason, now)


def _say(
    record: Record,
    arrivals: list[Arrival],
    author: Author,
    text: str,
    message_id: str,
    now: datetime,
    response: AIResponse | None = None,
) -> None:
    record.say(
        author,
        text,
        now,
        message_id=message_id,
        in_reply_to=[arrival.message.id for arrival in arrivals],
        received_at=min(arrival.received_at for arrival in arrivals),
        ai=_info(response) if response is not None else None,
    )


def _settle(
    record: Record,
    message_ids: list[str],
    outcome: policy.OutcomeKind,
    reason: str,
    now: datetime,
    reply_id: str | None,
) -> None:
    """Without a reply now, the earlier one of each message holds."""
    earlier = {each.message_id: each.reply_id for each in record.outcomes}
    for message_id in message_ids:
        said = reply_id or earlier.get(message_id)
        record.settle(Outcome(message_id=message_id, outcome=outcome, reason=reason, at=now, reply_id=said))


def _info(response: AIResponse) -> AIInfo:
    return AIInfo(
        confidence=response.confidence, intent=response.intent, sources=response.sources, model=response.model
    )
