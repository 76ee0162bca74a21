"""The AI's knowledge: articles, their versions, what they answered, and questions that no article answered."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Final, Literal

from fastapi import Body, Depends, Query, Response, status
from pydantic import Field, StringConstraints

import contracts.base
from activities.storage.knowledge_gaps import grouped
from activities.storage.knowledge_import import articles_of_csv, articles_of_markdown, slug
from api.auth.permissions import require_property
from api.auth.sessions import Session
from api.changes import check_version
from api.deps import GatewayState, IfMatch, ReadsKnowledge, WritesKnowledge, find_conversation
from api.lists import Page, PageQuery, cursor_of
from api.openapi import VERSION, WITH_BODY, problems
from api.queries import QueryOf
from api.routers import rest_router
from contracts.base import Model, NotBlank
from contracts.knowledge import (
    PHRASING_LENGTH,
    PHRASINGS,
    ArticleContent,
    ArticleId,
    ArticleUse,
    Gap,
    GapQuestion,
    NamedArticle,
    StoredArticle,
)
from contracts.problems import Invalid, NotFound, StaleVersion

router = rest_router("/knowledge/{property_id}", "knowledge")
ONE: Final = problems(NotFound)
IMPORT_LENGTH = 1_000_000

Reference = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Limit = Annotated[int, Query(ge=1, le=200)]


class IdPosition(Model):
    """Where a page ends in a list ordered by id."""

    id: ArticleId


class ArticlePage(Page[StoredArticle]):
    pass


class ArticleBody(ArticleContent, contracts.base.Body):
    pass


class Import(contracts.base.Body):
    format: Literal["markdown", "csv"]
    content: Annotated[str, StringConstraints(min_length=1, max_length=IMPORT_LENGTH)]


class Asked(contracts.base.Body):
    """A guest's message that no article answered."""

    conversation_id: Reference
    message_id: Reference


class GapArticle(ArticleContent, contracts.base.Body):
    """An article for unanswered questions, whose words become phrasings of the article."""

    id: ArticleId | None = Field(default=None, description="Made from the title if it is left out.")
    answers: Annotated[list[Asked], Field(min_length=1, max_length=200)]


class SavedReply(contracts.base.Body):
    """A person's reply to a guest, which the AI is to give from now on."""

    conversation_id: Reference
    message_id: Annotated[Reference, Field(description="The id of the reply.")]
    title: Annotated[NotBlank, StringConstraints(max_length=200)]
    id: ArticleId | None = Field(default=None, description="Made from the title if it is left out.")


@router.get("/articles", summary="List articles")
async def list_articles(
    session: ReadsKnowledge,
    state: GatewayState,
    property_id: str,
    query: Annotated[PageQuery, Depends(QueryOf(PageQuery))],
) -> ArticlePage:
    """The property's own articles, by id. The demo hotel's shipped articles, which they override, are not listed."""
    require_property(session.staff, property_id)
    after = query.position(IdPosition)
    found = await state.knowledge.page(property_id, limit=query.limit, after=after.id if after else None)
    items = found[: query.limit]
    end = IdPosition(id=items[-1].id) if len(found) > query.limit else None
    return ArticlePage(items=items, next_cursor=cursor_of(end))


@router.get("/articles/{article_id}", summary="Get an article", responses=ONE | {200: {"headers": VERSION}})
async def get_article(
    session: ReadsKnowledge, state: GatewayState, property_id: str, article_id: ArticleId, response: Response
) -> StoredArticle:
    require_property(session.staff, property_id)
    found = await state.knowledge.get(property_id, article_id)
    if found is None:
        raise _no_such(article_id)
    response.headers["ETag"] = _etag(found)
    return found


@router.put(
    "/articles/{article_id}",
    summary="Create or change an article",
    responses=WITH_BODY | problems(StaleVersion) | {200: {"headers": VERSION}},
)
async def put_article(
    session: WritesKnowledge,
    state: GatewayState,
    property_id: str,
    article_id: ArticleId,
    body: Annotated[
        ArticleBody,
        Body(
            openapi_examples={
                "parking": {
                    "value": {
                        "title": "Parking",
                        "questions": ["How much is parking?", "Do you have a garage?"],
                        "text": "Our garage in Quay Street is 18 EUR a night.",
                    }
                }
            }
        ),
    ],
    response: Response,
    if_match: IfMatch = None,
) -> StoredArticle:
    """Creates the article or a new version of it. Engines use it within seconds."""
    require_property(session.staff, property_id)
    (stored,) = await state.knowledge.put(
        property_id, [_named(body, article_id)], by=session.staff.id, allow=_unless_stale(if_match)
    )
    response.headers["ETag"] = _etag(stored)
    return stored


@router.delete(
    "/articles/{article_id}", summary="Delete an article", status_code=204, responses=ONE | problems(StaleVersion)
)
async def delete_article(
    session: WritesKnowledge,
    state: GatewayState,
    property_id: str,
    article_id: ArticleId,
    if_match: IfMatch = None,
) -> None:
    """Deletes the article: the AI no longer answers from it. Its versions stay."""
    require_property(session.staff, property_id)
    found = await state.knowledge.get(property_id, article_id)
    if found is None:
        raise _no_such(article_id)
    await state.knowledge.delete(property_id, found, by=session.staff.id, allow=_unless_stale(if_match))


@router.get("/articles/{article_id}/versions", summary="List an article's versions", responses=ONE)
async def list_versions(
    session: ReadsKnowledge, state: GatewayState, property_id: str, article_id: ArticleId
) -> list[StoredArticle]:
    """Every version of the article, newest first, even after it was deleted."""
    require_property(session.staff, property_id)
    found = await state.knowledge.versions(property_id, article_id)
    if not found:
        raise _no_such(article_id)
    return found


@router.get("/articles/{article_id}/uses", summary="List replies that used an article")
async def list_uses(
    session: ReadsKnowledge, state: GatewayState, property_id: str, article_id: ArticleId, limit: Limit = 50
) -> list[ArticleUse]:
    """Replies of the AI that cited the article, newest first. Works for shipped articles as well."""
    require_property(session.staff, property_id)
    return await state.knowledge.uses(property_id, article_id, limit=limit)


@router.post("/import", summary="Import articles", responses=WITH_BODY)
async def import_articles(
    session: WritesKnowledge,
    state: GatewayState,
    property_id: str,
    body: Annotated[
        Import,
        Body(
            openapi_examples={
                "markdown": {"value": {"format": "markdown", "content": "# Parking\nOur garage is 18 EUR a night.\n"}},
                "csv": {"value": {"format": "csv", "content": "title,text\nParking,Our garage is 18 EUR a night.\n"}},
            }
        ),
    ],
) -> list[StoredArticle]:
    """Imports up to 1,000 articles, all or none. An article whose id exists already gets a new version."""
    require_property(session.staff, property_id)
    read = articles_of_csv if body.format == "csv" else articles_of_markdown
    articles = await asyncio.to_thread(read, body.content)  # odd front matter takes seconds
    return await state.knowledge.put(property_id, articles, by=session.staff.id)


@router.get("/gaps", summary="List questions that no article answered")
async def list_gaps(session: ReadsKnowledge, state: GatewayState, property_id: str) -> list[Gap]:
    """Questions that no article answered, grouped by similarity, the most frequent first."""
    require_property(session.staff, property_id)
    return grouped(await state.knowledge.unanswered(property_id))


@router.post("/gaps", summary="Create an article for a gap", status_code=status.HTTP_201_CREATED, responses=WITH_BODY)
async def close_gap(
    session: WritesKnowledge,
    state: GatewayState,
    property_id: str,
    body: Annotated[
        GapArticle,
        Body(
            openapi_examples={
                "kayaks": {
                    "value": {
                        "title": "Kayaks",
                        "text": "Kayaks are at the jetty from 9 to 17.",
                        "answers": [{"conversationId": "mzxw6ytboi4dkmrtgaydambqgq-3f0c9a1e", "messageId": "m-1"}],
                    }
                }
            }
        ),
    ],
) -> StoredArticle:
    """Creates an article that answers these questions from now on, which closes the gap."""
    require_property(session.staff, property_id)
    wanted = {(each.conversation_id, each.message_id) for each in body.answers}
    open_ones = await state.knowledge.unanswered(property_id)
    questions = [each for each in open_ones if (each.conversation_id, each.message_id) in wanted]
    if len(questions) < len(wanted):
        raise Invalid("answers: must be questions from the property's gaps, as listed by GET gaps", field="answers")
    article = _with_questions(_named(body, _id_for(body.id, body.title)), questions)
    (stored,) = await state.knowledge.put(
        property_id, [article], by=session.staff.id, allow=_only_new, closes=questions
    )
    return stored


@router.post(
    "/replies", summary="Save a reply as an article", status_code=status.HTTP_201_CREATED, responses=ONE | WITH_BODY
)
async def save_reply(
    session: WritesKnowledge,
    state: GatewayState,
    property_id: str,
    body: Annotated[
        SavedReply,
        Body(
            openapi_examples={
                "reply": {
                    "value": {
                        "conversationId": "mzxw6ytboi4dkmrtgaydambqgq-3f0c9a1e",
                        "messageId": "m-2",
                        "title": "Kayaks",
                    }
                }
            }
        ),
    ],
) -> StoredArticle:
    """Saves a person's reply as an article. The guest's questions become its phrasings."""
    require_property(session.staff, property_id)
    await _check_conversation(state, session, property_id, body.conversation_id)
    reply = await state.knowledge.reply(body.conversation_id, body.message_id)
    if reply is None:
        raise NotFound("There is no such staff reply in this conversation")
    questions = await state.knowledge.questions_answered_by(body.conversation_id, body.message_id)
    content = ArticleContent(title=body.title, text=reply)
    article = _with_questions(_named(content, _id_for(body.id, body.title)), questions)
    (stored,) = await state.knowledge.put(
        property_id, [article], by=session.staff.id, allow=_only_new, closes=questions
    )
    return stored


async def _check_conversation(state: GatewayState, session: Session, property_id: str, conversation_id: str) -> None:
    found = await find_conversation(state, session, conversation_id)
    if found.conversation.property_id != property_id:
        raise NotFound("There is no such conversation at this property")


def _named(content: ArticleContent, article_id: str) -> NamedArticle:
    return NamedArticle(id=article_id, **{key: getattr(content, key) for key in ArticleContent.model_fields})


def _with_questions(article: NamedArticle, asked: list[GapQuestion]) -> NamedArticle:
    """The article with the questions added, without repeats and within its limit."""
    texts = [*article.questions, *(" ".join(each.text.split())[:PHRASING_LENGTH] for each in asked)]
    questions = [text for text in dict.fromkeys(texts) if text]
    return article.model_copy(update={"questions": questions[:PHRASINGS]})


def _id_for(given: str | None, title: str) -> str:
    made = given or slug(title)
    if not made:
        raise Invalid("id: cannot be made from this title; give one with lower-case letters, digits and _", field="id")
    return made


def _unless_stale(if_match: str | None) -> Callable[[StoredArticle | None], None]:
    def allow(stored: StoredArticle | None) -> None:
        check_version(if_match, _etag(stored) if stored else '"0"')

    return allow


def _only_new(stored: StoredArticle | None) -> None:
    if stored is not None:
        raise Invalid(f"id: an article {stored.id!r} already exists; change that one, or give another id", field="id")


def _etag(article: StoredArticle) -> str:
    return f'"{article.version}"'


def _no_such(article_id: str) -> NotFound:
    return NotFound(f"There is no article {article_id!a}")
