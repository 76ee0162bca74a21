"""What a conversation keeps of a message: it carries many, and Temporal takes only so much at once. Pure."""

from itertools import accumulate

from contracts.messages import Attachment, Message
from contracts.names import CONTENT_LIMIT


def cut(message: Message) -> Message:
    """The message with the first of its words and of its attachments; storage has the whole."""
    update = {"content": message.content[:CONTENT_LIMIT], "attachments": _first(message.attachments)}
    return message.model_copy(update=update)


def _first(attachments: list[Attachment]) -> list[Attachment]:
    """As many as can be named in as many characters as the words may have."""
    characters = accumulate(each.characters for each in attachments)
    return [each for each, so_far in zip(attachments, characters, strict=True) if so_far <= CONTENT_LIMIT]
