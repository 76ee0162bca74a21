"""Finding the conversations of a page: by what lists filter by, by words, and from where the last page ended.

Each property is read in the list's order from an index, and no further than the page, so that a page costs the same
wherever it is in the list.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Subquery, exists, false, func, literal_column, select, union
from sqlmodel import col

from activities.storage.paging import TimePosition, newer_than, older_than
from activities.storage.tables import MESSAGE_WORDS, NAME_WORDS, ConversationRow, MessageRow
from contracts.conversations import ConversationState
from contracts.messages import ChannelType

_ACCENTS: Final = re.compile("[\u0300-\u036f]")
_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class ConversationFilter:
    """Which conversations to list; None lets all pass. `words` are said in it, or begin words of the guest's name."""

    properties: Sequence[str]
    state: ConversationState | None = None
    channel: ChannelType | None = None
    assigned_to: str | None = None
    needs_review: bool | None = None
    words: str | None = None


def found(
    wanted: ConversationFilter,
    *,
    limit: int,
    below: TimePosition | None = None,
    above: TimePosition | None = None,
    created_by: datetime | None = None,
) -> Subquery:
    """Places of up to `limit` conversations: the newest `below` a place, or the oldest `above` one."""
    at, row_id = col(ConversationRow.last_activity_at), col(ConversationRow.id)
    conditions = _conditions(wanted)
    if below is not None:
        conditions.append(older_than(at, row_id, below))
    if above is not None:
        conditions.append(newer_than(at, row_id, above))
    if created_by is not None:
        conditions.append(col(ConversationRow.created_at) <= created_by)
    order = [at, row_id] if above is not None else [at.desc(), row_id.desc()]
    parts = []
    for property_id in wanted.properties:
        of_property = select(row_id, at).where(col(ConversationRow.property_id) == property_id, *conditions)
        if wanted.words is None:
            parts.append(of_property.order_by(*order).limit(limit))
            continue
        parts.append(of_property.where(_says(wanted.words)).order_by(*order).limit(limit))
        # OFFSET 0 has names looked up first: how few they are is not foreseen, and no order finds them sooner.
        named = of_property.where(_is_named(wanted.words)).offset(literal_column("0")).subquery()
        parts.append(select(named).order_by(*_in_order(named, above is not None)).limit(limit))
    if not parts:
        return select(row_id, at).where(false()).subquery()
    if len(parts) == 1:
        return parts[0].subquery()
    together = union(*(select(each.subquery()) for each in parts)).subquery()
    return select(together).order_by(*_in_order(together, above is not None)).limit(limit).subquery()


def folded(words: str) -> str:
    """Words without accents, as they are indexed."""
    return _ACCENTS.sub("", unicodedata.normalize("NFKD", words))


def _in_order(places: Subquery, ascending: bool) -> list[ColumnElement[Any]]:
    columns: list[ColumnElement[Any]] = [places.c.last_activity_at, places.c.id]
    return columns if ascending else [column.desc() for column in columns]


def _says(words: str) -> ColumnElement[bool]:
    """Whether the words are said in one of its messages."""
    said = func.websearch_to_tsquery("simple", folded(words))
    messages = select(col(MessageRow.id)).where(
        col(MessageRow.conversation_id) == col(ConversationRow.id), MESSAGE_WORDS.op("@@")(said)
    )
    return exists(messages)


def _is_named(words: str) -> ColumnElement[bool]:
    """Whether the words begin words of the guest's name."""
    begins = " & ".join(f"'{word}':*" for word in _WORD.findall(folded(words)))
    return NAME_WORDS.op("@@")(func.to_tsquery("simple", begins))


def _conditions(wanted: ConversationFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.state is not None:
        conditions.append(col(ConversationRow.state) == wanted.state.value)
    if wanted.channel is not None:
        conditions.append(col(ConversationRow.channel_type) == wanted.channel)
    if wanted.assigned_to is not None:
        conditions.append(col(ConversationRow.assigned_to) == wanted.assigned_to)
    if wanted.needs_review is not None:
        conditions.append(col(ConversationRow.needs_review).is_(wanted.needs_review))
    return conditions
