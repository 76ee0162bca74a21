"""What staff tell a conversation to do; each is an update that the workflow validates."""

from typing import Annotated

from pydantic import Field, StringConstraints

from contracts.base import Model, Timestamp
from contracts.messages import Attachment, Template
from contracts.rules import PolicyChanges, Priority

Reason = Annotated[str, StringConstraints(max_length=500)]


class Actor(Model):
    """Who acts: a member of staff."""

    id: str
    name: str


class Command(Model):
    """Names the conversation, because a contact's workflow id serves one conversation after another."""

    conversation_id: str
    by: Actor
    reason: Reason | None = None


class Reply(Command):
    """A message to the guest, or a note if `private`. The same `message_id` again is the same message.

    `last_seen_seq` is what its writer had read: with something newer said since, the reply is refused.
    """

    message_id: str
    content: str = ""
    attachments: list[Attachment] = []
    template: Template | None = None
    draft_id: str | None = None
    last_seen_seq: int | None = None
    mentions: list[str] = []
    """Staff whom a note names."""
    private: bool = False


class Opening(Model):
    """Staff, or a program, write first. The message begins a conversation, in state new until the guest writes."""

    by: Actor
    message_id: str
    content: str = ""
    attachments: list[Attachment] = []
    template: Template | None = None
    guest_id: str | None = None
    guest_name: str | None = None


class Assign(Command):
    """Gives the conversation to somebody."""

    staff_id: str
    staff_name: str


class SetConversationPriority(Command):
    priority: Priority


class Snooze(Command):
    until: Timestamp


class ChangePolicy(Command):
    """New rules for this one conversation."""

    changes: PolicyChanges


class DecideAction(Command):
    """What staff say to an action that the AI asks for."""

    action_id: str
    approve: bool


class Redeliver(Command):
    """What to do with a message that is not delivered: try it again, as a message `copy_id` where it was given up; or
    skip it, so that those behind it may pass."""

    message_id: str
    copy_id: str
    skip: bool = False


class DeliveryFailure(Model):
    """A provider reports that a message which it took was not delivered after all."""

    conversation_id: str
    message_id: str
    reason: str


class TaskDone(Model):
    """A department has done what the guest asked for."""

    conversation_id: str
    task_id: str
    title: Annotated[str, Field(max_length=200)]
