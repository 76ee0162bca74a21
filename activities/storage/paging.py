"""Reading long lists page by page, each page from where the last one ended, whatever was added meanwhile."""

from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from pydantic import Field, StringConstraints
from sqlalchemy import ColumnElement, tuple_
from sqlalchemy.orm import Mapped

from contracts.base import Model, Timestamp

Item = TypeVar("Item")
Place = TypeVar("Place", bound=Model)


class TimePosition(Model):
    """The last row of a page in a list that is ordered by time and id."""

    at: Timestamp
    id: Annotated[str, StringConstraints(max_length=256, pattern=r"^[\x21-\x7e]+$")]


class SeqPosition(Model):
    """The last row of a page in a list that is ordered by `seq`."""

    seq: Annotated[int, Field(ge=0, lt=2**63)]


@dataclass(frozen=True, slots=True)
class Slice(Generic[Item, Place]):
    """A page. `end` is where the next one begins, None on the last."""

    items: list[Item]
    end: Place | None


def older_than(at: Mapped[Any], row_id: Mapped[Any], position: TimePosition) -> ColumnElement[bool]:
    """What comes after the position in a list with the newest first."""
    return tuple_(at, row_id) < (position.at, position.id)


def newer_than(at: Mapped[Any], row_id: Mapped[Any], position: TimePosition) -> ColumnElement[bool]:
    """What comes after the position in a list with the oldest first."""
    return tuple_(at, row_id) > (position.at, position.id)
