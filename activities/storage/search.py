"""Builds the SQL that finds a page of conversations by filters and words, beginning where the last page ended.

Each property is read in the list's order from an index, only as far as the page needs, so that a page costs the same
anywhere in the list.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Integer,
    Select,
    SQLColumnExpression,
    Subquery,
    Text,
    and_,
    bindparam,
    exists,
    false,
    func,
    literal_column,
    not_,
    select,
    tuple_,
    union,
)
from sqlmodel import col

from activities.storage.paging import TimePosition
from activities.storage.search_words import begins, said
from activities.storage.tables import MESSAGE_WORDS, NAME_WORDS, ConversationRow, MessageRow
from contracts.conversations import ConversationState
from contracts.messages import ChannelType

LIMIT: Final = bindparam("limit", type_=Integer)


@dataclass(frozen=True, slots=True)
class ConversationFilter:
    """Which conversations to list; None is no condition. `words` occur in a message, or begin words of the name."""

    properties: Sequence[str]
    state: ConversationState | None = None
    channel: ChannelType | None = None
    assigned_to: str | None = None
    needs_review: bool | None = None
    words: str | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """What determines a page's statement. The values are parameters, so that a statement can be reused."""

    properties: int
    filters: frozenset[str]
    needs_review: bool | None
    words: bool
    way: Literal["from the top", "below", "above"]


def asked(
    wanted: ConversationFilter,
    *,
    limit: int,
    below: TimePosition | None = None,
    above: TimePosition | None = None,
    created_by: datetime | None = None,
) -> tuple[Shape, dict[str, object]]:
    """The shape and parameters of a page of at most `limit`: the newest `below` a place, or the oldest `above` one."""
    given: dict[str, object] = {
        "state": wanted.state.value if wanted.state is not None else None,
        "channel": wanted.channel,
        "assigned_to": wanted.assigned_to,
        "created_by": created_by,
    }
    filters = {name: value for name, value in given.items() if value is not None}
    place = above or below
    shape = Shape(
        properties=len(wanted.properties),
        filters=frozenset(filters),
        needs_review=wanted.needs_review,
        words=wanted.words is not None,
        way="above" if above is not None else "below" if below is not None else "from the top",
    )
    parameters = {**filters, "limit": limit, **{f"property_{n}": each for n, each in enumerate(wanted.properties)}}
    if place is not None:
        parameters |= {"at": place.at, "id": place.id}
    if wanted.words is not None:
        parameters |= {"words": said(wanted.words), "begins": begins(wanted.words)}
    return shape, parameters


def found(shape: Shape) -> Subquery:
    """Selects a page's places: each property's first ones in order from an index, then the first of all of them."""
    at, row_id = col(ConversationRow.last_activity_at), col(ConversationRow.id)
    order = in_order(shape, at, row_id)
    parts: list[Select[*tuple[Any, ...]]] = []
    for number in range(shape.properties):
        of_property = select(row_id, at).where(*conditions(shape, number))
        if not shape.words:
            parts.append(of_property.order_by(*order).limit(LIMIT))
            continue
        parts.append(of_property.where(_says()).order_by(*order).limit(LIMIT))
        # OFFSET 0 makes PostgreSQL look up names first: it cannot estimate how few match, and might scan in list order.
        named = of_property.where(_is_named()).offset(literal_column("0")).subquery()
        parts.append(select(named).order_by(*in_order(shape, named.c.last_activity_at, named.c.id)).limit(LIMIT))
    if not parts:
        return select(row_id, at).where(false()).subquery()
    if len(parts) == 1:
        return parts[0].subquery()
    together = union(*(select(each.subquery()) for each in parts)).subquery()
    return (
        select(together).order_by(*in_order(shape, together.c.last_activity_at, together.c.id)).limit(LIMIT).subquery()
    )


def in_order(
    shape: Shape, at: SQLColumnExpression[Any], row_id: SQLColumnExpression[Any]
) -> list[SQLColumnExpression[Any]]:
    """The list's order, reversed for a page above a place."""
    return [at, row_id] if shape.way == "above" else [at.desc(), row_id.desc()]


def _says() -> ColumnElement[bool]:
    """SQL for whether the words occur in one of the conversation's messages."""
    wanted = func.websearch_to_tsquery("simple", bindparam("words", type_=Text))
    messages = select(col(MessageRow.id)).where(
        col(MessageRow.conversation_id) == col(ConversationRow.id), MESSAGE_WORDS.op("@@")(wanted)
    )
    return exists(messages)


def _is_named() -> ColumnElement[bool]:
    """SQL for whether the words begin words of the guest's name."""
    return NAME_WORDS.op("@@")(func.to_tsquery("simple", bindparam("begins", type_=Text)))


def conditions(shape: Shape, number: int) -> list[ColumnElement[bool]]:
    """The conditions for conversations of the page's `number`th property, except for the words."""
    at, row_id = col(ConversationRow.last_activity_at), col(ConversationRow.id)
    place = tuple_(bindparam("at", type_=DateTime(timezone=True)), bindparam("id", type_=Text))
    possible = {
        "state": col(ConversationRow.state) == bindparam("state"),
        "channel": col(ConversationRow.channel_type) == bindparam("channel"),
        "assigned_to": col(ConversationRow.assigned_to) == bindparam("assigned_to"),
        "created_by": col(ConversationRow.created_at) <= bindparam("created_by"),
    }
    conditions = [col(ConversationRow.property_id) == bindparam(f"property_{number}")]
    conditions += [condition for name, condition in possible.items() if name in shape.filters]
    if shape.needs_review is not None:  # written as in the partial index, which IS TRUE would not match
        to_review = col(ConversationRow.needs_review)
        conditions.append(and_(to_review) if shape.needs_review else not_(to_review))
    if shape.way == "below":
        conditions.append(tuple_(at, row_id) < place)
    elif shape.way == "above":
        conditions.append(tuple_(at, row_id) > place)
    return conditions
