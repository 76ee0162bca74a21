"""Alembic's environment: migrates over the connection that `Database.migrate` hands in."""

from alembic import context
from sqlmodel import SQLModel

from activities.storage import guest_tables, tables

assert tables  # importing them fills the metadata
assert guest_tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    compare_type=True,
)
context.run_migrations()
