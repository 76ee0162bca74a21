"""Asking a guest for a rating."""

from datetime import datetime

from contracts.conversations import Survey
from contracts.messages import Author
from workflows import surveys
from workflows.record import Record


def ask_for_rating(record: Record, now: datetime) -> None:
    """Asks once, if still appropriate. The conversation then waits for the answer."""
    record.asking.due = False
    rules = record.policy.survey
    if rules is None or not surveys.is_due(record, now):
        return
    asked = record.say(Author.SYSTEM, surveys.question(record, rules), now)
    record.conversation.survey = Survey(message_id=asked.id, asked_at=now, until=now + rules.window)
    record.change("surveyed", now)
