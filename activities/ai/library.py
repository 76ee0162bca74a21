"""The knowledge of all properties, read once a process and read anew where it has changed."""

from functools import cache
from pathlib import Path

from activities.ai.hotel import Hotel
from activities.ai.knowledge import knowledge_folder, load_articles
from settings import Settings


class Library:
    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError for knowledge that cannot be read."""
        self._hotels = {each: _shipped(knowledge_folder(settings, each)) for each in settings.properties}

    def hotel(self, property_id: str) -> Hotel:
        """A property's knowledge; one that is not configured knows nothing of its own."""
        return self._hotels.get(property_id) or _shipped(None)


@cache
def _shipped(folder: Path | None) -> Hotel:
    return Hotel(load_articles(folder) if folder else [])
