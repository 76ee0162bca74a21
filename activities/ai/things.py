"""Recognises the things that guests name, so that `the pool is dirty` and `the spa is dirty` are the same act."""

from collections.abc import Iterator, Sequence

from activities.ai.knowledge import Article
from activities.ai.text import Stems, stems_of

SOMETHING, OBJECT = "THING", "OBJECT"
"""Placeholders for what a property has an article about, and for an object of any hotel."""


class Things:
    def __init__(self, articles: Sequence[Article], objects: dict[str, list[str]]) -> None:
        """What a property has an article about takes precedence over an object of the same name."""
        self._placeholders: dict[Stems, str] = {}
        for name in (name for names in objects.values() for name in names):
            stems = stems_of(name)
            self._placeholders[stems[1:] if stems[0] in ("a", "an") else stems] = OBJECT
        for article in articles:
            self._placeholders |= {stems_of(name): SOMETHING for name in (article.title, *article.names)}
        self._longest = max(map(len, self._placeholders))

    def found(self, stems: Stems) -> Iterator[tuple[int, int, str]]:
        """Yields start, end and placeholder of each name in the text. The longest match wins."""
        start = 0
        while start < len(stems):
            for end in range(min(len(stems), start + self._longest), start, -1):
                if placeholder := self._placeholders.get(stems[start:end]):
                    yield start, end, placeholder
                    start = end
                    break
            else:
                start += 1

    def replaced(self, stems: Stems) -> Stems:
        """The text with names replaced by their placeholders."""
        general: list[str] = []
        done = 0
        for start, end, placeholder in self.found(stems):
            general += (*stems[done:start], placeholder)
            done = end
        return (*general, *stems[done:])
