"""Tables of who is signed in, and of the keys that programs call with."""

from datetime import datetime

from sqlalchemy import Column, DateTime, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlmodel import Field, SQLModel


class StaffSessionRow(SQLModel, table=True):
    """A session that somebody opened; what it takes to end all of theirs."""

    __tablename__ = "staff_sessions"

    session_id: str = Field(primary_key=True)
    staff_id: str = Field(sa_column=Column(ForeignKey("staff.id", ondelete="CASCADE"), nullable=False, index=True))
    ends_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class ApiKeyRow(SQLModel, table=True):
    """A program's key. The key itself is known to the program alone; here is its hash, and how it begins."""

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
