"""Alembic's environment: migrates over the connection that `Database.migrate` hands in."""

from alembic import context
from sqlmodel import SQLModel

from activities.storage import access_tables, automation_tables, guest_tables, idempotency, tables, webhook_tables

for module in (tables, access_tables, automation_tables, guest_tables, idempotency, webhook_tables):
    assert module  # importing it fills the metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    compare_type=True,
)
context.run_migrations()
