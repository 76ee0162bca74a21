"""Several processes share the spool, and what becomes of one, or of PostgreSQL, costs no guest their order."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest
from sqlalchemy import text

from activities.storage.database import Database
from activities.storage.log_writer import LiveStream
from activities.storage.quarantine import Quarantine
from activities.storage.redis_client import open_redis
from activities.storage.spool import Spool
from api.reception import HAND_OVER_SECONDS, Reception
from contracts.commands import DeliveryFailure
from contracts.messages import GuestMessage
from contracts.problems import Unavailable, Unreachable
from embedded import PostgresServer
from settings import Settings
from tests.support import Stack, eventually, guest_message
from workflows.client import Conversations
from workflows.media_client import MediaOrders

pytestmark = pytest.mark.usefixtures("spool_of_its_own")


class Given:
    """Conversations that take what they are given, or do not."""

    def __init__(self) -> None:
        self.of: defaultdict[str, list[str]] = defaultdict(list)
        self.refuses: Callable[[str], bool] = lambda contact: False
        self.away = False
        self.tried = asyncio.Event()

    def contact_key(self, property_id: str, channel_type: str, sender_id: str) -> str:
        return sender_id

    async def receive(self, hotel: str, channel: str, message: GuestMessage, contact_key: str) -> None:
        if self.away:
            raise Unreachable("away")
        if self.refuses(contact_key):
            self.tried.set()
            raise Unavailable("too large, say")
        if message.content not in self.of[contact_key]:  # as a conversation drops repeats
            self.of[contact_key].append(message.content)

    async def delivery_failed(self, failure: DeliveryFailure) -> None:
        raise NotImplementedError

    async def take_over(self, hotel: str, message: GuestMessage) -> GuestMessage:
        return message


@asynccontextmanager
async def process(settings: Settings, given: Given, *, hands_over: bool = True) -> AsyncIterator[Reception]:
    """The reception of one process."""
    database = Database(settings.database)
    listening = Database(settings.database.model_copy(update={"pool_size": 1}))
    quarantine = Quarantine(database, LiveStream(open_redis(settings.redis)), settings)
    reception = Reception(cast(Conversations, given), cast(MediaOrders, given), Spool(database, listening), quarantine)
    running = asyncio.create_task(reception.run()) if hands_over else None
    if running is not None:
        await reception.first_look()
    try:
        yield reception
    finally:
        if running is not None:
            running.cancel()
            await asyncio.wait([running])
        await listening.close()
        await database.close()


async def _given(given: Given, contact: str, words: list[str]) -> None:
    async def look() -> bool:
        return given.of[contact] == words

    await eventually(look, what=f"{words} to have been given")


async def test_a_process_that_starts_with_much_to_hand_over_lets_nothing_overtake(
    settings: Settings, stack: Stack, hotel: str
) -> None:
    given = Given()
    given.away = True
    async with process(settings, given, hands_over=False) as before:
        for number in range(30):
            await before.receive(hotel, "webchat", guest_message("ana", str(number)))
    slow = asyncio.Event()
    as_it_is = given.receive

    async def receive(*arguments: Any, **named: Any) -> None:
        await slow.wait()
        await as_it_is(*arguments, **named)

    given.away, given.receive = False, receive  # type: ignore[method-assign]
    async with process(settings, given) as after:
        assert not await after.receive(hotel, "webchat", guest_message("ana", "30"))
        slow.set()
        await _given(given, "ana", [str(number) for number in range(31)])


async def test_a_process_that_hears_nothing_more_lets_nothing_overtake(
    settings: Settings, stack: Stack, database: Database, hotel: str
) -> None:
    given, elsewhere = Given(), Given()
    elsewhere.away = True
    async with process(settings, given) as here, process(settings, elsewhere, hands_over=False) as there:
        async with database.begin() as connection:
            listeners = "query LIKE '%pg_advisory%' AND state = 'idle' AND pid <> pg_backend_pid()"
            ended = await connection.execute(
                text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {listeners}")
            )
            assert ended.rowcount >= 1
        assert not await there.receive(hotel, "webchat", guest_message("ana", "1"))
        for number in range(2, 30):
            await here.receive(hotel, "webchat", guest_message("ana", str(number)))
        await _given(given, "ana", [str(number) for number in range(1, 30)])


async def test_a_temporal_that_hangs_is_not_waited_for_by_who_wants_to_be_acknowledged(
    settings: Settings, stack: Stack, hotel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.reception.FIRST_TRY_SECONDS", 0.1)
    given, answers = Given(), asyncio.Event()
    as_it_is = given.receive

    async def receive(*arguments: Any, **named: Any) -> None:
        await answers.wait()
        await as_it_is(*arguments, **named)

    given.receive = receive  # type: ignore[method-assign]
    async with process(settings, given) as reception:
        async with asyncio.timeout(HAND_OVER_SECONDS / 2):
            for number in range(3):
                assert not await reception.receive(hotel, "webchat", guest_message("ana", str(number)))
        answers.set()
        await _given(given, "ana", ["0", "1", "2"])


async def test_a_process_that_hangs_in_its_turn_is_not_waited_for(
    settings: Settings, database: Database, hotel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.reception.TURN_SECONDS", 0.3)
    given = Given()
    given.away = True
    async with process(settings, given, hands_over=False) as before:
        for number in range(3):
            await before.receive(hotel, "webchat", guest_message("ana", str(number)))
    given.away = False
    async with database.begin() as hanging:
        await hanging.execute(text("SELECT pg_advisory_xact_lock(hashtext('gateway_spool'))"))
        async with process(settings, given):
            await _given(given, "ana", ["0", "1", "2"])


async def test_contacts_that_are_refused_hold_up_nobody_else_however_many(
    settings: Settings, stack: Stack, hotel: str, caplog: pytest.LogCaptureFixture
) -> None:
    given = Given()
    given.refuses, given.away = lambda contact: contact.startswith("bad"), True
    async with process(settings, given, hands_over=False) as before:
        for number in range(250):  # more than a batch
            await before.receive(hotel, "webchat", guest_message(f"bad-{number % 20}", str(number)))
        await before.receive(hotel, "webchat", guest_message("ana", "Hello?"))
    given.away = False
    async with process(settings, given):
        await _given(given, "ana", ["Hello?"])
        assert len(await stack.rows("SELECT id FROM spool")) == 250
        given.tried.clear()
        await given.tried.wait()  # another round
    refused = [each for each in caplog.messages if each.startswith("a waiting message of contact bad-")]
    assert len(refused) == len(set(refused)) == 20, "each is told once, however often it is tried"
    assert caplog.messages.count("incoming messages are waiting in the spool: 251") == 1


async def test_what_waits_in_a_storage_that_went_away_is_not_overtaken(
    settings: Settings, tmp_path: Path, hotel: str
) -> None:
    given = Given()
    async with PostgresServer(tmp_path) as server:
        settings.database.url = server.url
        database = Database(settings.database)
        await database.migrate()
        await database.close()
        async with process(settings, given) as here:
            given.away = True
            assert not await here.receive(hotel, "webchat", guest_message("ana", "1"))
            await server.kill()
            given.away = False
            with pytest.raises(Unavailable):
                await here.receive(hotel, "webchat", guest_message("ana", "2"))
            await server.start()
            await _given(given, "ana", ["1"])
            await here.receive(hotel, "webchat", guest_message("ana", "2"))
            await _given(given, "ana", ["1", "2"])

            async def goes_straight() -> bool:
                return await here.receive(hotel, "webchat", guest_message("ben", "Hello?"))

            await eventually(goes_straight, what="the process to know that nothing waits")
            await server.kill()
            assert await here.receive(hotel, "webchat", guest_message("ana", "3")), (
                "nothing waits that it could overtake"
            )


async def test_a_database_that_is_not_there_yet_is_waited_for(settings: Settings, tmp_path: Path, hotel: str) -> None:
    given = Given()
    async with PostgresServer(tmp_path) as server:
        assert server.url.count("/postgres?") == 1
        settings.database.url = server.url.replace("/postgres?", "/later?")
        async with process(settings, given) as here:
            assert await here.receive(hotel, "webchat", guest_message("ana", "1"))
            connection = await asyncpg.connect(server.url)
            await connection.execute("CREATE DATABASE later")
            await connection.close()
            database = Database(settings.database)
            await database.migrate()
            await database.close()
            given.away = True

            async def is_kept() -> bool:
                with suppress(Unavailable):
                    return not await here.receive(hotel, "webchat", guest_message("ana", "2"))
                return False

            await eventually(is_kept, what="the database to be used")
            given.away = False
            await _given(given, "ana", ["1", "2"])
