"""Keyset paging: each page begins where the last one ended, whatever was added meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar, cast

from pydantic import Field, StringConstraints
from sqlalchemy import ColumnElement, Row, Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Mapped

from activities.storage.database import Database
from contracts.base import Model, Timestamp

Item = TypeVar("Item")
Place = TypeVar("Place", bound=Model)

RowId = Annotated[str, StringConstraints(max_length=256, pattern=r"^[\x21-\x7e]+$")]


class TimePosition(Model):
    """Where a page ends in a list ordered by time and id."""

    at: Timestamp
    id: RowId


class SeqPosition(Model):
    """Where a page ends in a list ordered by `seq`."""

    seq: Annotated[int, Field(ge=0, lt=2**63)]


class MovingPosition(TimePosition):
    """Where a page ends in a list, newest first, whose rows move to the top when they change.

    `topAt` and `topId` are where the list began when its first page was read. Rows that have moved above that since
    follow at the end (`moved`), oldest first: none is missed, and only changed ones appear twice.
    """

    top_at: Timestamp
    top_id: RowId
    moved: bool = False

    @property
    def top(self) -> TimePosition:
        return TimePosition(at=self.top_at, id=self.top_id)


@dataclass(frozen=True, slots=True)
class Slice(Generic[Item, Place]):
    """A page. `end` is where the next one begins; None on the last page."""

    items: list[Item]
    end: Place | None


async def newest_first(
    database: Database,
    statement: Select[*tuple[Any, ...]],
    at: Mapped[Any],
    row_id: Mapped[Any],
    *,
    limit: int,
    after: TimePosition | None,
) -> tuple[Sequence[Row[*tuple[Any, ...]]], TimePosition | None]:
    """The rows of one page of a list ordered by time and id, and where it ends; None on the last page."""
    if after is not None:
        statement = statement.where(older_than(at, row_id, after))
    async with database.read() as connection:
        rows = (await connection.execute(statement.order_by(at.desc(), row_id.desc()).limit(limit + 1))).all()
    if len(rows) <= limit:
        return rows, None
    time_name, id_name = (cast("InstrumentedAttribute[Any]", column).key for column in (at, row_id))
    last = rows[limit - 1]
    return rows[:limit], TimePosition(at=getattr(last, time_name), id=getattr(last, id_name))


def older_than(at: Mapped[Any], row_id: Mapped[Any], position: TimePosition) -> ColumnElement[bool]:
    """SQL for what follows a position in a list with the newest first."""
    return tuple_(at, row_id) < (position.at, position.id)


def newer_than(at: Mapped[Any], row_id: Mapped[Any], position: TimePosition) -> ColumnElement[bool]:
    """SQL for what follows a position in a list with the oldest first."""
    return tuple_(at, row_id) > (position.at, position.id)
