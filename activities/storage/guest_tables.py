"""Tables of guest merges and erasures."""

from datetime import datetime

from sqlalchemy import Column, DateTime, ForeignKey, SmallInteger, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT
from sqlmodel import Field, SQLModel

from activities.storage.tables import JsonObject


class GuestMergeRow(SQLModel, table=True):
    """A guest who is the same person as another. Their contacts and conversations stay, and are found by `root_id`.

    `into_id` is the guest that staff chose; `root_id` is the root of the tree, which changes if that one is merged
    later. `before` and `after` are the profile of `into_id` before and after the merge.
    """

    __tablename__ = "guest_merges"

    guest_id: str = Field(sa_column=Column(ForeignKey("guests.id", ondelete="CASCADE"), primary_key=True))
    into_id: str = Field(sa_column=Column(ForeignKey("guests.id", ondelete="CASCADE"), nullable=False))
    root_id: str = Field(sa_column=Column(ForeignKey("guests.id", ondelete="CASCADE"), nullable=False, index=True))
    before: JsonObject = Field(sa_column=Column(JSONB, nullable=False))
    after: JsonObject = Field(sa_column=Column(JSONB, nullable=False))
    merged_by: str
    at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class ErasureRow(SQLModel, table=True):
    """The fact that a guest was erased, without their data. `traces` are ids still to be looked for elsewhere."""

    __tablename__ = "erasures"

    id: str = Field(primary_key=True)
    property_id: str
    guest_ids: list[str] = Field(sa_column=Column(ARRAY(TEXT), nullable=False))
    erased_by: str
    at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    counts: JsonObject = Field(sa_column=Column(JSONB, nullable=False))
    traces: JsonObject = Field(sa_column=Column(JSONB, nullable=False))


class ErasedFiguresRow(SQLModel, table=True):
    """The anonymous figures of an erased conversation, which still count in reports."""

    __tablename__ = "erased_figures"

    id: str = Field(primary_key=True)
    property_id: str = Field(index=True)
    channel_type: str
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    resolved_at: datetime | None = Field(sa_column=Column(DateTime(timezone=True), nullable=True))
    resolution: JsonObject | None = Field(sa_column=Column(JSONB(none_as_null=True), nullable=True))
    handed: bool
    breached: bool
    rating: int | None = Field(default=None, sa_column=Column(SmallInteger, nullable=True))


class KeptOptOutRow(SQLModel, table=True):
    """A contact that opted out and is not known, because its guest was erased or has never written."""

    __tablename__ = "kept_opt_outs"

    contact_key: str = Field(primary_key=True)
    at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()")))
