"""Shortens messages that a conversation carries: it carries many, and Temporal limits payload sizes. Pure."""

from itertools import accumulate

from contracts.messages import Attachment, Message
from contracts.names import CONTENT_LIMIT


def cut(message: Message) -> Message:
    """The message with its content and attachments cut to a limit. Storage has all of it."""
    update = {"content": message.content[:CONTENT_LIMIT], "attachments": _first(message.attachments)}
    return message.model_copy(update=update)


def _first(attachments: list[Attachment]) -> list[Attachment]:
    """The first attachments whose JSON stays within the same limit as the content."""
    characters = accumulate(each.characters for each in attachments)
    return [each for each, so_far in zip(attachments, characters, strict=True) if so_far <= CONTENT_LIMIT]
