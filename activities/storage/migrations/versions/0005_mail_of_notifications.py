"""Adds notifications by e-mail: which kinds each member of staff wants, and the outbox."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "staff",
        sa.Column("mail_kinds", postgresql.ARRAY(sa.TEXT()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.create_table(
        "mail_outbox",
        sa.Column("notification_id", sa.Text(), nullable=False),
        sa.Column("staff_id", sa.Text(), nullable=False),
        sa.Column("property_id", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["notification_id"], ["notifications.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("notification_id", "staff_id"),
    )
    op.create_index("mail_outbox_by_time", "mail_outbox", ["next_at"], unique=False)


def downgrade() -> None:
    op.drop_index("mail_outbox_by_time", table_name="mail_outbox")
    op.drop_table("mail_outbox")
    op.drop_column("staff", "mail_kinds")
