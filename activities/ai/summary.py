"""Summarises a conversation for staff by quoting its messages, without a model."""

from collections.abc import Iterable, Sequence

from contracts.conversations import Conversation
from contracts.messages import Author, Message

QUOTE_LENGTH = 120
QUOTES = 3
"""How many messages of one side are quoted at most: the first, and the newest."""


def summary_of(conversation: Conversation, messages: Sequence[Message]) -> str | None:
    """A few sentences that claim nothing beyond the messages; None if there is none by a guest.

    `messages` may be only the newest ones: if the conversation is resolved, the guest's are counted by its resolution.
    """
    public = [message for message in messages if not message.private]
    asked = [message for message in public if message.author is Author.GUEST]
    if not asked:
        return None
    sentences = [
        _asked(asked, _count(conversation, Author.GUEST, asked)),
        *_answered([message for message in public if message.author is Author.AI]),
        *_handed(conversation),
        *_helped([message for message in public if message.author is Author.STAFF]),
    ]
    if len(sentences) == 1:
        sentences.append("Nobody has answered yet.")
    return " ".join(sentences)


def _count(conversation: Conversation, author: Author, seen: Sequence[Message]) -> int:
    counted = conversation.resolution.messages.get(author, 0) if conversation.resolution else 0
    return max(counted, len(seen))


def _asked(messages: Sequence[Message], count: int) -> str:
    how_many = "one message" if count == 1 else f"{count} messages"
    return f"The guest wrote {how_many}: {_quotes(messages)}."


def _answered(messages: Sequence[Message]) -> Iterable[str]:
    if not messages:
        return
    sources = list(dict.fromkeys(source for each in messages if each.ai for source in each.ai.sources))
    times = "once" if len(messages) == 1 else f"{len(messages)} times"
    articles = "article" if len(sources) == 1 else "articles"
    from_articles = f" from the {articles} {', '.join(sources)}" if sources else ""
    yield f"The AI answered {times}{from_articles}."


def _handed(conversation: Conversation) -> Iterable[str]:
    if conversation.escalation is not None:
        yield f"It was passed to the team: {conversation.escalation.reason.rstrip('.')}."


def _helped(messages: Sequence[Message]) -> Iterable[str]:
    by_name: dict[str, list[Message]] = {}
    for message in messages:
        by_name.setdefault(message.author_name or "A colleague", []).append(message)
    for name, written in by_name.items():
        yield f"{name} replied: {_quotes(written)}."


def _quotes(messages: Sequence[Message]) -> str:
    """Quotes the first message and the newest, with an ellipsis for those left out between them."""
    shown = [*messages[:1], *messages[1:][-(QUOTES - 1) :]]
    quotes = [f"“{_short(message)}”" for message in shown]
    if len(shown) < len(messages):
        quotes.insert(1, "…")
    return ", ".join(quotes)


def _short(message: Message) -> str:
    text = " ".join(message.content.split())
    if not text and message.attachments:
        return "a file" if len(message.attachments) == 1 else f"{len(message.attachments)} files"
    return text if len(text) <= QUOTE_LENGTH else f"{text[: QUOTE_LENGTH - 1].rstrip()}…"
