"""A property's knowledge: articles that engines answer from, and questions that no article answered."""

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
    """An article. `text` is the answer given to guests; the rest says how they ask for it.

    `names` are names of its subject, `words` are related words, `questions` are complete example questions. `excludes`
    lists what guests ask about the subject that the text does not answer: such a question goes to a person.
    """

    title: Annotated[NotBlank, StringConstraints(max_length=200)]
    names: Phrasings = []
    words: Phrasings = []
    questions: Phrasings = []
    excludes: Phrasings = []
    text: Annotated[NotBlank, StringConstraints(max_length=ARTICLE_TEXT_LENGTH)]


class NamedArticle(ArticleContent):
    id: ArticleId


class StoredArticle(NamedArticle):
    """An article in its current or an earlier `version`. A deleted one also hides the shipped article of that id."""

    property_id: str
    version: int
    deleted: bool = False
    updated_at: Timestamp
    updated_by: str


class ArticleUse(Model):
    """A guest's message, and the AI's reply that cited the article."""

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
    """Similar questions that no article answered, newest first."""

    count: int
    questions: list[GapQuestion]
