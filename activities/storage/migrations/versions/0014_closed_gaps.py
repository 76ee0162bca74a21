"""Lets a question be part of several articles, deleted ones included, so that erasing its guest finds it in all."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint("knowledge_closed_gaps_pkey", "knowledge_closed_gaps")
    op.create_primary_key(
        "knowledge_closed_gaps_pkey", "knowledge_closed_gaps", ["conversation_id", "message_id", "article_id"]
    )


def downgrade() -> None:
    op.execute(
        "DELETE FROM knowledge_closed_gaps AS one USING knowledge_closed_gaps AS other WHERE one.ctid > other.ctid"
        " AND one.conversation_id = other.conversation_id AND one.message_id = other.message_id"
    )
    op.drop_constraint("knowledge_closed_gaps_pkey", "knowledge_closed_gaps")
    op.create_primary_key("knowledge_closed_gaps_pkey", "knowledge_closed_gaps", ["conversation_id", "message_id"])
