"""What a socket gets from storage before live updates begin."""

from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from api.live.cursors import encode
from api.live.rendering import Rendered, Rendition, render
from api.live.tail import PAGE, Subscription, Tail
from contracts.events import LogEntry
from contracts.frames import ServerFrame, ServerPayload
from contracts.problems import StorageAway

HISTORY = 100
"""How many messages a guest's page gets when it reloads a conversation."""


class Replay(Protocol):
    """Frames from storage. After StorageAway, calling `pages` again continues where it stopped."""

    def pages(self) -> AsyncIterator[list[Rendered]]: ...


@dataclass
class Missed:
    """What happened between `after` and the start of a subscription, or a `resync` frame if that is no longer known.

    Entries that the listener gets through its `others` subscriptions are left out.
    """

    tail: Tail
    subscription: Subscription
    after: int | None
    others: Callable[[], Collection[Subscription]] = tuple

    async def pages(self) -> AsyncIterator[list[Rendered]]:
        start = _start(self.tail, self.subscription)
        if self.after is None or not await self._is_kept(self.after, start):
            yield [_resync(self.tail.property_id, start)]
            return
        since = self.subscription.since
        self.subscription.since = self.after if since is None else min(since, self.after)
        while self.after < start:
            entries = await self.tail.log.read(
                self.tail.property_id,
                after=self.after,
                up_to=start,
                limit=PAGE,
                contact_key=self.subscription.contact_key,
                conversation_id=self.subscription.conversation_id,
            )
            others = self.others()
            yield _frames(
                self.tail,
                self.subscription,
                [each for each in entries if not any(other.gets(each) for other in others)],
            )
            last = entries[-1].position if len(entries) == PAGE else None
            self.after = start if last is None else last

    async def _is_kept(self, after: int, start: int) -> bool:
        return after == start or (after < start and after + 1 >= await self.tail.log.oldest(self.tail.property_id))


@dataclass
class History:
    """The newest messages and the state of the conversation that a guest is in or was in last."""

    tail: Tail
    subscription: Subscription
    contact_key: str

    async def pages(self) -> AsyncIterator[list[Rendered]]:
        start = _start(self.tail, self.subscription)
        log = self.tail.log
        conversation = await log.newest_conversation(self.contact_key)
        if conversation is not None:
            entries = await log.history(self.tail.property_id, conversation.conversation_id, up_to=start, limit=HISTORY)
            payload = ServerPayload(conversation_id=conversation.conversation_id, conversation=conversation.for_guest())
            state = ServerFrame(type="conversation_update", payload=payload, seq=conversation.seq)
            yield [*_frames(self.tail, self.subscription, entries), render(state)]


def _start(tail: Tail, subscription: Subscription) -> int:
    """The position after which a subscription gets live updates. Raises StorageAway until it is known."""
    start = tail.origin if subscription.start is None else subscription.start
    if start is None:
        raise StorageAway("PostgreSQL does not answer; try again shortly")
    return start


def _frames(tail: Tail, subscription: Subscription, entries: list[LogEntry]) -> list[Rendered]:
    undelivered = (entry for entry in entries if subscription.wants(entry) and not tail.heard(subscription, entry))
    frames = (Rendition(entry, tail.links).frame(subscription.audience) for entry in undelivered)
    return [frame for frame in frames if frame is not None]


def _resync(property_id: str, position: int) -> Rendered:
    payload = ServerPayload(property_id=property_id)
    return render(ServerFrame(type="resync", payload=payload, cursor=encode(property_id, position)))
