"""Follows one property's log: delivers every entry once, in order, and as soon as it is known.

Redis brings entries at once; PostgreSQL is the authority. An entry that the stream brings out of order waits for those
before it. The log's head is read every two seconds, and sooner if an entry is missing.
"""

import asyncio
import time
from collections import OrderedDict, defaultdict
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, cast

from pydantic import ValidationError
from redis.asyncio import Redis

from activities.media.links import MediaLinks
from activities.storage.log import Log
from activities.storage.redis_client import REDIS_AWAY, heed_cancellation
from api.auth.permissions import manages
from api.live.presence import REFRESH, Presence
from api.live.rendering import AUDIENCES, Audience, Rendered, Rendition, render
from api.live.viewing import Viewing
from contracts.events import LogEntry, Typing, live_stream
from contracts.frames import ServerFrame, ServerPayload
from contracts.messages import ChannelType
from contracts.names import contact_key_of
from contracts.problems import StorageAway
from contracts.staff import Staff

StreamEntry = tuple[str, dict[str, str]]

POLL = 2.0
"""Seconds between reads of the log's head."""
GRACE = 0.02
"""Seconds that a missing entry has to arrive by the stream before it is read from the log."""
RETRY = 0.5
"""Seconds before PostgreSQL or Redis is tried again after a failure."""
BLOCK = 1000
"""Milliseconds that one read of the stream blocks."""
BATCH = 100
PAGE = 500
AHEAD = 1000
"""How many entries are held while earlier ones are missing."""
AT_ONCE = 1000
"""About how many frames are written before other tasks get their turn."""
TYPING = 6.0
"""Seconds after which somebody counts as having stopped typing, unless it is announced again."""
REMEMBERED = 5000
"""How many entries are remembered that were delivered before they were stored."""


class Listener(Protocol):
    """The socket behind a subscription. None of its methods wait."""

    def deliver(self, rendition: Rendition) -> None:
        """Receives an entry that matches the subscription."""

    def notice(self, frame: Rendered) -> None:
        """Receives a frame that is not part of the log."""

    def abandon(self) -> None:
        """Called when no more entries will come."""


@dataclass(eq=False, slots=True)
class Subscription:
    """What one socket wants to know of a property.

    `start` is the position after which it gets live entries; None until storage has answered. `since` is the position
    after which its listener gets everything it wants, from storage or live. `joined` is the tail's count of delivered
    entries when it subscribed.
    """

    audience: Audience
    listener: Listener
    contact_key: str | None = None
    conversation_id: str | None = None
    channel: ChannelType | None = None
    start: int | None = None
    since: int | None = None
    joined: int = 0
    staff: Staff | None = None
    """The listening member of staff, because some notifications are not for everyone."""

    def gets(self, entry: LogEntry) -> bool:
        """Whether the listener gets this stored entry through this subscription."""
        return (
            entry.position is not None and self.since is not None and entry.position > self.since and self.wants(entry)
        )

    def wants(self, entry: LogEntry) -> bool:
        if self.conversation_id is not None and entry.conversation_id != self.conversation_id:
            return False
        note = entry.notification
        if note is not None and self.staff is not None and not note.is_for(self.staff.id, manages=manages(self.staff)):
            return False
        return self.channel is None or entry.channel_type in (None, self.channel)


class Tail:
    """One property as this process follows it, with its subscriptions."""

    def __init__(self, property_id: str, log: Log, redis: Redis, links: MediaLinks, presence: Presence) -> None:
        self.property_id = property_id
        self.links = links
        self.log = log
        self.position: int | None = None
        """The last position delivered; None until storage has answered."""
        self.origin: int | None = None
        """The position after which this tail began."""
        self.live = True
        """Whether Redis answers. If so entries come at once, otherwise with the next read of the log."""
        self.ready = asyncio.Event()
        self.over = False
        self._redis = redis
        self._behind = asyncio.Event()
        self._ahead: dict[int, LogEntry] = {}
        self._count = 0
        self._written = 0
        self._early: OrderedDict[tuple[str | None, int], tuple[int, bool]] = OrderedDict()
        self._listeners: defaultdict[str | None, set[Subscription]] = defaultdict(set)
        self._presence = presence
        self._viewing = Viewing()
        self._typing: dict[tuple[str | None, str, str | None], asyncio.TimerHandle] = {}

    def join(self, subscription: Subscription) -> None:
        """Adds a subscription, which gets everything after the current position."""
        subscription.start = subscription.since = self.position
        subscription.joined = self._count
        self._listeners[subscription.contact_key].add(subscription)
        if self.over:
            subscription.listener.abandon()
        elif not self.live:
            subscription.listener.notice(self._pace())

    def leave(self, subscription: Subscription) -> None:
        listeners = self._listeners[subscription.contact_key]
        listeners.discard(subscription)
        if not listeners:  # otherwise a property would remember every guest who ever wrote
            del self._listeners[subscription.contact_key]

    def abandon(self) -> None:
        """Tells all subscriptions, and everybody waiting for `ready`, that this tail has ended."""
        self.ready.set()
        self.over = True
        for subscription in self._everybody():
            subscription.listener.abandon()

    def deliver_unstored(self, entry: LogEntry) -> None:
        """Delivers an entry that Redis could not carry, to listeners of this process only."""
        self._take(entry)

    def viewers(self, subscription: Subscription) -> list[Rendition]:
        """The current viewers of what the subscription is for, to send when it begins."""
        renditions = [self._viewers_of(conversation_id) for conversation_id in self._viewing.everywhere()]
        return [rendition for rendition in renditions if subscription.wants(rendition.entry)]

    def heard(self, subscription: Subscription, entry: LogEntry) -> bool:
        """Whether the subscription got an entry before it was stored."""
        return self._delivered_unstored(entry, subscription.audience) > subscription.joined

    def _delivered_unstored(self, entry: LogEntry, audience: Audience) -> int:
        """The count of delivered entries when an entry was delivered before it was stored; 0 if it was not."""
        if entry.seq is None or entry.repeats:
            return 0
        count, to_guests = self._early.get((entry.conversation_id, entry.seq), (0, False))
        return count if to_guests or audience == "staff" else 0

    async def run(self) -> None:
        # The stream's end is read before the log's head, so that no entry is lost between the two.
        newest = await self._newest_id()
        heed_cancellation()
        with suppress(StorageAway):
            await self._catch_up()
        self.ready.set()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow_stream(newest))
                group.create_task(self._follow_log())
                group.create_task(self._follow_viewers())
        finally:
            for timer in self._typing.values():
                timer.cancel()

    # --- the stream ----------------------------------------------------------------------------------------------

    async def _newest_id(self) -> str | None:
        try:
            newest = await self._redis.xrevrange(live_stream(self.property_id), count=1)
        except REDIS_AWAY:
            return None
        return str(newest[0][0]) if newest else "0-0"

    async def _follow_stream(self, last: str | None) -> None:
        while True:
            if last is None:
                last = await self._newest_id()
                self._behind.set()
            entries = await self._read_stream(last) if last is not None else None
            heed_cancellation()
            self._set_live(entries is not None)
            if entries is None:
                await asyncio.sleep(RETRY)
                continue
            for entry_id, fields in entries:
                if self._written > AT_ONCE:
                    self._written = 0
                    await asyncio.sleep(0)  # lets sockets send and other work run
                last = entry_id
                with suppress(ValidationError, KeyError):  # of a newer release: left to reading the log
                    self._take(LogEntry.model_validate_json(fields["entry"]))
            await asyncio.sleep(0)  # lets sockets send between batches

    async def _read_stream(self, after: str) -> list[StreamEntry] | None:
        """The next entries, empty if none came in time; None while Redis is away."""
        key = live_stream(self.property_id)
        try:
            streams = await self._redis.xread({key: after}, count=BATCH, block=BLOCK)
        except REDIS_AWAY:
            return None
        return [entry for _, entries in cast("list[tuple[str, list[StreamEntry]]]", streams) for entry in entries]

    def _set_live(self, live: bool) -> None:
        if live != self.live:
            self.live = live
            for subscription in self._everybody():
                subscription.listener.notice(self._pace())

    def _pace(self) -> Rendered:
        return render(ServerFrame(type="session", payload=ServerPayload(property_id=self.property_id, live=self.live)))

    def _everybody(self) -> list[Subscription]:
        return [subscription for listeners in self._listeners.values() for subscription in listeners]

    def _take(self, entry: LogEntry) -> None:
        if entry.viewer is not None:
            if self._viewing.hear(entry.viewer, looking=entry.looking, at=time.monotonic()):
                self._deliver_rendition(self._viewers_of(entry.viewer.conversation_id))
        elif entry.position is None:
            self._deliver(entry)
        elif self.position is not None and entry.position == self.position + 1:
            self._advance(entry)
            while following := self._ahead.pop(self.position + 1, None):
                self._advance(following)
        elif self.position is None or entry.position > self.position:
            if len(self._ahead) < AHEAD:
                self._ahead[entry.position] = entry
            self._behind.set()

    # --- the log -------------------------------------------------------------------------------------------------

    async def _follow_log(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL):
                    await self._behind.wait()
                await asyncio.sleep(GRACE)
            self._behind.clear()
            try:
                await self._catch_up()
            except StorageAway:
                await asyncio.sleep(RETRY)

    async def _catch_up(self) -> None:
        """Delivers the entries that are in the log but did not come by the stream."""
        head = await self.log.head(self.property_id)
        if self.position is None:
            self.origin = self.position = head
        while self.position < head:
            after = self.position
            entries = await self.log.read(self.property_id, after=after, up_to=head, limit=PAGE)
            for entry in entries:
                self._advance(entry)
            if len(entries) < PAGE:
                self.position = max(self.position, head)
            await asyncio.sleep(0)
        self._ahead = {position: entry for position, entry in self._ahead.items() if position > self.position}
        while following := self._ahead.pop(self.position + 1, None):
            self._advance(following)

    # --- typing and viewing ----------------------------------------------------------------------------------------

    async def _follow_viewers(self) -> None:
        while True:
            asked_at = time.monotonic()
            viewers = await self._presence.all(self.property_id)
            heed_cancellation()
            if viewers is not None:
                for conversation_id in self._viewing.reconcile(viewers, asked_at=asked_at):
                    self._deliver_rendition(self._viewers_of(conversation_id))
            await asyncio.sleep(REFRESH)

    def _viewers_of(self, conversation_id: str) -> Rendition:
        entry = LogEntry(
            property_id=self.property_id,
            type="presence",
            contact_key=contact_key_of(conversation_id),
            conversation_id=conversation_id,
        )
        return Rendition(entry, self.links, self._viewing.of(conversation_id))

    def _note_typing(self, entry: LogEntry, typing: Typing) -> None:
        """Announces that somebody stopped typing if no more notices come, e.g. because their process died."""
        key = (entry.conversation_id, typing.author, typing.author_id)
        if (timer := self._typing.pop(key, None)) is not None:
            timer.cancel()
        if typing.typing:
            stopped = entry.model_copy(update={"typing": typing.model_copy(update={"typing": False})})
            self._typing[key] = asyncio.get_running_loop().call_later(TYPING, self._deliver, stopped)

    # --- delivering ----------------------------------------------------------------------------------------------

    def _advance(self, entry: LogEntry) -> None:
        if entry.position is None or self.position is None or entry.position <= self.position:
            return
        self.position = entry.position
        self._deliver(entry)

    def _deliver(self, entry: LogEntry) -> None:
        self._count += 1
        rendition = Rendition(entry, self.links)
        if entry.typing is not None:
            self._note_typing(entry, entry.typing)
        self._deliver_rendition(rendition)
        if entry.position is None and entry.seq is not None:
            self._early[entry.conversation_id, entry.seq] = (self._count, rendition.frame("guest") is not None)
            if len(self._early) > REMEMBERED:
                self._early.popitem(last=False)

    def _deliver_rendition(self, rendition: Rendition) -> None:
        entry = rendition.entry
        # Decided once for all sockets: work done for each of many delays the event for the last one.
        early: dict[Audience, int] = {each: self._delivered_unstored(entry, each) for each in AUDIENCES}
        for key in {entry.contact_key, None}:
            for subscription in tuple(self._listeners.get(key, ())):
                if early[subscription.audience] <= subscription.joined and subscription.wants(entry):
                    subscription.listener.deliver(rendition)
                    self._written += 1
