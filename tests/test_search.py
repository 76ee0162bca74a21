"""Words are found whatever divides them, in what is stored from now on and, before long, in what was stored before."""

import random
import uuid
from collections.abc import AsyncIterator
from typing import Final

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, TextClause, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection

from activities.storage.database import MIGRATIONS, Database
from activities.storage.rewording import Rewording
from activities.storage.search_words import begins, said
from settings import Settings

FOUND: Final = [
    ("is the pool/spa open", "spa"),
    ("is the pool/spa open", "pool/spa"),
    ("is the pool and spa open", "pool spa"),
    ("rooms 101-105 please", "105"),
    ("rooms 101-105 please", "101-105"),
    ("I am in room-204", "204"),
    ("I am in room-204", "room 204"),
    ("I am in room 204", "room-204"),
    ("at 10.30", "10.30"),
    ("at 10.30", "10:30"),
    ("write to anna@hotel.example", "anna"),
    ("write to anna@hotel.example", "anna@hotel.example"),
    ("see https://hotel.example/menu?day=2", "menu"),
    ("call +351 912 345", "351"),
    ("fish&chips <spa> &amp;", "chips spa"),
    ("the “breakfast”…", "breakfast"),
    ("spa😀massage", "massage"),
    ("a co\u00adoperative hotel", "cooperative"),
    ("room_204, o'neil", "204 neil"),
    ("Café in the morning", "cafe"),
    ("umbrella", "-spa umbrella"),
    ("umbrella", "nothing or umbrella"),
    ("or-else", '"or else"'),
    ("两位成人，我要一个早餐", "早餐"),
    ("我要一个早餐", "早"),
    ("朝食は何時ですか？", "朝食"),
    ("朝食は何時ですか？", "何時 朝食"),
    ("ｽﾊﾟの予約", "スパ"),
    ("明日の「ガイド」", "ガイド"),
    ("ขอห้องพักที่มองเห็นทะเล", "ทะเล"),
    ("ขอห้องพักที่มองเห็นทะเล", "ห้องพัก"),
    ("น้ำดื่ม", "น้ำ"),
    ("조식은 몇 시인가요", "조식"),
    ("spa水疗204", "水疗"),
    ("spa水疗204", "spa水疗"),
]
NOT_FOUND: Final = [
    ("rooms 101 and 106, 105 too", "101-105"),
    ("at 30.10", "10.30"),
    ("is the pool/spa open", "pool -spa"),
    ("is the pool/spa open", "-pool/spa open"),
    ("anna of another hotel", "anna@hotel.example"),
    ("餐早", "早餐"),
    ("我要一个早餐", "早-餐厅"),
    ("เลทะ", "ทะเล"),
    ("umbrella", "%"),
    ("umbrella", '-"-" --'),
    ("spatial", "spa"),
]
_SAYS: Final = text("SELECT gateway_words(:said) @@ websearch_to_tsquery('simple', :words)")
_NAMED: Final = text("SELECT gateway_words(:said) @@ to_tsquery('simple', :words)")


async def _holds(database: Database, statement: TextClause, content: str, words: str) -> bool:
    async with database.read() as connection:
        return bool((await connection.execute(statement, {"said": content, "words": words})).scalar_one())


@pytest.mark.parametrize(("content", "query"), FOUND)
async def test_words_are_found_whatever_divides_them(database: Database, content: str, query: str) -> None:
    assert await _holds(database, _SAYS, content, said(query))


@pytest.mark.parametrize(("content", "query"), NOT_FOUND)
async def test_what_is_not_said_is_not_found(database: Database, content: str, query: str) -> None:
    assert not await _holds(database, _SAYS, content, said(query))


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("Smith/Jones", "jon"),
        ("Anna-Maria Ruiz", "anna-mar"),
        ("O'Neil_50", "o'neil_50"),
        ("田中太郎", "太郎"),
        ("田中太郎", "田中"),
        ("田中 太郎", "太郎 田"),
        ("สมชาย ใจดี", "ใจ"),
        ("김민수", "민수"),
    ],
)
async def test_names_are_found_by_how_their_words_begin(database: Database, name: str, query: str) -> None:
    assert await _holds(database, _NAMED, name, begins(query))


async def test_any_part_of_any_text_is_found(database: Database) -> None:
    """PostgreSQL and we divide alike."""
    chance = random.Random(1)
    letters = "ab1é食は早餐ガｶﾞ조식น้ำที่-/.@:_+&<>'😀–、。・ \u200b\u00ad"
    async with database.read() as connection:
        for _ in range(400):
            content = "".join(chance.choices(letters, k=chance.randint(2, 24)))
            phrase = said(f'"{content}"')
            words = phrase.strip('"').split()
            if not words:
                continue
            begin = chance.randrange(len(words))
            few = said(" ".join(words[begin : begin + chance.randint(1, 4)]))
            for query in (phrase, few):
                assert (await connection.execute(_SAYS, {"said": content, "words": query})).scalar_one(), content


@pytest.fixture
async def older(settings: Settings, database: Database) -> AsyncIterator[Database]:
    """A database of the release before words were divided, with messages and names in it."""
    name = f"older_{uuid.uuid4().hex}"
    async with database.read() as connection:
        await connection.execute(text(f"CREATE DATABASE {name}"))
    url = make_url(str(settings.database.url)).set(database=name).render_as_string(hide_password=False)
    older = Database(settings.database.model_copy(update={"url": url}))
    async with older.begin() as connection:
        await connection.run_sync(_migrate_to, "0015")
        for number, content in enumerate(["is the pool/spa open", "朝食は何時ですか", "plain words", "rooms 101-105"]):
            await _say(connection, number, content)
        await connection.execute(
            text(
                "INSERT INTO conversations (id, contact_key, property_id, guest_id, channel_type, state, needs_review,"
                " seq, created_at, last_activity_at, snapshot)"
                " VALUES ('c', 'k', 'p', 'g', 'sms', 'active', false, 1, now(), now(),"
                " jsonb_build_object('guestName', '田中太郎'))"
            )
        )
    yield older
    await older.close()


def _migrate_to(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


async def _say(connection: AsyncConnection, number: int, content: str) -> None:
    await connection.execute(
        text(
            "INSERT INTO messages (conversation_id, id, contact_key, seq, author, content, private, delivery_state,"
            " created_at) VALUES (:of, 'm', 'k', 1, 'guest', :content, false, 'delivered', now())"
        ),
        {"of": f"c{number}", "content": content},
    )


async def _found(database: Database, query: str) -> set[str]:
    async with database.read() as connection:
        rows = await connection.execute(
            text("SELECT content FROM messages WHERE words @@ websearch_to_tsquery('simple', :words)"),
            {"words": said(query)},
        )
        return set(rows.scalars())


async def test_what_was_stored_before_is_found_once_it_was_gone_through(older: Database) -> None:
    assert await _found(older, "spa") == set()
    await older.migrate()
    async with older.begin() as connection:
        await _say(connection, 9, "the spa/sauna")
    assert await _found(older, "spa") == {"the spa/sauna"}
    async with older.begin() as taken:  # by another process, which is at it
        await taken.execute(text("SELECT FROM rewording FOR UPDATE"))
        assert not await Rewording(older).reword(2)
    assert await Rewording(older).reword(2)  # a process that ends then
    assert await _found(older, "spa") == {"the spa/sauna", "is the pool/spa open"}
    assert await _found(older, "105") == set()
    await Rewording(older).run()
    assert await _found(older, "105") == {"rooms 101-105"}
    assert await _found(older, "朝食") == {"朝食は何時ですか"}
    assert await _found(older, "plain") == {"plain words"}
    assert not await Rewording(older).reword(2)
    await older.migrate()
    await Rewording(older).run()


async def test_names_from_before_are_found_by_their_index_in_sessions_from_before(older: Database) -> None:
    named = "FROM conversations WHERE gateway_words(snapshot->>'guestName') @@ to_tsquery('simple', :words)"
    words = {"words": begins("田中")}
    async with older.read() as session:
        await session.execute(text("SET enable_seqscan = off"))
        await session.execute(text(f"SELECT {named}"), words)
        await older.migrate()
        assert (await session.execute(text(f"SELECT id {named}"), words)).scalars().all() == ["c"]
        plan = (await session.execute(text(f"EXPLAIN SELECT {named}"), words)).scalars().all()
        assert any("conversations_by_name" in line for line in plan), plan


async def test_an_empty_database_has_nothing_to_go_through(older: Database) -> None:
    async with older.begin() as connection:
        await connection.execute(text("DELETE FROM messages"))
    await older.migrate()
    assert not await Rewording(older).reword(1)
