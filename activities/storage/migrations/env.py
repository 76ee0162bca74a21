"""Alembic's environment: migrates over the connection that `Database.migrate` hands in."""

from alembic import context
from sqlmodel import SQLModel

from activities.storage import automation_tables, tables, webhook_tables

assert tables  # importing them fills the metadata
assert automation_tables
assert webhook_tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    compare_type=True,
)
context.run_migrations()
