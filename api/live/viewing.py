"""Who is viewing conversations of one property, as far as this process knows."""

from collections import defaultdict
from collections.abc import Iterable

from contracts.events import Viewer


class Viewing:
    """Viewers by socket, since a person may have several sockets. Each person is reported once."""

    def __init__(self) -> None:
        self._sockets: dict[tuple[str, str], Viewer] = {}
        """Viewers by conversation and socket."""
        self._heard: dict[tuple[str, str], float] = {}

    def hear(self, viewer: Viewer, *, looking: bool, at: float) -> bool:
        """Records that somebody begins or stops viewing. Returns whether that changes anything."""
        key = (viewer.conversation_id, viewer.socket_id)
        if looking:
            self._heard[key] = at
            known, self._sockets[key] = self._sockets.get(key), viewer
            return known is None
        self._heard.pop(key, None)
        return self._sockets.pop(key, None) is not None

    def reconcile(self, viewers: Iterable[Viewer], *, asked_at: float) -> set[str]:
        """Takes over the complete list as of `asked_at`. Returns the conversations whose viewers changed.

        Viewers heard of after that moment stay.
        """
        there = {(viewer.conversation_id, viewer.socket_id): viewer for viewer in viewers}
        gone = [key for key in self._sockets if key not in there and self._heard.get(key, 0.0) < asked_at]
        new = [key for key in there if key not in self._sockets]
        for key in gone:
            del self._sockets[key]
            self._heard.pop(key, None)
        for key in new:
            self._sockets[key] = there[key]
        return {conversation_id for conversation_id, _ in (*gone, *new)}

    def of(self, conversation_id: str) -> dict[str, str]:
        """The names of a conversation's viewers, by their ids."""
        return self.everywhere().get(conversation_id, {})

    def everywhere(self) -> dict[str, dict[str, str]]:
        people: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for viewer in self._sockets.values():
            people[viewer.conversation_id][viewer.staff_id] = viewer.name
        return people
