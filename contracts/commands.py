"""Commands of staff to a conversation. Each is an update that the workflow validates."""

from typing import Annotated

from pydantic import Field, StringConstraints

from contracts.base import Model, Timestamp
from contracts.messages import Attachment, Template
from contracts.rules import PolicyChanges, Priority

Reason = Annotated[str, StringConstraints(max_length=500)]


class Actor(Model):
    """Who gives a command: a member of staff."""

    id: str
    name: str


class Command(Model):
    """A command to one conversation, named because a contact's workflow id serves one conversation after another."""

    conversation_id: str
    by: Actor
    reason: Reason | None = None


class Reply(Command):
    """A message to the guest, or a note if `private`. Repeats have the same `message_id`.

    `last_seen_seq` is the newest event its writer had read: if there are newer messages, the reply is refused.
    """

    message_id: str
    content: str = ""
    attachments: list[Attachment] = []
    template: Template | None = None
    draft_id: str | None = None
    last_seen_seq: int | None = None
    mentions: list[str] = []
    """Ids of the staff whom a note mentions."""
    private: bool = False


class Opening(Model):
    """Staff or a program write first. This starts a conversation, in state `new` until the guest writes."""

    by: Actor
    message_id: str
    content: str = ""
    attachments: list[Attachment] = []
    template: Template | None = None
    guest_id: str | None = None
    guest_name: str | None = None


class Assign(Command):
    """Assigns the conversation to somebody."""

    staff_id: str
    staff_name: str


class SetConversationPriority(Command):
    priority: Priority


class Snooze(Command):
    until: Timestamp


class ChangePolicy(Command):
    """Changes the rules of this one conversation."""

    changes: PolicyChanges


class DecideAction(Command):
    """Approves or refuses an action that the AI asked for."""

    action_id: str
    approve: bool


class Redeliver(Command):
    """Retries an undelivered message (as a new message `copy_id` if it was given up), or skips it.

    Skipping lets the messages behind it be sent.
    """

    message_id: str
    copy_id: str
    skip: bool = False


class DeliveryFailure(Model):
    """A provider reports that a message it had accepted was not delivered after all.

    `opted_out`: because the guest wants no messages.
    """

    conversation_id: str
    message_id: str
    reason: str
    opted_out: bool = False


class TaskDone(Model):
    """A department has completed what the guest asked for."""

    conversation_id: str
    task_id: str
    title: Annotated[str, Field(max_length=200)]
