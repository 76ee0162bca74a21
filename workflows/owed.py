"""What a conversation still owes: messages to answer and to send, a person's answer, a rating question."""

from contracts.base import Model, Timestamp
from contracts.messages import Message, Template
from contracts.rules import ConversationPolicy, Priority
from workflows.hours import after_open_time


class Arrival(Model):
    """A guest message that waits to be answered."""

    message: Message
    received_at: Timestamp
    sent_at: Timestamp
    returned_at: Timestamp | None = None
    """When a person gave it back to the AI, from which moment its age counts."""
    handed_over: bool = False
    """The AI has handed it over before."""


class PendingSend(Model):
    """A message that its channel has not accepted yet. `received_at` is when the oldest message it answers arrived."""

    message: Message
    template: Template | None = None
    in_reply_to: list[str] = []
    received_at: Timestamp | None = None
    attempts: int = 0
    first_attempt_at: Timestamp | None = None
    not_before: Timestamp | None = None
    told_staff: bool = False
    under_way: bool = False
    """An attempt is in flight."""
    unsure: bool = False
    """An attempt ended without telling whether the message was sent."""

    @property
    def may_have_left(self) -> bool:
        return self.under_way or self.unsure


class Asking(Model):
    """Whether to ask the guest for a rating. `due`: the conversation was resolved in a way that calls for it.

    `asked_before` is when the contact was last asked, in an earlier conversation.
    """

    due: bool = False
    asked_before: Timestamp | None = None


class Wait(Model):
    """A guest waits for a person. The deadlines are None without a service level, or if nobody is ever there."""

    since: Timestamp
    first: bool
    """Nobody has written to the guest since the conversation was escalated."""
    remind_at: Timestamp | None = None
    due_at: Timestamp | None = None
    reminded: bool = False
    breached: bool = False

    def reckon(self, rules: ConversationPolicy, priority: Priority) -> None:
        """Calculates the deadlines from the current rules and priority."""
        level = rules.service_levels.get(priority)
        if level is None:
            self.remind_at = self.due_at = None
            return
        allowed = level.first_response if self.first else level.next_response
        self.remind_at = after_open_time(rules.hours, self.since, allowed / 2)
        self.due_at = after_open_time(rules.hours, self.since, allowed)
