"""Splits words at all separators, and scripts without spaces between words into single characters.

Only the function changes, so no table is locked or written. Stored messages are reworked afterwards in the background
(activities/storage/rewording.py); the table `rewording` has how far that is. Processes of the previous release find the
new words, too, except for queries that contain a separator.

Revision ID: 0016
Revises: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_WORDS = r"""
CREATE OR REPLACE FUNCTION gateway_words(said text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT to_tsvector('pg_catalog.simple', {words})
$$
"""
_BEFORE = r"regexp_replace(normalize(left(said, 100000), NFKD), '[\u0300-\u036f]', '', 'g')"
_UNSEEN = r"[\u0300-\u036f\u00ad\u200b-\u200d\u2060\ufe00-\ufe0f]"
_BETWEEN = (
    r"[!-/:-@[-`{-~\u00a1-\u00bf\u00d7\u00f7\u2000-\u2bff\u3001-\u3004\u3008-\u3020\u3030\u30fb\U0001f000-\U0001faff]+"
)
_UNDIVIDED = (
    r"([\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u30ff\u3105-\u312f\u31f0-\u31ff\u3400-\u4dbf"
    r"\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af][\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u3099\u309a]*"
    r"|[\u1100-\u1112][\u1161-\u1175][\u11a8-\u11c2]?)"
)
_NOW = f"""
    regexp_replace(regexp_replace(regexp_replace(normalize(left(said, 100000), NFKD),
        '{_UNSEEN}', '', 'g'),
        '{_BETWEEN}', ' ', 'g'),
        '{_UNDIVIDED}', ' \\1 ', 'g')
"""


def upgrade() -> None:
    _define(_NOW)
    op.create_table(
        "rewording",
        sa.Column("conversation_id", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
    )
    op.execute("INSERT INTO rewording SELECT '', '' WHERE EXISTS (SELECT FROM messages)")


def downgrade() -> None:
    op.drop_table("rewording")
    _define(_BEFORE)


def _define(words: str) -> None:
    op.get_bind().exec_driver_sql(_WORDS.replace("{words}", words))
    # Changes nothing, but makes open sessions forget the cached index with the old function and load it again.
    op.execute("ALTER INDEX conversations_by_name ALTER COLUMN 1 SET STATISTICS -1")
