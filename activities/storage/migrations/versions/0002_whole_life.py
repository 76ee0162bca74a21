"""Adds contacts' routes and opt-outs, and the audience of notifications.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("contacts", sa.Column("route", JSONB, nullable=True))
    op.add_column("contacts", sa.Column("opted_out", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("notifications", sa.Column("audience", sa.Text, nullable=False, server_default="everyone"))
    op.add_column("notifications", sa.Column("staff_id", sa.Text, nullable=True))


def downgrade() -> None:
    op.drop_column("notifications", "staff_id")
    op.drop_column("notifications", "audience")
    op.drop_column("contacts", "opted_out")
    op.drop_column("contacts", "route")
