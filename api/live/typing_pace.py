"""Throttles the typing notices of one socket."""

import time
from typing import Final

SECONDS: Final = 0.5


class TypingPace:
    """Lets "is typing" through at intervals, and "has stopped" once afterwards."""

    def __init__(self) -> None:
        self._typing = False
        self._at = -SECONDS

    def passes(self, typing: bool) -> bool:
        now = time.monotonic()
        stops = self._typing and not typing
        if now - self._at < SECONDS and not stops:
            return False
        self._typing, self._at = typing, now
        return True
