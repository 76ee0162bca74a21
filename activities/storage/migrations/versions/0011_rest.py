"""Adds idempotency keys, and the indexes that keep lists and searches fast.

Revision ID: 0011
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0009"
branch_labels = None
depends_on = None

WORDS = r"""
CREATE FUNCTION gateway_words(said text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT to_tsvector('pg_catalog.simple',
                       regexp_replace(normalize(left(said, 100000), NFKD), '[\u0300-\u036f]', '', 'g'))
$$
"""
LISTS = {
    "conversations_by_state": ("property_id, state, last_activity_at, id", ""),
    "conversations_by_channel": ("property_id, channel_type, last_activity_at, id", ""),
    "conversations_by_assignee": ("property_id, assigned_to, last_activity_at, id", "WHERE assigned_to IS NOT NULL"),
    "conversations_for_review": ("property_id, last_activity_at, id", "WHERE needs_review"),
}


def upgrade() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Text(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("idempotency_keys_by_time", "idempotency_keys", ["expires_at"])
    op.execute(WORDS)
    op.drop_index("messages_by_words", "messages")
    op.execute("ALTER TABLE messages ADD COLUMN words tsvector GENERATED ALWAYS AS (gateway_words(content)) STORED")
    op.execute("CREATE INDEX messages_by_words ON messages USING gin (words)")
    op.execute("CREATE INDEX conversations_by_name ON conversations USING gin (gateway_words(snapshot->>'guestName'))")
    op.drop_index("conversations_by_assignee", "conversations")
    for name, (columns, where) in LISTS.items():
        op.execute(f"CREATE INDEX {name} ON conversations ({columns}) {where}")


def downgrade() -> None:
    for name in LISTS:
        op.drop_index(name, "conversations")
    op.create_index("conversations_by_assignee", "conversations", ["assigned_to", "last_activity_at"])
    op.drop_index("conversations_by_name", "conversations")
    op.drop_index("messages_by_words", "messages")
    op.drop_column("messages", "words")
    op.execute(
        "CREATE INDEX messages_by_words ON messages USING gin (to_tsvector('simple', left(messages.content, 100000)))"
    )
    op.execute("DROP FUNCTION gateway_words")
    op.drop_table("idempotency_keys")
