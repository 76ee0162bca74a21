"""Creates the core tables: conversations, messages, the log, guests, staff, tasks and notifications."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("contact_key", sa.Text(), nullable=False),
        sa.Column("property_id", sa.Text(), nullable=False),
        sa.Column("guest_id", sa.Text(), nullable=False),
        sa.Column("channel_type", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("assigned_to", sa.Text(), nullable=True),
        sa.Column("needs_review", sa.Boolean(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column(
            "snapshot",
            postgresql.JSONB(none_as_null=True),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("last_message", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_activity_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("conversations_by_assignee", "conversations", ["assigned_to", "last_activity_at"], unique=False)
    op.create_index("conversations_by_time", "conversations", ["property_id", "last_activity_at", "id"], unique=False)
    op.create_index(op.f("ix_conversations_contact_key"), "conversations", ["contact_key"], unique=False)
    op.create_index(op.f("ix_conversations_guest_id"), "conversations", ["guest_id"], unique=False)
    op.create_table(
        "guests",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("property_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column(
            "stays",
            postgresql.JSONB(none_as_null=True),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
        sa.Column(
            "preferences",
            postgresql.JSONB(none_as_null=True),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("autonomy", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_guests_property_id"), "guests", ["property_id"], unique=False)
    op.create_table(
        "log",
        sa.Column("property_id", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("contact_key", sa.Text(), nullable=True),
        sa.Column("conversation_id", sa.Text(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("payload", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("repeats", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("property_id", "position"),
    )
    op.create_index("log_by_contact", "log", ["contact_key", "position"], unique=False)
    op.create_index(
        "log_by_seq", "log", ["conversation_id", "seq"], unique=True, postgresql_where=sa.text("NOT repeats")
    )
    op.create_table(
        "log_heads",
        sa.Column("property_id", sa.Text(), nullable=False),
        sa.Column("head", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("property_id"),
    )
    op.create_table(
        "messages",
        sa.Column("conversation_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("contact_key", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("author_name", sa.Text(), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column(
            "attachments",
            postgresql.JSONB(none_as_null=True),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
        sa.Column("private", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delivery_state", sa.Text(), nullable=False),
        sa.Column("delivery_reason", sa.Text(), nullable=True),
        sa.Column("ai", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("conversation_id", "id"),
    )
    op.create_index("messages_by_contact", "messages", ["contact_key", "id"], unique=False)
    op.create_index("messages_by_seq", "messages", ["conversation_id", "seq"], unique=True)
    op.create_index(
        "messages_by_words",
        "messages",
        [sa.literal_column("to_tsvector('simple', left(content, 100000))")],
        postgresql_using="gin",
    )
    op.create_table(
        "notifications",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("property_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_notifications_property_id"), "notifications", ["property_id"], unique=False)
    op.create_table(
        "outcomes",
        sa.Column("conversation_id", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reply_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "message_id"),
    )
    op.create_table(
        "revoked_sessions",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("session_id"),
    )
    op.create_table(
        "staff",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("properties", postgresql.ARRAY(sa.TEXT()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email"),
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("property_id", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=True),
        sa.Column("guest_id", sa.Text(), nullable=True),
        sa.Column("department", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("assigned_to", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("tasks_by_time", "tasks", ["property_id", "created_at", "id"], unique=False)
    op.create_table(
        "contacts",
        sa.Column("contact_key", sa.Text(), nullable=False),
        sa.Column("property_id", sa.Text(), nullable=False),
        sa.Column("channel_type", sa.Text(), nullable=False),
        sa.Column("sender_id", sa.Text(), nullable=False),
        sa.Column("guest_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["guest_id"],
            ["guests.id"],
        ),
        sa.PrimaryKeyConstraint("contact_key"),
    )
    op.create_index(op.f("ix_contacts_guest_id"), "contacts", ["guest_id"], unique=False)
    op.create_table(
        "notification_reads",
        sa.Column("notification_id", sa.Text(), nullable=False),
        sa.Column("staff_id", sa.Text(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["notification_id"],
            ["notifications.id"],
        ),
        sa.PrimaryKeyConstraint("notification_id", "staff_id"),
    )


def downgrade() -> None:
    op.drop_table("notification_reads")
    op.drop_index(op.f("ix_contacts_guest_id"), table_name="contacts")
    op.drop_table("contacts")
    op.drop_index("tasks_by_time", table_name="tasks")
    op.drop_table("tasks")
    op.drop_table("staff")
    op.drop_table("revoked_sessions")
    op.drop_table("outcomes")
    op.drop_index(op.f("ix_notifications_property_id"), table_name="notifications")
    op.drop_table("notifications")
    op.drop_index("messages_by_words", table_name="messages")
    op.drop_index("messages_by_contact", table_name="messages")
    op.drop_index("messages_by_seq", table_name="messages")
    op.drop_table("messages")
    op.drop_table("log_heads")
    op.drop_index("log_by_seq", table_name="log", postgresql_where=sa.text("NOT repeats"))
    op.drop_index("log_by_contact", table_name="log")
    op.drop_table("log")
    op.drop_index(op.f("ix_guests_property_id"), table_name="guests")
    op.drop_table("guests")
    op.drop_index(op.f("ix_conversations_guest_id"), table_name="conversations")
    op.drop_index(op.f("ix_conversations_contact_key"), table_name="conversations")
    op.drop_index("conversations_by_time", table_name="conversations")
    op.drop_index("conversations_by_assignee", table_name="conversations")
    op.drop_table("conversations")
