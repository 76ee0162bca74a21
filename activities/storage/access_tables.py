"""Tables of staff sessions and of API keys."""

from datetime import datetime

from sqlalchemy import Column, DateTime, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlmodel import Field, SQLModel


class StaffSessionRow(SQLModel, table=True):
    """A session that somebody opened, kept so that all of their sessions can be ended."""

    __tablename__ = "staff_sessions"

    session_id: str = Field(primary_key=True)
    staff_id: str = Field(sa_column=Column(ForeignKey("staff.id", ondelete="CASCADE"), nullable=False, index=True))
    ends_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class ApiKeyRow(SQLModel, table=True):
    """A program's key. Only the program has the key itself; stored are its hash and its first characters."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("api_keys_by_time", "created_at", "id"),)

    id: str = Field(primary_key=True)
    name: str
    properties: list[str] = Field(sa_column=Column(ARRAY(TEXT), nullable=False))
    scopes: list[str] = Field(sa_column=Column(ARRAY(TEXT), nullable=False, server_default=text("'{}'")))
    key_hash: str = Field(unique=True)
    begins: str
    created_by: str
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    expires_at: datetime | None = Field(sa_column=Column(DateTime(timezone=True), nullable=True))
    last_used_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))
    revoked_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))
