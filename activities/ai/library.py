"""The knowledge of all properties, loaded once per process and reloaded when it changes."""

import asyncio
import functools
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from activities.ai.hotel import Hotel
from activities.ai.knowledge import Article, knowledge_folder, load_articles
from activities.ai.learned import learned
from activities.polling import poll_until
from contracts.knowledge import StoredArticle
from contracts.problems import StorageAway
from contracts.unexpected import describe
from settings import Settings

logger = logging.getLogger(__name__)

LOOK_SECONDS = 3
"""How often storage is polled for changes."""


class Stored(Protocol):
    """The articles that staff wrote, as provided by activities/storage/knowledge.py."""

    async def heads(self) -> dict[str, int]: ...

    async def all(self, property_id: str) -> list[StoredArticle]: ...


class Library:
    def __init__(self, settings: Settings) -> None:
        """Loads the shipped articles. Raises SettingsError for knowledge that cannot be read."""
        self._folders = {each: knowledge_folder(settings, each) for each in settings.properties}
        self._kept = settings.data_dir / "learned"
        self._hotels = {each: _shipped(folder, self._kept) for each, folder in self._folders.items()}
        self._heads: dict[str, int] = {}

    def hotel(self, property_id: str) -> Hotel:
        """A property's knowledge. One that is not configured has no articles."""
        return self._hotels.get(property_id) or _shipped(None, self._kept)

    async def follow(self, stored: Stored) -> None:
        """Polls for what staff write, forever. While storage is away, the last known articles stay in use."""
        look = functools.partial(self.refresh, stored)
        await poll_until(asyncio.Event(), look, seconds=LOOK_SECONDS, what="reading changed knowledge")

    async def refresh(self, stored: Stored) -> None:
        """Reloads the properties that have changed. Stored articles take precedence over shipped ones of the same id.

        If a property's articles cannot be learned, it stays as it was until they change again. Others are unaffected.
        """
        try:
            for property_id, head in (await stored.heads()).items():
                if property_id in self._hotels and self._heads.get(property_id) != head:
                    await self._learn(stored, property_id)
                    self._heads[property_id] = head
        except StorageAway:
            return

    async def _learn(self, stored: Stored, property_id: str) -> None:
        try:
            articles = _together(_shipped_articles(self._folders[property_id]), await stored.all(property_id))
            # In a thread, because learning takes a second and would delay other answers.
            self._hotels[property_id] = await asyncio.to_thread(Hotel, articles)
        except StorageAway:
            raise
        except Exception as error:
            logger.error(  # noqa: TRY400 - may quote it
                "the changed knowledge of %s cannot be read, the old stays in use: %s",
                property_id,
                describe(error),
            )


def _together(shipped: Iterable[Article], stored: Sequence[StoredArticle]) -> list[Article]:
    articles = {article.id: article for article in shipped}
    for each in stored:
        articles.pop(each.id, None)
        if not each.deleted:
            articles[each.id] = Article(
                id=each.id,
                title=each.title,
                names=each.names,
                words=each.words,
                questions=each.questions,
                excludes=each.excludes,
                text=each.text,
            )
    return [articles[article_id] for article_id in sorted(articles)]


@functools.cache
def _shipped(folder: Path | None, kept: Path) -> Hotel:
    return learned(_shipped_articles(folder), kept)


def _shipped_articles(folder: Path | None) -> list[Article]:
    return load_articles(folder) if folder else []
