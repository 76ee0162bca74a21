"""What staff tell a conversation to do; each is an update that the workflow validates."""

from typing import Annotated

from pydantic import StringConstraints

from contracts.base import Model
from contracts.messages import Attachment


class Actor(Model):
    """Who acts: a member of staff."""

    id: str
    name: str


class Command(Model):
    """Names the conversation, because a contact's workflow id serves one conversation after another."""

    conversation_id: str
    by: Actor
    reason: Annotated[str, StringConstraints(max_length=500)] | None = None


class Reply(Command):
    """A message to the guest, or a note if `private`. The same `message_id` again is the same message."""

    message_id: str
    content: str
    attachments: list[Attachment] = []
    private: bool = False
