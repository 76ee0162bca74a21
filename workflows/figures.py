"""Counts kept while a conversation runs, for its resolution. Pure."""

from datetime import datetime

from contracts.base import Model, Timestamp
from contracts.conversations import Resolution
from contracts.messages import Author, Message


class Figures(Model):
    """Message counts and response times. Standard texts of the system do not count as responses."""

    first_guest_at: Timestamp | None = None
    first_response_at: Timestamp | None = None
    first_person_at: Timestamp | None = None
    messages: dict[Author, int] = {}
    last_words: int = 0
    """`seq` of the newest message of the guest or of staff."""

    def count(self, message: Message) -> None:
        """Counts a public message."""
        self.messages[message.author] = self.messages.get(message.author, 0) + 1
        if message.author in (Author.GUEST, Author.STAFF):
            self.last_words = message.seq
        if message.author is Author.GUEST:
            self.first_guest_at = self.first_guest_at or message.created_at
        elif message.author is not Author.SYSTEM and self.first_guest_at is not None:
            self.first_response_at = self.first_response_at or message.created_at
            if message.author is Author.STAFF:
                self.first_person_at = self.first_person_at or message.created_at

    def resolution(self, now: datetime, by: str | None, reason: str) -> Resolution:
        return Resolution(
            reason=reason,
            by=by,
            first_response_seconds=self._seconds_to(self.first_response_at),
            first_person_seconds=self._seconds_to(self.first_person_at),
            seconds_to_resolve=self._seconds_to(now),
            messages=dict(self.messages),
        )

    def _seconds_to(self, moment: datetime | None) -> float | None:
        """Seconds since the guest's first message."""
        if self.first_guest_at is None or moment is None:
            return None
        return (moment - self.first_guest_at).total_seconds()
