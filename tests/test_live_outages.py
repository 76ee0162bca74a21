"""Live views while parts are away, and while many readers come and go."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from activities.storage.database import Database
from activities.storage.log import Log
from activities.storage.log_writer import LiveStream
from activities.storage.publications import Publications
from contracts.conversations import ConversationState
from contracts.events import LogEntry
from contracts.messages import Author
from embedded import PostgresServer, RedisServer
from settings import Settings
from tests.api import Api, Person
from tests.live import Client, Story, guest, is_message, of_type, staff
from tests.support import eventually
from workflows.client import contact_key


@pytest.fixture(scope="module")
async def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PostgresServer]:
    async with PostgresServer(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="module")
async def own_redis(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisServer]:
    async with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
async def settings(base_settings: Settings, own_postgres: PostgresServer, own_redis: RedisServer) -> Settings:
    """Settings with a PostgreSQL and a Redis that may be stopped."""
    for server in (own_postgres, own_redis):
        if not server.alive():
            await server.start()
    settings = base_settings.model_copy(deep=True)
    settings.database.url, settings.redis.url = own_postgres.url, own_redis.url
    database = Database(settings.database)
    await database.migrate()
    await database.close()
    return settings


def _story(publications: Publications, hotel: str, visitor: Client | None = None) -> Story:
    sender = visitor.frames[0]["payload"]["visitorId"] if visitor is not None else uuid.uuid4().hex
    return Story(publications, hotel, contact_key("identity", hotel, "webchat", sender), sender)


async def _stored(story: Story) -> None:
    """Publishes until PostgreSQL takes it."""

    async def look() -> bool:
        return (await story.publish()).stored

    await eventually(look, what="PostgreSQL to be back")


async def _pace(client: Client, *, live: bool) -> None:
    await client.until(lambda frame: frame["type"] == "session" and frame["payload"].get("live") is live)


# --- Redis -----------------------------------------------------------------------------------------------------------


async def test_without_redis_everything_still_comes_and_staff_are_told(
    api: Api, hotel: str, marta: Person, publications: Publications, own_redis: RedisServer
) -> None:
    async with staff(api.url, marta.token, hotel) as desk, guest(api.url, hotel) as visitor:
        story = _story(publications, hotel, visitor)
        await story.say("One")
        await own_redis.stop()
        await _pace(desk, live=False)
        for content in ("Two", "Three"):
            await story.say(content)
        for client in (desk, visitor):
            await client.message("Three")
        async with guest(api.url, hotel, visitor.frames[0]["payload"]["token"]) as late:
            await late.message("Three")
        await own_redis.start()
        await _pace(desk, live=True)
        for content in ("Four", "Five"):
            await story.say(content)
        for client in (desk, visitor):
            await client.message("Five")
            assert client.contents() == ["One", "Two", "Three", "Four", "Five"]
        assert late.contents() == ["One", "Two", "Three"]


async def test_what_the_stream_did_not_bring_is_read_from_the_log(
    api: Api, hotel: str, marta: Person, settings: Settings, redis: Redis, database: Database
) -> None:
    class Forgetful(LiveStream):
        """Tells only some of it, and that out of order."""

        async def add(self, entries: Sequence[LogEntry]) -> bool:
            return await super().add([each for each in reversed(entries) if (each.seq or 0) % 3])

    story = _story(Publications(database, Forgetful(redis)), hotel)
    async with staff(api.url, marta.token, hotel) as desk:
        for number in range(20):
            story.message(f"Message {2 * number}")
            story.message(f"Message {2 * number + 1}")
            await story.publish()
        await desk.message("Message 39")
    assert desk.contents() == [f"Message {number}" for number in range(40)]


async def test_what_a_stream_holds_that_is_no_entry_is_passed_over(
    api: Api, hotel: str, marta: Person, publications: Publications, redis: Redis
) -> None:
    story = _story(publications, hotel)
    async with staff(api.url, marta.token, hotel) as desk:
        for field, value in (("entry", "{"), ("entry", '{"type":"dance"}'), ("other", "x")):
            await redis.xadd(f"gateway:live:{hotel}", {field: value})
        await story.say("Still here")
        await desk.message("Still here")


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


async def test_without_postgres_it_is_told_live_and_not_again_when_it_is_stored(
    api: Api, hotel: str, marta: Person, publications: Publications, own_postgres: PostgresServer, database: Database
) -> None:
    async with staff(api.url, marta.token, hotel) as desk, guest(api.url, hotel) as visitor:
        token = visitor.frames[0]["payload"]["token"]
        story = _story(publications, hotel, visitor)
        await story.say("Before")
        for client in (desk, visitor):
            await client.message("Before")
        await own_postgres.stop()
        story.message("Told live")
        story.message("A note", Author.STAFF, private=True)
        assert (await story.publish()).stored is False
        for client in (desk, visitor):
            assert "cursor" not in await client.message("Told live")
        # Who comes now gets what is told from now on at once, and the rest when it can be read.
        async with (
            staff(api.url, marta.token, hotel, after=desk.cursor) as late_desk,
            guest(api.url, hotel, token, after=visitor.cursor) as late,
            guest(api.url, hotel, token) as reloaded,
        ):
            told = story.seq
            story.message("Told later")
            assert (await story.publish(told=told)).stored is False
            await story.publish()  # as an outbox that has not heard of what was told
            for client in (desk, visitor, late_desk, late, reloaded):
                await client.message("Told later")
            await own_postgres.start()
            await _stored(story)
            await story.say("After")
            for client in (desk, visitor, late_desk, late, reloaded):
                await client.message("After")
            assert await Log(database).head(hotel) == 5
            assert desk.contents() == ["Before", "Told live", "A note", "Told later", "After"]
            assert visitor.contents() == ["Before", "Told live", "Told later", "After"]
            assert sorted(late.contents()) == sorted(["Told live", "Told later", "After"])
            assert sorted(late_desk.contents()) == sorted(["Told live", "A note", "Told later", "After"])
            assert sorted(reloaded.contents()) == sorted(["Before", "Told live", "Told later", "After"])


async def test_a_property_that_is_opened_without_postgres_is_resynced(
    api: Api, hotel: str, marta: Person, publications: Publications, own_postgres: PostgresServer
) -> None:
    story = _story(publications, hotel)
    await own_postgres.stop()
    async with staff(api.url, marta.token, hotel) as desk:
        ack = desk.frames[-1]
        story.message("Told live")
        await story.publish()
        await desk.message("Told live")
        await own_postgres.start()
        await desk.until(of_type("resync"))
        await _stored(story)
        await story.say("After")
        await desk.message("After")
    assert (ack["type"], "cursor" in ack) == ("ack", False)
    assert desk.contents() == ["Told live", "After"]


async def test_a_guest_who_came_without_postgres_gets_what_was_stored_before_it_was_read(
    api: Api, hotel: str, publications: Publications, own_postgres: PostgresServer
) -> None:
    await own_postgres.stop()
    async with guest(api.url, hotel) as visitor:
        story = _story(publications, hotel, visitor)
        await own_postgres.start()
        await story.say("One")
        await story.say("Two")
        await visitor.message("Two")
        await story.say("Three")
        await visitor.message("Three")
        assert visitor.contents() == ["One", "Two", "Three"]


async def test_with_both_away_sockets_open_and_catch_up(
    api: Api, hotel: str, publications: Publications, own_postgres: PostgresServer, own_redis: RedisServer
) -> None:
    async with guest(api.url, hotel) as visitor:
        story = _story(publications, hotel, visitor)
        await story.say("One")
        await visitor.message("One")
        await own_redis.stop()
        await own_postgres.stop()
        story.message("Two")
        assert (await story.publish()).stored is False
        async with guest(api.url, hotel, visitor.frames[0]["payload"]["token"], after=visitor.cursor) as again:
            await own_postgres.start()
            await _stored(story)
            for client in (visitor, again):
                await client.message("Two")
            assert (visitor.contents(), again.contents()) == (["One", "Two"], ["Two"])


# --- many at once ----------------------------------------------------------------------------------------------------


async def test_who_comes_and_goes_misses_nothing_and_gets_nothing_twice(
    api: Api, hotel: str, marta: Person, publications: Publications, own_redis: RedisServer, database: Database
) -> None:
    stories = [_story(publications, hotel) for _ in range(6)]
    over = asyncio.Event()

    async def write(story: Story) -> None:
        for number in range(40):
            story.message(f"{story.suffix} {number}")
            if number % 5 == 0:
                story.change(ConversationState.ESCALATED)
            await story.publish()
            await asyncio.sleep(0)

    async def write_all() -> None:
        await asyncio.gather(*(write(story) for story in stories[:3]))
        await own_redis.stop()
        await asyncio.gather(*(write(story) for story in stories[3:5]))
        await own_redis.start()
        await write(stories[5])
        over.set()

    async def read(conversation_id: str | None, stay: int) -> list[tuple[str, int]]:
        """Stays for some frames, leaves in the middle of it and comes back, until all is told."""
        seen: list[tuple[str, int]] = []
        cursor = first
        wanted = {"conversationId": conversation_id} if conversation_id is not None else {"propertyId": hotel}
        everything = sum(1 for story in stories if conversation_id in (None, story.id)) * 48
        while len(seen) < everything:
            async with staff(api.url, marta.token) as client:
                await client.send("subscribe", {**wanted, "after": cursor})
                for _ in range(min(stay, everything - len(seen))):
                    frame = await client.until(lambda frame: "cursor" in frame)
                    seen.append((frame["payload"]["conversationId"], frame["seq"]))
                    cursor = frame["cursor"]
        return seen

    for story in stories:
        await story.say("Begun")
    async with staff(api.url, marta.token, hotel) as client:
        first = str(client.frames[-1]["cursor"])
    readers = [read(None, stay) for stay in (7, 31, 100)] + [read(stories[number].id, 5) for number in range(6)]
    *told, _ = await asyncio.gather(*readers, write_all())
    entries = await Log(database).read(hotel, after=6, limit=1000)
    expected = [(entry.conversation_id, entry.seq) for entry in entries]
    assert len(expected) == 6 * 48
    assert over.is_set()
    for seen in told[:3]:
        assert seen == expected
    for story, seen in zip(stories, told[3:], strict=True):
        assert seen == [(story.id, seq) for seq in range(2, 50)]
        assert not any(is_message(frame) for frame in client.frames)


async def test_a_broken_tail_closes_its_sockets_and_a_new_one_serves(
    api: Api,
    hotel: str,
    marta: Person,
    publications: Publications,
    database: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    story = _story(publications, hotel)
    await story.say("Before")
    async with staff(api.url, marta.token, hotel) as desk:
        async with database.begin() as connection:
            riddle = "INSERT INTO log VALUES (:hotel, 2, NULL, NULL, NULL, 'riddle', NULL, NULL, false, now())"
            await connection.execute(text(riddle), {"hotel": hotel})
            await connection.execute(text("UPDATE log_heads SET head = 2 WHERE property_id = :hotel"), {"hotel": hotel})
        assert await desk.closed() == 1013
    assert f"following the log of {hotel} failed: ValidationError" in caplog.text
    async with staff(api.url, marta.token, hotel) as again:
        await story.say("After")
        await again.message("After")


async def test_a_tail_that_nobody_needs_any_more_ends_whenever_that_is(
    api: Api, hotel: str, publications: Publications
) -> None:
    story, hub = _story(publications, hotel), api.state.hub
    for turn in range(60):
        tail = hub.open(hotel)
        if turn % 3 == 0:
            await tail.ready.wait()
            await story.say(f"Turn {turn}")  # the stream is asked again while the tail is let go
        for _ in range(turn):
            await asyncio.sleep(0)
        hub.close(tail)
    tails = {task for task in asyncio.all_tasks() if task.get_name() == f"tail of {hotel}"}
    _, endless = await asyncio.wait(tails, timeout=5) if tails else (tails, tails)
    assert not endless
