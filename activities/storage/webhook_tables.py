"""Tables of outgoing webhooks."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, DateTime, ForeignKey, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlmodel import Field, SQLModel


class WebhookEndpointRow(SQLModel, table=True):
    """An endpoint. Log entries up to `position` have been handled. Secrets are encrypted."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (Index("webhook_endpoints_by_time", "property_id", "created_at", "id"),)

    id: str = Field(primary_key=True)
    property_id: str
    url: str
    description: str = ""
    event_types: list[str] = Field(sa_column=Column(ARRAY(TEXT), nullable=False))
    enabled: bool = True
    disabled_reason: str | None = None
    secret: str
    previous_secret: str | None = None
    previous_secret_until: datetime | None = Field(
        default=None, sa_column=Column(DateTime(timezone=True), nullable=True)
    )
    position: int = Field(sa_column=Column(BigInteger, nullable=False))
    failures: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    next_attempt_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))
    version: int = 1
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    updated_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class WebhookDeliveryRow(SQLModel, table=True):
    __tablename__ = "webhook_deliveries"
    __table_args__ = (Index("webhook_deliveries_by_time", "endpoint_id", "first_attempt_at", "webhook_id"),)

    endpoint_id: str = Field(
        sa_column=Column(Text, ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), primary_key=True)
    )
    webhook_id: str = Field(primary_key=True)
    type: str
    state: str
    attempts: int
    first_attempt_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    last_attempt_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    response_status: int | None = None
    reason: str | None = None
