"""How often one socket's typing is passed on."""

import time
from typing import Final

SECONDS: Final = 0.5


class TypingPace:
    """Lets "is typing" pass now and then, and "has stopped" once after it."""

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
