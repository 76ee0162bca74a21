"""A property's articles and the understanding learned from them, with which every engine reads and retrieves."""

from collections.abc import Iterator, Sequence

from activities.ai.acts import load_acts, load_objects
from activities.ai.calibration import load_calibration
from activities.ai.knowledge import Article
from activities.ai.reader import OTHER_TOPIC, Reader
from activities.ai.segments import sentences
from activities.ai.text import own_words, without_courtesies
from activities.ai.understanding import Part, Understanding

CLEAR = 0.3
"""The score from which a text counts as being about an article."""
RETRIEVED = 5


class Hotel:
    def __init__(self, articles: Sequence[Article]) -> None:
        """Learns the articles, which takes a second or two."""
        acts = load_acts()
        self._reader = Reader(articles, list(acts.values()), load_objects())
        self._understanding = Understanding(self._reader, acts, load_calibration())
        self.articles = {article.id: article for article in articles}

    def parts(self, messages: Sequence[str]) -> list[Part]:
        """What the guest says in a turn's messages, the most urgent part first."""
        return self._understanding.parts([without_courtesies(own_words(each)) for each in messages])

    def things_in(self, text: str) -> list[str]:
        """The things of a hotel that a text names, in our own spelling."""
        return self._reader.things_in(text)

    def retrieve(self, messages: Sequence[str], *, characters: int) -> list[Article]:
        """The articles that a turn may be about, best first, as many as fit into `characters`.

        If an article is clearly meant, only the best few are returned. Otherwise, as in a language that the reader does
        not know, all of them are.
        """
        scores: dict[str, float] = {}
        said = [own_words(each) for each in messages]
        for text in (*said, *(part for message in said for part in sentences(message))):
            for article, score in self._reader.read(text).articles.items():
                scores[article] = max(score, scores.get(article, score))
        scores.pop(OTHER_TOPIC, None)
        ranked = sorted(self.articles, key=lambda each: -scores.get(each, 0.0))
        clear = bool(ranked) and scores.get(ranked[0], 0.0) >= CLEAR
        return list(self._fitting(ranked[:RETRIEVED] if clear else ranked, characters))

    def _fitting(self, ranked: Sequence[str], characters: int) -> Iterator[Article]:
        for article_id in ranked:
            article = self.articles[article_id]
            characters -= len(article.title) + len(article.text)
            if characters < 0:
                return
            yield article
