"""Finding the conversations of a page: by what lists filter by, by words, and from where the last page ended.

Each property, and each way that words can be found, is read in the list's order from an index of its own and no further
than the page, so that a page costs the same wherever it is in the list.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Subquery, exists, false, func, select, union
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
    places = select(row_id, at).where(*conditions).order_by(*order).limit(limit)
    parts = [
        places.where(col(ConversationRow.property_id) == property_id, *each)
        for property_id in wanted.properties
        for each in _said(wanted.words)
    ]
    if not parts:
        return places.where(false()).subquery()
    if len(parts) == 1:
        return parts[0].subquery()
    together = union(*(select(each.subquery()) for each in parts)).subquery()
    columns = [together.c.last_activity_at, together.c.id]
    ordered = [column if above is not None else column.desc() for column in columns]
    return select(together).order_by(*ordered).limit(limit).subquery()


def folded(words: str) -> str:
    """Words without accents, as they are indexed."""
    return _ACCENTS.sub("", unicodedata.normalize("NFKD", words))


def _said(words: str | None) -> list[list[ColumnElement[bool]]]:
    """The ways in which words can be found, each with an index of its own."""
    if words is None:
        return [[]]
    said = func.websearch_to_tsquery("simple", folded(words))
    begins = " & ".join(f"'{word}':*" for word in _WORD.findall(folded(words)))
    messages = select(col(MessageRow.id)).where(
        col(MessageRow.conversation_id) == col(ConversationRow.id), MESSAGE_WORDS.op("@@")(said)
    )
    return [[exists(messages)], [NAME_WORDS.op("@@")(func.to_tsquery("simple", begins))]]


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
