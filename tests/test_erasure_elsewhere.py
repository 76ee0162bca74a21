"""What guests said where one would not look for it: in articles of the knowledge, and in quarantine."""

import uuid
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from activities.storage.database import Database
from activities.storage.knowledge import Knowledge
from contracts.knowledge import GapQuestion, NamedArticle
from contracts.quarantine import Unreadable
from tests.api import Api
from tests.guests import add_guest

GUESTS = "/api/v1/guests"
WORD = "Qxyzzy"
NOW = datetime.now(UTC)


async def _asked(database: Database, hotel: str, said: str, *articles: str) -> str:
    """A guest whose unanswered question became a part of articles; gives their id."""
    guest, key = await add_guest(database, hotel, name="Ana"), uuid.uuid4().hex[:26]
    values = {"id": f"{key}-00000001", "key": key, "hotel": hotel, "guest": guest, "said": said}
    async with database.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO conversations (id, contact_key, property_id, guest_id, channel_type, state, seq, snapshot,"
                " created_at, last_activity_at, needs_review)"
                " VALUES (:id, :key, :hotel, :guest, 'sms', 'resolved', 1, '{}', now(), now(), false)"
            ),
            values,
        )
        await connection.execute(
            text(
                "INSERT INTO messages (conversation_id, id, contact_key, seq, author, content, attachments, private,"
                " created_at, delivery_state)"
                " VALUES (:id, 'm', :key, 1, 'guest', :said, '[]', false, now(), 'delivered')"
            ),
            values,
        )
    closes = [GapQuestion(conversation_id=values["id"], message_id="m", text=said, at=NOW)]
    for article in articles:
        made = NamedArticle(id=article, title="Shops", text="x", questions=[" ".join(said.split())])
        await Knowledge(database).put(hotel, [made], by="x", closes=closes)
    return guest


async def _kept(database: Database, hotel: str) -> list[str]:
    async with database.begin() as connection:
        rows = await connection.execute(
            text(
                "SELECT questions::text FROM knowledge WHERE property_id = :hotel"
                " UNION ALL SELECT article::text FROM knowledge_versions WHERE property_id = :hotel"
            ),
            {"hotel": hotel},
        )
        return [each for each in rows.scalars() if WORD in each]


@pytest.mark.parametrize(
    "said", [f"Who sells {WORD}?", f"Who sells {WORD}?\n", f"\n Who sells\t{WORD}?", f"\x1c{WORD}"]
)
async def test_a_question_leaves_its_article_however_it_was_spaced(
    api: Api, hotel: str, database: Database, said: str
) -> None:
    manager, guest = await api.person(hotel, role="manager"), await _asked(database, hotel, said, "shops")
    assert await _kept(database, hotel)
    assert (await manager.http.delete(f"{GUESTS}/{guest}")).status_code == 200
    assert await _kept(database, hotel) == []


async def test_a_question_leaves_articles_that_were_deleted_too(api: Api, hotel: str, database: Database) -> None:
    manager = await api.person(hotel, role="manager")
    guest = await _asked(database, hotel, f"Who sells {WORD}?", "shops", "market")
    deleted = await manager.http.delete(f"/api/v1/knowledge/{hotel}/articles/shops")
    assert deleted.status_code == 204
    assert (await manager.http.delete(f"{GUESTS}/{guest}")).status_code == 200
    assert await _kept(database, hotel) == []


async def test_an_article_of_one_hotel_may_go_without_another_s_noticing(
    api: Api, hotel: str, database: Database
) -> None:
    other = f"other-{uuid.uuid4().hex[:8]}"
    manager, elsewhere = await api.person(hotel, role="manager"), await api.person(other, role="manager")
    guest = await _asked(database, hotel, f"Who sells {WORD}?", "shops")
    await Knowledge(database).put(other, [NamedArticle(id="shops", title="Shops", text="x")], by="x")
    assert (await elsewhere.http.delete(f"/api/v1/knowledge/{other}/articles/shops")).status_code == 204
    assert (await manager.http.delete(f"{GUESTS}/{guest}")).status_code == 200
    assert await _kept(database, hotel) == []


@pytest.mark.parametrize(
    ("address", "written", "theirs"),
    [
        ("ana.silva@example.com", "From: Ana.Silva@Example.com", True),
        ("ana@example.com", "Write to ana@example.com. Thanks", True),
        ("maria@yahoo.com", "From: maria@yahoo.com.br", False),
        ("jörg@example.com", "From: jörg@Example.com", True),
    ],
)
async def test_quarantine_holds_of_a_guest_what_names_their_address(
    api: Api, hotel: str, database: Database, address: str, written: str, theirs: bool
) -> None:
    manager = await api.person(hotel, role="manager")
    guest = await add_guest(database, hotel, sender_id=address, name="Ana")
    payload = f"{written}\r\n\r\nwords\0".encode()
    await api.state.quarantine.keep(hotel, "raw", [Unreadable(reason="?", payload=payload)])
    exported = (await manager.http.post(f"{GUESTS}/{guest}/export")).json()
    assert bool(exported["quarantine"]) is theirs
    assert (await manager.http.delete(f"{GUESTS}/{guest}")).status_code == 200
    async with database.begin() as connection:
        kept = await connection.execute(text("SELECT id FROM quarantine WHERE property_id = :hotel"), {"hotel": hotel})
        assert bool(kept.all()) is not theirs
