"""Drafts for people: while the AI may only draft, it writes one whenever a guest waits for a person."""

from datetime import datetime

from contracts.ai import AIResponse
from contracts.conversations import ConversationState
from workflows import editions, policy
from workflows.owed import Arrival
from workflows.record import Record
from workflows.transitions.actions import take_up
from workflows.transitions.turns import keep_as_draft


def undrafted(record: Record) -> list[Arrival]:
    """Unanswered messages for which no draft was considered yet."""
    if record.policy.edition < editions.FOURTH or record.state is not ConversationState.ESCALATED:
        return []
    if policy.autonomy(record.policy, record.profile, vip=record.vip) != "draft":
        return []
    return [each for each in record.unread_by_ai if each.message.seq > record.drafted_to]


def begin_draft(record: Record, now: datetime) -> list[Arrival]:
    """What the next draft answers: all that is unanswered, except what people answer without the AI.

    Empty if the newest message is such a one: a draft would pass over what the guest wrote last.
    """
    unanswered = record.unread_by_ai
    record.drafted_to = unanswered[-1].message.seq
    asked = [each for each in unanswered if _may_be_drafted(record, each, now)]
    return asked if asked and asked[-1] is unanswered[-1] else []


def still_wants_draft(record: Record, arrivals: list[Arrival]) -> bool:
    """Whether a draft for these messages is still of use: nobody has answered them, and the AI may draft."""
    if record.state is not ConversationState.ESCALATED or not record.unread_by_ai:
        return False
    waits = arrivals[-1].message.id in {each.message.id for each in record.unread_by_ai}
    return waits and policy.autonomy(record.policy, record.profile, vip=record.vip) == "draft"


def drafted(record: Record, response: AIResponse, reply_id: str, now: datetime) -> None:
    """The AI wrote a draft, which replaces an unused one. Staff decide on its actions, too."""
    decision = policy.after_answer(record.policy, response, autonomy="draft")
    if isinstance(decision, policy.Handover) and decision.urgent and record.conversation.priority != "urgent":
        record.prioritise("urgent", now)
        record.notify("escalation", decision.reason, now)
    record.conversation.current_intent = response.intent
    keep_as_draft(record, response, f"{reply_id}-draft", now)
    take_up(record, response.actions, reply_id, now, sure=False)


def _may_be_drafted(record: Record, arrival: Arrival, now: datetime) -> bool:
    rules, answered = record.policy, record.answered_questions
    return policy.before_asking(rules, [arrival], now, autonomy="draft", answered=answered) is None
