"""A property's knowledge: articles that engines answer from, and the questions that none answered."""

from typing import Annotated

from pydantic import Field, StringConstraints

from contracts.base import Model, NotBlank, Timestamp

ARTICLE_TEXT_LENGTH = 4_000
PHRASING_LENGTH = 300
PHRASINGS = 200

ArticleId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,64}$")]
Phrasings = Annotated[
    list[Annotated[NotBlank, StringConstraints(max_length=PHRASING_LENGTH)]],
    Field(max_length=PHRASINGS),
]


class ArticleContent(Model):
    """`text` is what a guest is told; the rest says how guests ask for it.

    `names` are what the thing is called, `words` belong to it, `questions` are whole phrasings.
    """

    title: Annotated[NotBlank, StringConstraints(max_length=200)]
    names: Phrasings = []
    words: Phrasings = []
    questions: Phrasings = []
    text: Annotated[NotBlank, StringConstraints(max_length=ARTICLE_TEXT_LENGTH)]


class NamedArticle(ArticleContent):
    id: ArticleId


class StoredArticle(NamedArticle):
    """An article as it stands, or as it stood at `version`. A deleted one hides the shipped one of its id, too."""

    property_id: str
    version: int
    deleted: bool = False
    updated_at: Timestamp
    updated_by: str


class ArticleUse(Model):
    """A guest's message, and the AI's reply to it that named the article."""

    conversation_id: str
    reply_id: str
    question: str
    answer: str
    at: Timestamp


class GapQuestion(Model):
    conversation_id: str
    message_id: str
    text: str
    at: Timestamp


class Gap(Model):
    """Questions that mean about the same, and that no article answered; the newest first."""

    count: int
    questions: list[GapQuestion]
