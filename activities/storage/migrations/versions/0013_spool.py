"""Adds the spool of what comes in while Temporal is away.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "spool",
        sa.Column("position", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("id", sa.String(), nullable=False, unique=True),
        sa.Column("contact_key", sa.String(), nullable=False, index=True),
        sa.Column("payload", JSONB(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("spool")
