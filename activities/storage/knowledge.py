"""Stored articles with their versions, what they answered, and questions that no article answered."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, and_, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from activities.storage.database import Database
from activities.storage.tables import (
    ConversationRow,
    KnowledgeClosedGapRow,
    KnowledgeHeadRow,
    KnowledgeRow,
    KnowledgeVersionRow,
    MessageRow,
    OutcomeRow,
)
from contracts.knowledge import ArticleContent, ArticleUse, GapQuestion, NamedArticle, StoredArticle

UNSURE = "The AI is unsure%"
"""How an outcome's reason begins if the AI was unsure (workflows/policy.py)."""
RECENT_GAPS = 1_000


class Knowledge:
    """Every method raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def heads(self) -> dict[str, int]:
        """A counter of changes to each property's knowledge."""
        async with self._database.begin() as connection:
            rows = await connection.execute(select(col(KnowledgeHeadRow.property_id), col(KnowledgeHeadRow.version)))
            return {row.property_id: row.version for row in rows}

    async def all(self, property_id: str) -> list[StoredArticle]:
        """Every stored article, including deleted ones."""
        statement = select(KnowledgeRow).where(col(KnowledgeRow.property_id) == property_id)
        async with self._database.begin() as connection:
            return [_article(row) for row in await connection.execute(statement.order_by(col(KnowledgeRow.id)))]

    async def page(self, property_id: str, *, limit: int, after: str | None) -> list[StoredArticle]:
        """Articles by id, beginning after `after`: up to `limit` and one more, if there is one."""
        statement = select(KnowledgeRow).where(
            col(KnowledgeRow.property_id) == property_id,
            ~col(KnowledgeRow.deleted),
            col(KnowledgeRow.id) > (after or ""),
        )
        async with self._database.begin() as connection:
            rows = await connection.execute(statement.order_by(col(KnowledgeRow.id)).limit(limit + 1))
            return [_article(row) for row in rows]

    async def get(self, property_id: str, article_id: str) -> StoredArticle | None:
        """An article that is not deleted."""
        async with self._database.begin() as connection:
            found = await _current(connection, property_id, article_id)
        return found if found and not found.deleted else None

    async def versions(self, property_id: str, article_id: str) -> list[StoredArticle]:
        """Every version of an article, newest first."""
        statement = (
            select(KnowledgeVersionRow)
            .where(
                col(KnowledgeVersionRow.property_id) == property_id, col(KnowledgeVersionRow.article_id) == article_id
            )
            .order_by(col(KnowledgeVersionRow.version).desc())
        )
        async with self._database.begin() as connection:
            return [StoredArticle.model_validate(row.article) for row in await connection.execute(statement)]

    async def put(
        self,
        property_id: str,
        articles: Sequence[NamedArticle],
        *,
        by: str,
        allow: Callable[[StoredArticle | None], None] = lambda stored: None,
        closes: Sequence[GapQuestion] = (),
    ) -> list[StoredArticle]:
        """Writes articles, all or none. Those that differ from the stored ones become new versions.

        `closes` are questions that the articles answer from now on. `allow` gets each current article, None for a new
        one, and raises to forbid the change.
        """
        async with self._database.begin() as connection:
            await _new_head(connection, property_id)
            stored = []
            for article in articles:
                current = await _current(connection, property_id, article.id)
                allow(current if current and not current.deleted else None)
                if current is not None and _is(current, article):
                    stored.append(current)  # unchanged, so no new version
                    continue
                stored.append(await _write(connection, property_id, article, current, by=by, deleted=False))
            for question in closes:
                closed = insert(KnowledgeClosedGapRow).values(
                    conversation_id=question.conversation_id,
                    message_id=question.message_id,
                    article_id=articles[0].id,
                )
                await connection.execute(closed.on_conflict_do_nothing())
        return stored

    async def delete(
        self, property_id: str, article: NamedArticle, *, by: str, allow: Callable[[StoredArticle | None], None]
    ) -> StoredArticle:
        """Hides an article. Its versions stay, and so does the record of the guests' questions in them."""
        async with self._database.begin() as connection:
            await _new_head(connection, property_id)
            current = await _current(connection, property_id, article.id)
            allow(current if current and not current.deleted else None)
            return await _write(connection, property_id, current or article, current, by=by, deleted=True)

    async def uses(self, property_id: str, article_id: str, *, limit: int) -> list[ArticleUse]:
        """Replies of the AI that cited the article, newest first."""
        reply, asked = MessageRow.__table__.alias("reply"), MessageRow.__table__.alias("asked")  # type: ignore[attr-defined]
        statement = (
            select(
                reply.c.conversation_id,
                reply.c.id,
                reply.c.content,
                reply.c.created_at,
                func.string_agg(asked.c.content, "\n").label("question"),
            )
            .join(ConversationRow, col(ConversationRow.id) == reply.c.conversation_id)
            .outerjoin(
                OutcomeRow,
                and_(
                    col(OutcomeRow.conversation_id) == reply.c.conversation_id,
                    col(OutcomeRow.reply_id) == reply.c.id,
                ),
            )
            .outerjoin(
                asked,
                and_(asked.c.conversation_id == reply.c.conversation_id, asked.c.id == col(OutcomeRow.message_id)),
            )
            .where(col(ConversationRow.property_id) == property_id, reply.c.author == "ai")
            .where(reply.c.ai["sources"].contains([article_id]))
            .group_by(reply.c.conversation_id, reply.c.id, reply.c.content, reply.c.created_at)
            .order_by(reply.c.created_at.desc())
            .limit(limit)
        )
        async with self._database.begin() as connection:
            return [
                ArticleUse(
                    conversation_id=row.conversation_id,
                    reply_id=row.id,
                    question=row.question or "",
                    answer=row.content,
                    at=row.created_at,
                )
                for row in await connection.execute(statement)
            ]

    async def unanswered(self, property_id: str) -> list[GapQuestion]:
        """The newest guest messages about which the AI was unsure, without those answered by an article since."""
        closed = exists().where(
            col(KnowledgeClosedGapRow.conversation_id) == col(OutcomeRow.conversation_id),
            col(KnowledgeClosedGapRow.message_id) == col(OutcomeRow.message_id),
            col(KnowledgeRow.property_id) == property_id,
            col(KnowledgeRow.id) == col(KnowledgeClosedGapRow.article_id),
            ~col(KnowledgeRow.deleted),
        )
        statement = (
            select(
                col(MessageRow.conversation_id), col(MessageRow.id), col(MessageRow.content), col(MessageRow.created_at)
            )
            .join(
                OutcomeRow,
                and_(
                    col(OutcomeRow.conversation_id) == col(MessageRow.conversation_id),
                    col(OutcomeRow.message_id) == col(MessageRow.id),
                ),
            )
            .join(ConversationRow, col(ConversationRow.id) == col(MessageRow.conversation_id))
            .where(col(ConversationRow.property_id) == property_id, col(OutcomeRow.outcome) == "handed")
            .where(col(OutcomeRow.reason).like(UNSURE), ~closed)
            .order_by(col(MessageRow.created_at).desc())
            .limit(RECENT_GAPS)
        )
        async with self._database.begin() as connection:
            return [
                GapQuestion(conversation_id=row.conversation_id, message_id=row.id, text=row.content, at=row.created_at)
                for row in await connection.execute(statement)
            ]

    async def questions_answered_by(self, conversation_id: str, reply_id: str) -> list[GapQuestion]:
        """The guest's messages that a person's reply answers: those since the previous public message."""
        statement = text(
            "SELECT id, content, created_at FROM messages WHERE conversation_id = :conversation AND author = 'guest' "
            "AND seq < (SELECT seq FROM messages WHERE conversation_id = :conversation AND id = :reply) "
            "AND seq > coalesce((SELECT max(seq) FROM messages WHERE conversation_id = :conversation AND NOT private "
            "AND author IN ('staff', 'ai') AND seq < (SELECT seq FROM messages WHERE conversation_id = :conversation "
            "AND id = :reply)), 0) ORDER BY seq"
        )
        async with self._database.begin() as connection:
            rows = await connection.execute(statement, {"conversation": conversation_id, "reply": reply_id})
            return [
                GapQuestion(conversation_id=conversation_id, message_id=row.id, text=row.content, at=row.created_at)
                for row in rows
            ]

    async def reply(self, conversation_id: str, message_id: str) -> str | None:
        """What a member of staff wrote to the guest."""
        statement = select(col(MessageRow.content)).where(
            col(MessageRow.conversation_id) == conversation_id,
            col(MessageRow.id) == message_id,
            col(MessageRow.author) == "staff",
            ~col(MessageRow.private),
        )
        async with self._database.begin() as connection:
            content: str | None = (await connection.execute(statement)).scalar_one_or_none()
        return content


async def _current(connection: AsyncConnection, property_id: str, article_id: str) -> StoredArticle | None:
    statement = select(KnowledgeRow).where(
        col(KnowledgeRow.property_id) == property_id, col(KnowledgeRow.id) == article_id
    )
    row = (await connection.execute(statement)).one_or_none()
    return _article(row) if row is not None else None


async def _new_head(connection: AsyncConnection, property_id: str) -> None:
    """Increments the counter. Its row lock serialises writers of one property's knowledge."""
    first = insert(KnowledgeHeadRow).values(property_id=property_id, version=1)
    again = {"version": col(KnowledgeHeadRow.version) + 1}
    await connection.execute(first.on_conflict_do_update(index_elements=["property_id"], set_=again))


async def _write(
    connection: AsyncConnection,
    property_id: str,
    article: NamedArticle,
    current: StoredArticle | None,
    *,
    by: str,
    deleted: bool,
) -> StoredArticle:
    content = {key: getattr(article, key) for key in ArticleContent.model_fields}
    stored = StoredArticle(
        id=article.id,
        property_id=property_id,
        version=current.version + 1 if current else 1,
        deleted=deleted,
        updated_at=datetime.now(UTC),
        updated_by=by,
        **content,
    )
    values = stored.model_dump(by_alias=False)
    if current is None:
        await connection.execute(insert(KnowledgeRow).values(**values))
    else:
        mine = and_(col(KnowledgeRow.property_id) == property_id, col(KnowledgeRow.id) == article.id)
        await connection.execute(update(KnowledgeRow).where(mine).values(**values))
    kept = insert(KnowledgeVersionRow).values(
        property_id=property_id,
        article_id=article.id,
        version=stored.version,
        article=stored.model_dump(mode="json", by_alias=False),
    )
    await connection.execute(kept)
    return stored


def _article(row: Row[Any]) -> StoredArticle:
    return StoredArticle.model_validate(dict(row._mapping))


def _is(stored: StoredArticle, article: NamedArticle) -> bool:
    """Whether an article is stored unchanged."""
    return not stored.deleted and all(
        getattr(stored, each) == getattr(article, each) for each in NamedArticle.model_fields
    )
