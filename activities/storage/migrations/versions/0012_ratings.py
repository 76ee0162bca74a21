"""Adds guests' ratings to the figures that reports use.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# As in 0008, with `rating` added at the end, the only place where a view can get new columns.
_FIGURES = """
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
       ) AS breached{rating}
FROM conversations
"""
_RATING = ",\n       (snapshot->>'rating')::smallint AS rating"


def upgrade() -> None:
    op.execute(f"CREATE OR REPLACE VIEW conversation_figures AS {_FIGURES.format(rating=_RATING)}")
    op.add_column("erased_figures", sa.Column("rating", sa.SmallInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("erased_figures", "rating")
    op.execute("DROP VIEW conversation_figures")
    op.execute(f"CREATE VIEW conversation_figures AS {_FIGURES.format(rating='')}")
