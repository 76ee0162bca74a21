"""Sockets that break and come back while much happens: everybody ends with what happened, once and in order."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import httpx
import pytest
from redis.asyncio import Redis
from websockets.exceptions import ConnectionClosed

from activities.storage.database import Database
from activities.storage.log import Log
from activities.storage.log_writer import LiveStream
from activities.storage.publications import Publications
from contracts.conversations import ConversationState
from contracts.events import LogEntry
from contracts.frames import CloseCode
from contracts.messages import Author
from embedded import RedisServer
from settings import Settings
from tests.api import Api, Person, pages
from tests.live import Client, Frame, Story, guest, of_type, opened
from workflows.client import contact_key

CONVERSATIONS = 10
LONGEST_STAY = 40
"""Most frames that who reads one conversation takes before the socket breaks."""
LONGEST_STAY_AT_DESK = 200
"""Most frames that who reads a property takes."""
PATIENCE_SECONDS = 120
"""Hundreds of sockets of one process wait for one another."""
FORGETS = 0.2
"""How often a forgetful reader comes back with a cursor that says nothing."""

Happened = tuple[str, int]
"""A conversation and a `seq`."""


@dataclass
class Reader:
    """Reads `of` some conversations, by one socket after the other, until the last of each is there.

    One who can `refetch` comes back without a cursor now and then.
    """

    url: str
    path: str
    join: Callable[[Client, str], Awaitable[None]]
    of: list[str]
    cursor: str
    chance: random.Random
    ends: dict[str, int]
    """The last `seq` that each conversation will have."""
    longest_stay: int = LONGEST_STAY
    refetch: Callable[[], Awaitable[list[Happened]]] | None = None
    seen: list[Happened] = field(default_factory=list)
    fetched: set[Happened] = field(default_factory=set)
    known: set[Happened] = field(default_factory=set)
    breaks: int = 0
    resyncs: int = 0

    @property
    def over(self) -> bool:
        return all((each, self.ends[each]) in self.known for each in self.of)

    async def read(self) -> None:
        while not self.over:
            async with opened(self.url, self.path, open_timeout=PATIENCE_SECONDS) as client:
                client.patience = PATIENCE_SECONDS
                try:
                    await self._stay(client)
                except ConnectionClosed as closed:  # who lags behind is asked to come back
                    if closed.rcvd is None or closed.rcvd.code != CloseCode.TOO_SLOW:
                        raise
            self.breaks += 1

    async def _stay(self, client: Client) -> None:
        if self.refetch is not None and self.chance.random() < FORGETS:
            await self.join(client, "forgotten")
            await self._start_anew(client, self.refetch)
        else:
            await self.join(client, self.cursor)
        for _ in range(self.chance.randint(1, self.longest_stay)):
            if self.over:
                return
            self._take(await client.until(lambda frame: "seq" in frame and "cursor" in frame))
        if self.chance.random() < 0.5:
            client.socket.transport.abort()

    async def _start_anew(self, client: Client, refetch: Callable[[], Awaitable[list[Happened]]]) -> None:
        self.cursor = (await client.until(of_type("resync")))["cursor"]
        self.seen = await refetch()
        self.fetched = set(self.seen)
        self.known = set(self.seen)
        self.resyncs += 1

    def _take(self, frame: Frame) -> None:
        happened = (frame["payload"]["conversationId"], frame["seq"])
        self.cursor = frame["cursor"]
        self.known.add(happened)
        if happened not in self.fetched:  # told after it was fetched, as its `seq` says
            self.seen.append(happened)


@dataclass
class Hotel:
    """A hotel whose conversations go on while people read."""

    api: Api
    id: str
    marta: Person
    stories: list[Story]
    tokens: list[str]
    start: str
    seed: int
    ends: dict[str, int] = field(default_factory=dict)

    @property
    def conversations(self) -> list[str]:
        return [story.id for story in self.stories]

    def guest(self, number: int) -> Reader:
        which = number % CONVERSATIONS

        async def join(client: Client, after: str) -> None:
            await client.send("auth", {"token": self.tokens[which], "after": after})

        return self._reader(f"/chat/{self.id}", join, [self.conversations[which]], f"guest {number}")

    def of_conversation(self, number: int) -> Reader:
        conversation_id = self.conversations[number % CONVERSATIONS]
        return self._reader(
            "/ws", self._join({"conversationId": conversation_id}), [conversation_id], f"conversation {number}"
        )

    def of_property(self, number: int, *, forgetful: bool = False) -> Reader:
        reader = self._reader("/ws", self._join({"propertyId": self.id}), self.conversations, f"{forgetful} {number}")
        reader.longest_stay = LONGEST_STAY_AT_DESK
        reader.refetch = self._refetch if forgetful else None
        return reader

    def _reader(self, path: str, join: Callable[[Client, str], Awaitable[None]], of: list[str], name: str) -> Reader:
        chance = random.Random(f"{self.seed} {name}")
        return Reader(self.api.url, path, join, of, self.start, chance, self.ends)

    def _join(self, wanted: dict[str, str]) -> Callable[[Client, str], Awaitable[None]]:
        async def join(client: Client, after: str) -> None:
            await client.send("auth", {"token": self.marta.token})
            await client.send("subscribe", {**wanted, "after": after})

        return join

    async def _refetch(self) -> list[Happened]:
        """What a client reads anew after `resync`."""
        fetched: list[Happened] = []
        for each in self.conversations:
            path = f"/api/v1/conversations/{each}/events"
            for page in await pages(self.marta.http, path, after=1, limit=200):
                fetched += [(each, event["seq"]) for event in page]
        return fetched

    async def write(self, story: Story, events: int) -> None:
        """Publishes so many events in batches of one to five, of all kinds."""
        chance = random.Random(f"{self.seed} {story.id}")
        last = story.seq + events
        while story.seq < last - 1:
            for _ in range(min(chance.randint(1, 5), last - 1 - story.seq)):
                match chance.randrange(8):
                    case 0:
                        story.change(ConversationState.ESCALATED)
                    case 1:
                        story.notify("Look here")
                    case 2:
                        story.message("A note", Author.STAFF, private=True)
                    case _:
                        story.message(f"Number {story.seq}", chance.choice(list(Author)))
            assert (await story.publish()).stored
        await story.say("The end for now")


@pytest.fixture
async def own_redis(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisServer]:
    async with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def settings(base_settings: Settings, own_redis: RedisServer) -> Settings:
    """Settings with a Redis that may be stopped, and patience: one process is the api and all of its clients."""
    settings = base_settings.model_copy(deep=True)
    settings.redis.url = own_redis.url
    settings.database.connect_timeout = settings.database.statement_timeout = 60_000
    return settings


@pytest.fixture
async def busy(api: Api, hotel: str, database: Database, redis: Redis) -> Hotel:
    """The hotel at the moment from which on everybody reads."""
    publications = Publications(database, LiveStream(redis))
    stories, tokens = [], []
    for _ in range(CONVERSATIONS):
        async with guest(api.url, hotel) as visitor:
            session = visitor.frames[0]["payload"]
            key = contact_key("identity", hotel, "webchat", session["visitorId"])
            stories.append(Story(publications, hotel, key, session["visitorId"]))
            tokens.append(session["token"])
            await stories[-1].say("Hello")
            await visitor.message("Hello")
            start = visitor.cursor or ""
    marta = await api.person(hotel)
    marta.http.timeout = httpx.Timeout(PATIENCE_SECONDS)
    return Hotel(api, hotel, marta, stories, tokens, start, seed=20)


async def _told(hotel: Hotel, database: Database) -> list[LogEntry]:
    """Everything after the start, in the order of the log."""
    told: list[LogEntry] = []
    while page := await Log(database).read(hotel.id, after=told[-1].position or 0 if told else CONVERSATIONS):
        told += page
    return told


def _happened(entries: list[LogEntry]) -> list[Happened]:
    return [(entry.conversation_id or "", entry.seq or 0) for entry in entries]


def _for_guest(entry: LogEntry) -> bool:
    return entry.message.visible_to_guest if entry.message is not None else entry.conversation is not None


def _by_conversation(seen: list[Happened]) -> dict[str, list[int]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for conversation_id, seq in seen:
        found[conversation_id].append(seq)
    return found


async def _everybody_reads(
    hotel: Hotel,
    database: Database,
    redis: RedisServer,
    *,
    sockets: int,
    events: int,
    restart: bool,
    seconds: float = 0,
) -> None:
    """Half of the events before Redis goes and while it is away, where it does, half after; spread over `seconds`."""
    guests = [hotel.guest(number) for number in range(sockets * 6 // 10)]
    staff = [hotel.of_conversation(number) for number in range(sockets * 3 // 10)]
    desks = [hotel.of_property(number) for number in range(sockets // 20)]
    forgetful = [hotel.of_property(number, forgetful=True) for number in range(sockets // 20)]
    each = events // CONVERSATIONS // 4
    hotel.ends.update({story.id: story.seq + 4 * each for story in hotel.stories})

    at_once = 1 if seconds else each

    async def write(quarters: int) -> None:
        for _ in range(quarters * each // at_once):
            await asyncio.gather(*(hotel.write(story, at_once) for story in hotel.stories))
            await asyncio.sleep(seconds * at_once / (4 * each))

    async def write_all() -> None:
        await write(1)
        if restart:
            await redis.kill()
        await write(1)
        if restart:
            await redis.start()
        await write(2)

    readers = [*guests, *staff, *desks, *forgetful]
    assert len(readers) == sockets
    await asyncio.gather(write_all(), *(reader.read() for reader in readers))

    told = await _told(hotel, database)
    everything = _happened(told)
    assert len(everything) == each * 4 * CONVERSATIONS
    for reader in desks:
        assert reader.seen == everything
    for reader in forgetful:
        assert _by_conversation(reader.seen) == _by_conversation(everything)
    for reader in staff:
        assert reader.seen == [happened for happened in everything if happened[0] in reader.of]
    for reader in guests:
        assert reader.seen == _happened(
            [entry for entry in told if _for_guest(entry) and entry.conversation_id in reader.of]
        )
    assert sum(reader.breaks for reader in readers) > sockets // 2
    assert sum(reader.resyncs for reader in forgetful) > 0


@pytest.mark.parametrize("restart", [False, True])
async def test_sockets_that_break_miss_nothing(
    busy: Hotel, database: Database, own_redis: RedisServer, restart: bool
) -> None:
    await _everybody_reads(busy, database, own_redis, sockets=40, events=400, restart=restart)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("restart", [False, True])
async def test_two_hundred_sockets_that_break_miss_nothing_of_two_thousand_events(
    busy: Hotel, database: Database, own_redis: RedisServer, restart: bool
) -> None:
    await _everybody_reads(busy, database, own_redis, sockets=200, events=2000, restart=restart, seconds=60)
