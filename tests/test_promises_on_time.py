"""Promises over days in which clocks change, with a weekend, a holiday and workers that are down when they fall due."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from temporalio.testing import WorkflowEnvironment

from activities.storage.database import Database
from contracts.commands import Snooze
from contracts.conversations import ConversationState
from contracts.messages import Author
from contracts.rules import ConversationPolicy, Period, Weekday
from settings import Hours, ServiceLevels, Settings
from tests.fakes.ai import FakeAI
from tests.support import ANA, Guest, Stack, eventually, reply, workers_without_deployment
from workflows.client import Conversations

LISBON = ZoneInfo("Europe/Lisbon")
WORKDAYS: tuple[Weekday, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday")
DAY = [Period(opens=time(9), closes=time(13)), Period(opens=time(14), closes=time(18))]
NIGHT = [Period(opens=time(0), closes=time(4)), Period(opens=time(10), closes=time(12))]
"""The night of the change is open, so that an hour of it is missing or comes twice."""
FIRST_RESPONSE_MS = 7 * 3600 * 1000
MINUTE = timedelta(minutes=1)
LATE_AT_MOST = timedelta(seconds=30)
"""What a loaded machine may take to do what is due."""
ASKING = "I want to talk to a person"


@dataclass
class Weekend:
    """The weekend on which clocks change, seen from the hotel."""

    stack: Stack
    environment: WorkflowEnvironment
    sunday: date
    working: Callable[[], AbstractAsyncContextManager[None]]
    mortal: Callable[[], AbstractAsyncContextManager[None]]
    """Workers that others may follow."""

    def local(self, days_from_sunday: int, hour: int, minute: int = 0) -> datetime:
        """A local time, which must not be one that the change takes away or brings twice."""
        day = self.sunday + timedelta(days=days_from_sunday)
        return datetime.combine(day, time(hour, minute), LISBON).astimezone(UTC)

    @property
    def is_in_spring(self) -> bool:
        """An hour of the night is missing; in autumn one comes twice."""
        return self.local(0, 12) - self.local(-1, 12) < timedelta(days=1)

    async def now(self) -> datetime:
        return (await self.environment.get_current_time()).astimezone(UTC)

    async def until(self, moment: datetime) -> None:
        """Lets time pass; the moment must be one to come."""
        left = moment - await self.now()
        assert left > timedelta(0), f"{moment} has passed"
        await self.environment.sleep(left)

    async def without_workers_until(self, moment: datetime, *, past: datetime) -> None:
        """The same while no worker lives and the timer that ends at `past` fires into the void.

        The server does not skip time while a workflow task waits, unless it is told once more that it may: by another
        sleep to the same moment, with whose end it stops skipping.
        """
        passing = asyncio.create_task(self.until(moment))

        async def fired() -> bool:
            return await self.now() >= past

        await eventually(fired, what="the timer to fire")
        if not passing.done():
            await self.until(moment)
        await passing

    async def guest_writes(self, guest: Guest, content: str) -> None:
        now = await self.now()
        message_id = await guest.write(content, sent_at=now)
        assert (await guest.outcome(message_id)).outcome == "handed"

    async def told(self, guest: Guest, kind: str, audience: str) -> list[datetime]:
        """When staff were notified so, once storage has all that the conversation told."""
        await self.stack.stored(await guest.conversation())
        rows = await self.stack.rows(
            "SELECT at FROM notifications WHERE property_id = :id AND kind = :kind AND audience = :audience"
            " ORDER BY at",
            id=self.stack.hotel,
            kind=kind,
            audience=audience,
        )
        return [at for row in rows if isinstance(at := row["at"], datetime)]


@pytest.fixture(params=[0, 1], ids=["the next change", "the one after"])
async def weekend(
    request: pytest.FixtureRequest,
    skipping_server: WorkflowEnvironment,
    settings: Settings,
    hotel: str,
    database: Database,
    ai: FakeAI,
) -> Weekend:
    """Friday, ten minutes to five, before the clocks of Lisbon change: one of the two is in spring, one in autumn."""
    client = skipping_server.client
    stack = Stack(settings, client, Conversations(client, settings), hotel, database)
    today = (await skipping_server.get_current_time()).astimezone(LISBON).date()
    sunday = _days_of_change(today + timedelta(days=4))[request.param]
    here = settings.properties[hotel]
    here.hours = Hours(
        weekly=dict.fromkeys(WORKDAYS, DAY) | {"sunday": NIGHT}, holidays={sunday + timedelta(days=1): []}
    )
    level = ServiceLevels(first_response=FIRST_RESPONSE_MS, next_response=FIRST_RESPONSE_MS)
    here.service_levels = {"normal": level, "high": level}
    working = partial(workers_without_deployment, settings, client)
    found = Weekend(stack, skipping_server, sunday, working, mortal=partial(working, max_cached_workflows=0))
    await found.until(found.local(-2, 16, 50))
    return found


def _days_of_change(first: date) -> list[date]:
    """The next two days whose noons are not a day after the last."""
    noons = [datetime.combine(first + timedelta(days=n), time(12), LISBON) for n in range(400)]
    return [after.date() for before, after in pairwise(noons) if before.utcoffset() != after.utcoffset()][:2]


def _promised(weekend: Weekend) -> tuple[datetime, datetime]:
    """When a guest who asks at five on Friday is due: the reminder after 3.5 open hours and the end after 7.

    Friday gives one hour, the night of the change three or five, Sunday's noon two, the holiday nothing.
    """
    midnight = weekend.local(0, 0)
    reminder = midnight + timedelta(hours=2, minutes=30)
    return reminder, weekend.local(2, 10) if weekend.is_in_spring else weekend.local(0, 11)


async def _asks_at_five(weekend: Weekend) -> tuple[Guest, list[datetime]]:
    """A guest whose promise runs by the minute; the moments of reminder and breach."""
    guest = weekend.stack.guest()
    await weekend.until(weekend.local(-2, 17))
    await weekend.guest_writes(guest, ASKING)
    conversation = await guest.conversation()
    asked_after = conversation.created_at - weekend.local(-2, 17)
    assert asked_after < LATE_AT_MOST
    moments = [moment + asked_after for moment in _promised(weekend)]
    assert conversation.response_due_at is not None
    assert abs(conversation.response_due_at - moments[1]) < LATE_AT_MOST
    await weekend.until(weekend.local(-2, 17, 5))  # all is told by now
    return guest, moments


def _assert_once(told: list[datetime], at: datetime) -> None:
    assert len(told) == 1
    assert timedelta(0) <= told[0] - at + LATE_AT_MOST <= 2 * LATE_AT_MOST


async def test_a_reminder_and_a_breach_come_once_and_on_time(weekend: Weekend) -> None:
    async with weekend.working():
        guest, (reminder, breach) = await _asks_at_five(weekend)
        quiet = await _events(guest)
        await weekend.until(reminder - MINUTE)
        assert await weekend.told(guest, "sla", "everyone") == []
        assert await _events(guest) == quiet
        await weekend.until(reminder + MINUTE)
        _assert_once(await weekend.told(guest, "sla", "everyone"), reminder)
        quiet = await _events(guest)
        await weekend.until(breach - MINUTE)
        assert await weekend.told(guest, "sla", "managers") == []
        assert await _events(guest) == quiet
        await weekend.until(breach + MINUTE)
        _assert_once(await weekend.told(guest, "sla", "managers"), breach)
        quiet = await _events(guest)
        await weekend.until(weekend.local(9, 12))
        assert await _events(guest) == quiet
        _assert_once(await weekend.told(guest, "sla", "everyone"), reminder)
        _assert_once(await weekend.told(guest, "sla", "managers"), breach)
        conversation = await guest.conversation()
        said = [each.content for each in await guest.messages() if each.author is Author.SYSTEM]
    assert (conversation.state, conversation.priority) == (ConversationState.ESCALATED, "high")
    assert said.count(ConversationPolicy().breach_text) == 1


async def test_what_falls_due_while_no_worker_lives_is_done_once_at_the_restart(weekend: Weekend) -> None:
    async with weekend.mortal():
        guest, (reminder, breach) = await _asks_at_five(weekend)
    restart = reminder + timedelta(minutes=20)
    await weekend.without_workers_until(restart, past=reminder)
    async with weekend.mortal():
        await guest.reaches(lambda each: each.seq > 0, "the conversation to live again")
        _assert_once(await _as_soon_as_told(weekend, guest, "everyone"), restart)
    restart = breach + timedelta(days=2)
    await weekend.without_workers_until(restart, past=breach)
    async with weekend.mortal():
        await guest.reaches(lambda each: each.priority == "high", "the breach to be seen")
        _assert_once(await _as_soon_as_told(weekend, guest, "managers"), restart)
        await weekend.until(restart + timedelta(days=3))
        assert len(await weekend.told(guest, "sla", "everyone")) == 1
        assert len(await weekend.told(guest, "sla", "managers")) == 1


async def test_with_both_due_only_the_breach_is_told(weekend: Weekend) -> None:
    async with weekend.mortal():
        guest, (reminder, breach) = await _asks_at_five(weekend)
    restart = breach + timedelta(hours=1)
    await weekend.without_workers_until(restart, past=reminder)
    async with weekend.mortal():
        _assert_once(await _as_soon_as_told(weekend, guest, "managers"), restart)
        await weekend.until(restart + timedelta(days=3))
        assert await weekend.told(guest, "sla", "everyone") == []
        assert len(await weekend.told(guest, "sla", "managers")) == 1
        told = [each.content for each in await guest.messages()]
    assert told.count(ConversationPolicy().breach_text) == 1


async def test_a_snooze_ends_on_time_or_at_the_guests_word(weekend: Weekend) -> None:
    stack, until = weekend.stack, weekend.local(0, 11)
    early, late = stack.guest(), stack.guest()
    async with weekend.working():
        for guest in (early, late):
            await weekend.guest_writes(guest, ASKING)
            conversation = await guest.conversation()
            await stack.conversations.reply(reply(conversation, "I will look into it"))
            snooze = Snooze(conversation_id=conversation.conversation_id, by=ANA, until=until)
            assert (await stack.conversations.snooze(snooze)).snoozed_until == until
        await weekend.until(weekend.local(-1, 15))
        await weekend.guest_writes(early, "Any news?")
        assert (await early.conversation()).snoozed_until is None
        await weekend.until(until - MINUTE)
        assert (await late.conversation()).snoozed_until == until
        assert await weekend.told(late, "system", "everyone") == []
        await weekend.until(until + MINUTE)
        woken = await late.conversation()
        assert (woken.snoozed_until, woken.assigned_to) == (None, ANA.id)
        _assert_once(await weekend.told(late, "system", "everyone"), until)


async def test_a_guest_learns_when_somebody_is_back(weekend: Weekend) -> None:
    guest = weekend.stack.guest()

    async def told() -> list[str]:
        return [each.content for each in await guest.messages() if "away" in each.content]

    def back(days_from_sunday: int, hour: int) -> str:
        return f"{weekend.local(days_from_sunday, hour).astimezone(LISBON):%A, %d %B, %H:%M}"

    async with weekend.working():
        await weekend.until(weekend.local(-2, 18, 30))
        await weekend.guest_writes(guest, ASKING)
        assert [back(0, 0) in each for each in await told()] == [True]
        await weekend.until(weekend.local(-1, 12))
        await weekend.guest_writes(guest, "Hello?")
        assert len(await told()) == 1  # they know
        await weekend.until(weekend.local(0, 5))
        await weekend.guest_writes(guest, "Nobody there?")
        assert back(0, 10) in (await told())[1]
        await weekend.until(weekend.local(0, 11))
        await weekend.guest_writes(guest, "Good morning")
        assert len(await told()) == 2
        await weekend.until(weekend.local(1, 10))  # the holiday
        await weekend.guest_writes(guest, "And today?")
        assert back(2, 9) in (await told())[2]
        assert len(await told()) == 3


async def test_an_escalated_conversation_closes_at_its_limit_and_no_sooner(weekend: Weekend) -> None:
    async with weekend.mortal():
        guest, _ = await _asks_at_five(weekend)
        await weekend.until(weekend.local(9, 12))
        last = (await guest.conversation()).last_message_at
        assert last is not None
        limit = last + ConversationPolicy().escalated_timeout
        await weekend.until(limit - MINUTE)
        assert (await guest.conversation()).state is ConversationState.ESCALATED
    restart = limit + timedelta(hours=3)
    await weekend.without_workers_until(restart, past=limit)
    async with weekend.mortal():
        await guest.handle.result()
        _assert_once(await weekend.told(guest, "system", "managers"), restart)


async def _as_soon_as_told(weekend: Weekend, guest: Guest, audience: str) -> list[datetime]:
    return await eventually(lambda: weekend.told(guest, "sla", audience), what=f"a notice to {audience}")


async def _events(guest: Guest) -> int:
    return len((await guest.handle.fetch_history()).events)
