"""Compares lists of 100,000 conversations with a bare SELECT: first and thousandth page, each filter, and searches.

The bare SELECT reads the same rows of the same page by the same index, over one connection, with plain asyncpg.
"""

import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

import asyncpg
import httpx

import settings
from activities.storage.database import Database
from activities.storage.paging import MovingPosition
from activities.storage.staff import StaffAccounts
from api.lists import cursor_of
from bench.report import Line
from bench.wire import Connections

CONVERSATIONS: Final = 100_000
MESSAGES: Final = 3
PAGE: Final = 50
DEEP: Final = 1000
"""The number of the page that must cost no more than the first."""
TURNS: Final = 1000
WARM: Final = 50
NOW: Final = datetime(2026, 11, 1, tzinfo=UTC)

ROWS: Final = """
INSERT INTO conversations (id, contact_key, property_id, guest_id, channel_type, state, assigned_to, needs_review, seq,
                           snapshot, last_message, created_at, last_activity_at)
SELECT id, left(id, 26), $1, 'guest-' || n, channel, state, assigned, n % 500 = 0, 3,
       jsonb_build_object('conversationId', id, 'guestId', 'guest-' || n, 'propertyId', $1::text, 'state', state,
                          'messageCount', 3, 'createdAt', at, 'lastMessageAt', at, 'channelType', channel,
                          'guestName', 'Guest ' || n, 'assignedTo', assigned, 'priority', 'normal', 'seq', 3,
                          'needsReview', n % 500 = 0, 'workflowId', 'conversation-' || left(id, 26)),
       jsonb_build_object('id', 'm3', 'conversationId', id, 'seq', 3, 'author', 'ai', 'content', 'Breakfast is at 7.',
                          'createdAt', at, 'delivery', jsonb_build_object('state', 'delivered')),
       at, at
FROM (SELECT n, lpad(translate(to_hex(n), '0189', 'ghij'), 26, 'a') || '-' || lpad(to_hex(n), 8, '0') AS id,
             $2::timestamptz - n * interval '1 minute' AS at,
             (ARRAY['sms', 'whatsapp', 'email', 'webchat'])[1 + n % 4] AS channel,
             CASE WHEN n % 100 = 0 THEN 'escalated' WHEN n % 10 = 0 THEN 'active' ELSE 'resolved' END AS state,
             CASE WHEN n % 1000 = 0 THEN 'somebody' END AS assigned
      FROM generate_series(1, $3::int) AS n) AS made
"""
SAID: Final = """
INSERT INTO messages (conversation_id, id, contact_key, seq, author, content, private, created_at, delivery_state)
SELECT id, 'm' || said, contact_key, said, CASE said WHEN 3 THEN 'ai' ELSE 'guest' END,
       CASE said WHEN 3 THEN 'Breakfast is at 7.' WHEN 2 THEN 'When is breakfast?'
                 ELSE 'We are in room ' || abs(hashtext(id)) % 1000 || ' and miss an umbrella' END,
       false, created_at, 'delivered'
FROM conversations, generate_series(1, $2::int) AS said
WHERE property_id = $1 AND guest_id ~ '^guest-[0-9]+$'  -- not those that the bench has held
"""
BARE: Final = """
SELECT conversations.id, last_activity_at, snapshot, conversations.seq, last_message, delivery_state, delivery_reason
FROM conversations LEFT JOIN messages
    ON messages.conversation_id = conversations.id AND messages.id = last_message->>'id'
WHERE property_id = $1 AND (last_activity_at, conversations.id) < ($2, $3) AND {condition}
ORDER BY last_activity_at DESC, conversations.id DESC LIMIT 51
"""
SAYS: Final = """
EXISTS (SELECT FROM messages AS said WHERE said.conversation_id = conversations.id
        AND said.words @@ websearch_to_tsquery('simple', '{words}'))
"""
NAMED: Final = """
gateway_words(snapshot->>'guestName') @@ to_tsquery('simple', '{begins}')
"""
PLACE: Final = """
SELECT last_activity_at, id FROM conversations WHERE property_id = $1 ORDER BY 1 DESC, 2 DESC OFFSET $2 LIMIT 1
"""


Place = tuple[datetime, str]


@dataclass(frozen=True)
class Times:
    p50: float
    p95: float


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started


def _times(seconds: Sequence[float]) -> Times:
    parts = statistics.quantiles(seconds, n=20)
    return Times(parts[9], parts[18])


async def fill(database: asyncpg.Connection, hotel: str) -> None:
    """Inserts 100,000 conversations with three messages each, and updates statistics as autovacuum would."""
    await database.execute(ROWS, hotel, NOW, CONVERSATIONS)
    await database.execute(SAID, hotel, MESSAGES)
    await database.execute("VACUUM ANALYZE conversations, messages")
    await database.execute("CHECKPOINT")  # otherwise it would run while the first list is measured


async def _token(database_url: str, port: int, hotel: str) -> str:
    """The access token of somebody who may read the hotel's conversations."""
    database = Database(settings.Database(url=database_url))
    credentials = {"email": "bench@hotel.example", "password": "a long enough password"}
    await StaffAccounts(database).add(**credentials, name="Bench", role="agent", properties=[hotel])
    await database.close()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        return str((await http.post("/api/v1/auth/login", json=credentials)).raise_for_status().json()["accessToken"])


async def measure_lists(database_url: str, port: int, wire: Connections, hotel: str) -> list[Line]:
    """Measures the lists of a running api, over one connection, as the bare SELECT uses one."""
    headers = {"authorization": f"Bearer {await _token(database_url, port, hotel)}"}
    database = await asyncpg.connect(database_url)
    try:
        await fill(database, hotel)
        top, deep, cursor = await _places(database, hotel)
        asked: list[tuple[str, Mapping[str, str], Place, str]] = [
            ("first page", {}, top, "true"),
            (f"page {DEEP}", {"cursor": cursor}, deep, "true"),
            ("state", {"state": "escalated"}, top, "state = 'escalated'"),
            ("channel", {"channel": "email"}, top, "channel_type = 'email'"),
            ("assigned", {"assignedTo": "somebody"}, top, "assigned_to = 'somebody'"),
            ("to review", {"needsReview": "true"}, top, "needs_review"),
            ("a common word", {"q": "breakfast"}, top, SAYS.format(words="breakfast")),
            ("a rare word", {"q": "427"}, top, SAYS.format(words="427")),
            ("a name", {"q": "guest 4711"}, top, NAMED.format(begins="guest:* & 4711:*")),
        ]
        return [
            await _against_bare(database, wire, headers, f"list, {name}: p95", query, (hotel, *place, condition))
            for name, query, place, condition in asked
        ]
    finally:
        await database.close()


async def _places(database: asyncpg.Connection, hotel: str) -> tuple[Place, Place, str]:
    """Where the first page and the deep one begin, and the deep one's cursor, built as the api builds it."""
    top = await database.fetchrow(PLACE, hotel, 0)
    last = await database.fetchrow(PLACE, hotel, (DEEP - 1) * PAGE - 1)
    position = MovingPosition(at=last[0], id=last[1], top_at=top[0], top_id=top[1])
    return (NOW + timedelta(days=1), "a"), (last[0], last[1]), cursor_of(position) or ""


async def _against_bare(
    database: asyncpg.Connection,
    wire: Connections,
    headers: dict[str, str],
    name: str,
    query: Mapping[str, str],
    bare_query: tuple[str, datetime, str, str],
) -> Line:
    """Compares both. They take turns, so that a machine that slows down affects both."""
    path = f"/api/v1/conversations?{urlencode(query)}"
    *arguments, condition = bare_query
    statement = BARE.format(condition=condition)

    async def ask() -> None:
        status = await wire.request("GET", path, headers=headers)
        assert status == 200, f"{path} answered {status}"

    async def select() -> None:
        await database.fetch(statement, *arguments)

    product, bare = [], []
    for number in range(WARM + TURNS):
        of_product, of_bare = await timed(ask), await timed(select)
        if number >= WARM:
            product.append(of_product)
            bare.append(of_bare)
    return Line.ratio(name, _times(product).p95, _times(bare).p95, "ms", at_most=3)
