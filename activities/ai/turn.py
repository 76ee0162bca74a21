"""The guest messages that a turn answers."""

from contracts.ai import AIRequest
from contracts.messages import Author
from contracts.names import CONTENT_LIMIT


def turn_of(request: AIRequest) -> list[str]:
    """The texts of the guest's messages in the turn, oldest first."""
    unanswered = set(request.context.turn_message_ids) - {request.message.id}
    earlier = [each for each in request.context.messages if each.id in unanswered and each.author is Author.GUEST]
    return [message.content[:CONTENT_LIMIT] for message in (*earlier, request.message)]
