"""What a conversation owes: a message to answer, one to send, an answer that a person has promised, a question."""

from contracts.base import Model, Timestamp
from contracts.messages import Message, Template
from contracts.rules import ConversationPolicy, Priority
from workflows.hours import after_open_time


class Arrival(Model):
    """A guest message that waits for its turn."""

    message: Message
    received_at: Timestamp
    sent_at: Timestamp
    returned_at: Timestamp | None = None
    """When a person gave it back to the AI; it is late by no more than what has passed since."""


class PendingSend(Model):
    """A message that a channel has not taken yet. `received_at`: when the oldest message it answers came in."""

    message: Message
    template: Template | None = None
    in_reply_to: list[str] = []
    received_at: Timestamp | None = None
    attempts: int = 0
    first_attempt_at: Timestamp | None = None
    not_before: Timestamp | None = None
    told_staff: bool = False
    under_way: bool = False
    """An attempt has begun and not ended."""
    unsure: bool = False
    """An attempt ended without a word on whether the message left."""

    @property
    def may_have_left(self) -> bool:
        return self.under_way or self.unsure


class Asking(Model):
    """Asking the guest how the help was. `due`: the conversation was resolved so that they are to be asked.

    `asked_before`: when the contact was asked last, in an earlier conversation.
    """

    due: bool = False
    asked_before: Timestamp | None = None


class Wait(Model):
    """A guest waits for a person. The moments are None where no promise is made, or nobody is ever there to keep it."""

    since: Timestamp
    first: bool
    """Nobody has written to the guest yet since the conversation was handed over."""
    remind_at: Timestamp | None = None
    due_at: Timestamp | None = None
    reminded: bool = False
    breached: bool = False

    def reckon(self, rules: ConversationPolicy, priority: Priority) -> None:
        """Works out until when the guest should be answered, by the rules and priority of now."""
        level = rules.service_levels.get(priority)
        if level is None:
            self.remind_at = self.due_at = None
            return
        allowed = level.first_response if self.first else level.next_response
        self.remind_at = after_open_time(rules.hours, self.since, allowed / 2)
        self.due_at = after_open_time(rules.hours, self.since, allowed)
