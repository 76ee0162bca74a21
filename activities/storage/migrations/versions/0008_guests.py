"""Adds guest merges, erasures with the figures and opt-outs they leave, and the view that reports use."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# What reports count. Handed: the conversation was escalated or claimed. Breached: somebody waited longer than promised,
# as a notification to managers shows. Those about overdue tasks are told apart by their ids.
FIGURES = """
CREATE VIEW conversation_figures AS
SELECT conversations.id AS conversation_id, conversations.property_id, conversations.channel_type,
       conversations.created_at,
       CASE WHEN state = 'resolved' THEN (snapshot->>'resolvedAt')::timestamptz END AS resolved_at,
       CASE WHEN state = 'resolved' THEN snapshot->'resolution' END AS resolution,
       EXISTS (
           SELECT FROM log WHERE log.conversation_id = conversations.id
           AND log.type = 'conversation_update' AND log.payload->>'change' IN ('escalated', 'claimed')
       ) AS handed,
       EXISTS (
           SELECT FROM notifications WHERE notifications.conversation_id = conversations.id
           AND notifications.kind = 'sla' AND notifications.audience = 'managers'
           AND notifications.id NOT LIKE 'task-%'
       ) AS breached
FROM conversations
"""


def _guest(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), sa.ForeignKey("guests.id", ondelete="CASCADE"), nullable=False)


def _moment(name: str, *, nullable: bool = False) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "guest_merges",
        _guest("guest_id"),
        _guest("into_id"),
        _guest("root_id"),
        sa.Column("before", postgresql.JSONB(), nullable=False),
        sa.Column("after", postgresql.JSONB(), nullable=False),
        sa.Column("merged_by", sa.Text(), nullable=False),
        _moment("at"),
        sa.PrimaryKeyConstraint("guest_id"),
    )
    op.create_index("ix_guest_merges_root_id", "guest_merges", ["root_id"])
    op.create_table(
        "erasures",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("property_id", sa.Text(), nullable=False),
        sa.Column("guest_ids", postgresql.ARRAY(sa.TEXT()), nullable=False),
        sa.Column("erased_by", sa.Text(), nullable=False),
        _moment("at"),
        sa.Column("counts", postgresql.JSONB(), nullable=False),
        sa.Column("traces", postgresql.JSONB(), nullable=False),
    )
    op.create_index("erasures_by_guest", "erasures", ["guest_ids"], postgresql_using="gin")
    op.create_table(
        "erased_figures",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("property_id", sa.Text(), nullable=False),
        sa.Column("channel_type", sa.Text(), nullable=False),
        _moment("created_at"),
        _moment("resolved_at", nullable=True),
        sa.Column("resolution", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("handed", sa.Boolean(), nullable=False),
        sa.Column("breached", sa.Boolean(), nullable=False),
    )
    op.create_index("ix_erased_figures_property_id", "erased_figures", ["property_id"])
    op.create_table(
        "kept_opt_outs",
        sa.Column("contact_key", sa.Text(), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.execute(FIGURES)
    op.create_index(
        "messages_by_file",
        "messages",
        ["attachments"],
        postgresql_using="gin",
        postgresql_ops={"attachments": "jsonb_path_ops"},
        postgresql_where=sa.text("attachments <> '[]'"),
    )
    op.create_index(
        "log_of_hand_overs",
        "log",
        ["conversation_id"],
        postgresql_where=sa.text("type = 'conversation_update' AND payload->>'change' IN ('escalated', 'claimed')"),
    )
    op.create_index("conversations_by_begin", "conversations", ["property_id", "created_at"])
    op.create_index("notifications_by_conversation", "notifications", ["conversation_id"])


def downgrade() -> None:
    op.drop_index("log_of_hand_overs", "log")
    op.drop_index("messages_by_file", "messages")
    op.execute("DROP VIEW conversation_figures")
    op.drop_index("notifications_by_conversation", "notifications")
    op.drop_index("conversations_by_begin", "conversations")
    for table in ("kept_opt_outs", "erased_figures", "erasures", "guest_merges"):
        op.drop_table(table)
