"""The table of automations."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel


class AutomationsRow(SQLModel, table=True):
    """The rules of a property. They have been checked against its log up to `position`."""

    __tablename__ = "automations"

    property_id: str = Field(primary_key=True)
    rules: list[dict[str, Any]] = Field(sa_column=Column(JSONB, nullable=False))
    version: int
    position: int = Field(sa_column=Column(BigInteger, nullable=False))
    updated_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    updated_by: str
