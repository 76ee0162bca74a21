"""The promise while guests and staff are at work and processes end, or stand still, several at a time."""

import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from contracts.messages import Message, OutboundMessage
from contracts.staff import DEMO_PROPERTY
from settings import Settings, Temporal
from tests.development import PROCESSES, Dev, running
from tests.fakes.ai import FakeAI, confident
from tests.fakes.callback import SECRET, FakeCallback
from tests.fakes.server import serving
from tests.histories import check_all, stumbled
from tests.house import ChattingGuest, Receptionist, WritingGuest
from tests.support import eventually
from workflows.connection import connect

pytestmark = [pytest.mark.usefixtures("clean_environment"), pytest.mark.long, pytest.mark.timeout(1_800)]

TROUBLES = 12
QUIET_SECONDS = (11, 17)
"""Between two troubles; longer than `gateway dev` takes to forget that something ended before."""
STANDSTILL_SECONDS = (2, 6, 12, 25)
"""From less than anybody's patience to more than anybody's, an activity's heartbeat among them."""
ON_ITS_WAY_SECONDS = 0.5
"""What the AI had begun to send when a claim was acknowledged may still arrive."""


@dataclass
class Arrivals:
    """A callback's status for every message: taken; and when each attempt arrived, in seconds since the epoch."""

    at: list[tuple[float, str]] = field(default_factory=list)

    def __call__(self, message: OutboundMessage) -> int:
        self.at.append((time.time(), message.message_id))
        return 200


@dataclass
class House:
    url: str
    http: httpx.AsyncClient
    dice: random.Random
    writing: list[WritingGuest]
    chatting: list[ChattingGuest]
    receptionists: list[Receptionist]

    @classmethod
    def at(cls, url: str, http: httpx.AsyncClient, seed: int) -> "House":
        dice = [random.Random(f"{seed} {number}") for number in range(12)]
        writing = [WritingGuest(f"+35191000{number:04}", dice.pop()) for number in range(5)]
        chatting = [ChattingGuest(dice.pop()) for _ in range(4)]
        receptionists = [Receptionist(f"{who}@{DEMO_PROPERTY}.demo", dice.pop()) for who in ("agent", "manager")]
        return cls(url, http, dice.pop(), writing, chatting, receptionists)

    @property
    def acknowledged(self) -> set[str]:
        by_guest = [guest.acknowledged for guest in self.writing] + [guest.acknowledged for guest in self.chatting]
        return set().union(*by_guest)


@dataclass
class Kept:
    """What storage holds once everything has come to rest."""

    outcomes: dict[str, dict[str, Any]] = field(default_factory=dict)
    messages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By conversation, in their order."""

    @property
    def by_id(self) -> dict[str, dict[str, Any]]:
        return {message["id"]: message for each in self.messages.values() for message in each}


async def test_the_promise_holds_though_processes_end_or_stand_still_while_everybody_works(tmp_path: Path) -> None:
    seed = int(os.environ.get("CHAOS_SEED", time.time_ns() % 10**6))
    sys.stdout.write(f"CHAOS_SEED={seed}\n")
    callback, arrivals = FakeCallback(), Arrivals()
    callback.seconds, callback.status = 0.2, arrivals
    ai = FakeAI()
    ai.seconds = 0.4
    ai.respond = lambda request: confident(request).model_copy(update={"response": "With pleasure"})
    async with serving(callback.app) as receiver, serving(ai.app) as engine:
        settings = {
            "GATEWAY_AI__ENGINE": "http",
            "GATEWAY_AI__HTTP__URL": f"{engine}/answer",
            "GATEWAY_CHANNELS__MESSAGES__SECRET": SECRET,
            "GATEWAY_CHANNELS__MESSAGES__CALLBACK_URL": f"{receiver}/callback",
            "GATEWAY_CONVERSATION__DEBOUNCE": "0",
            "GATEWAY_RATE_LIMIT__MAX_REQUESTS": "100000",
        }
        async with running(tmp_path, **settings) as dev:
            url = await dev.ready()
            async with httpx.AsyncClient(base_url=url, timeout=15, trust_env=False) as http:
                house = House.at(url, http, seed)
                await _a_day(dev, house)
                kept = await _what_is_kept(house)
                await _every_answer_is_told_once_and_in_order(house, kept, callback)
                _what_staff_said_has_left(house, kept, callback)
                _the_ai_is_silent_while_a_person_has_the_conversation(house, kept, arrivals)
                await _every_page_shows_everything(house, kept)
            await _histories_hold(dev)
    by_author = Counter(message["author"] for message in kept.by_id.values())
    again = len(callback.attempts) - len(callback.received)
    sys.stdout.write(f"{dict(by_author)}, {again} sent again under their id\n")


async def _a_day(dev: Dev, house: House) -> None:
    over = asyncio.Event()
    printing = asyncio.create_task(dev.listen())
    async with asyncio.TaskGroup() as day:
        for guest in house.writing:
            day.create_task(guest.writes(house.http, over))
        for visitor in house.chatting:
            day.create_task(visitor.writes(house.url, over))
        for receptionist in house.receptionists:
            day.create_task(receptionist.works(house.http, over))
        await _troubles(dev, house.dice)
        over.set()
    printing.cancel()
    await asyncio.wait([printing])


async def _troubles(dev: Dev, dice: random.Random) -> None:
    """One to three processes are killed, or stand still for a while each; then there is quiet."""
    for _ in range(TROUBLES):
        await asyncio.sleep(dice.uniform(*QUIET_SECONDS))
        names = dice.sample(sorted(PROCESSES), dice.choice([1, 1, 2, 3]))
        troubled = {name: dice.choice(STANDSTILL_SECONDS) if dice.random() < 0.6 else 0 for name in names}
        sys.stdout.write(f"seconds of standing still, 0 is killed: {troubled}\n")
        await asyncio.gather(*(_is_troubled(PROCESSES[name](dev), seconds) for name, seconds in troubled.items()))


async def _is_troubled(process: psutil.Process, still_seconds: float) -> None:
    if not still_seconds:
        process.kill()
        return
    family = [process, *process.children(recursive=True)]
    for move in (psutil.Process.suspend, psutil.Process.resume):
        for each in family:
            with suppress(psutil.NoSuchProcess):  # ended by one that watches over it
                move(each)
        if move is psutil.Process.suspend:
            await asyncio.sleep(still_seconds)


# --- what must be so -----------------------------------------------------------------------------------------------


async def _what_is_kept(house: House) -> Kept:
    """Waits until every acknowledged message has its outcome; then reads everything."""
    manager, http, kept = house.receptionists[-1], house.http, Kept()

    async def settled() -> bool:
        kept.outcomes.clear()
        for each in await manager.all_of(http, "/conversations"):
            for outcome in await manager.all_of(http, f"/conversations/{each['conversationId']}/outcomes"):
                assert kept.outcomes.setdefault(outcome["messageId"], outcome) is outcome, "two outcomes"
        return house.acknowledged <= set(kept.outcomes)

    await eventually(settled, what="an outcome of every acknowledged message", seconds=150)
    assert {each["outcome"] for each in kept.outcomes.values()} == {"answered", "handed"}

    async def nothing_is_on_its_way() -> bool:
        for each in await manager.all_of(http, "/conversations"):
            found = await manager.all_of(http, f"/conversations/{each['conversationId']}/messages")
            kept.messages[each["conversationId"]] = sorted(found, key=lambda message: message["seq"])
        return all(message["delivery"]["state"] != "queued" for message in kept.by_id.values())

    await eventually(nothing_is_on_its_way, what="the end of every delivery", seconds=60)
    return kept


async def _every_answer_is_told_once_and_in_order(house: House, kept: Kept, callback: FakeCallback) -> None:
    received = list(callback.received.values())
    assert not [each.message_id for each in received if each.message_id not in kept.by_id]
    told: dict[str, list[str]] = {author: [] for author in ("system", "ai", "staff")}
    for each in received:
        told[kept.by_id[each.message_id]["author"]] += each.in_reply_to
    for author, replied_to in told.items():
        assert not [message_id for message_id, times in Counter(replied_to).items() if times > 1], author
        for guest in house.writing:
            mine = [each for each in replied_to if each in guest.acknowledged]
            assert mine == [each for each in guest.acknowledged if each in mine], author
    for guest in house.writing:
        answered = [each for each in guest.acknowledged if kept.outcomes[each]["outcome"] == "answered"]
        assert set(answered) <= set(told["ai"])
    _a_notice_comes_before_the_answer(received, kept)
    for conversation_id in kept.messages:
        seqs = [kept.by_id[each.message_id]["seq"] for each in received if each.conversation_id == conversation_id]
        assert seqs == sorted(seqs), conversation_id


def _a_notice_comes_before_the_answer(received: list[OutboundMessage], kept: Kept) -> None:
    """A guest may be told that people have a message, and get its answer once they have returned it to the AI."""
    answered: set[str] = set()
    for each in received:
        if kept.by_id[each.message_id]["author"] == "ai":
            answered.update(each.in_reply_to)
        else:
            assert not answered.intersection(each.in_reply_to)


def _what_staff_said_has_left(house: House, kept: Kept, callback: FakeCallback) -> None:
    said = {message_id for receptionist in house.receptionists for message_id in receptionist.said}
    assert said
    assert said <= set(kept.by_id)
    assert {kept.by_id[message_id]["delivery"]["state"] for message_id in said} == {"sent"}
    by_channel = {each for each in said if kept.by_id[each]["conversationId"] in _of_writing(kept, callback)}
    assert by_channel <= set(callback.received)


def _of_writing(kept: Kept, callback: FakeCallback) -> set[str]:
    """Conversations of the generic channel."""
    return {each.conversation_id for each in callback.received.values()}


def _the_ai_is_silent_while_a_person_has_the_conversation(house: House, kept: Kept, arrivals: Arrivals) -> None:
    claims = [claim for receptionist in house.receptionists for claim in receptionist.claims]
    assert claims
    for at, message_id in arrivals.at:
        message = kept.by_id[message_id]
        if message["author"] == "ai":
            assert not [
                claim
                for claim in claims
                if claim.conversation_id == message["conversationId"]
                and claim.since + ON_ITS_WAY_SECONDS < at < claim.until
            ]


async def _every_page_shows_everything(house: House, kept: Kept) -> None:
    for visitor in house.chatting:
        await visitor.connects(house.url)
        assert visitor.seen()
        for conversation_id, ids in visitor.seen().items():
            assert ids == [message["id"] for message in kept.messages[conversation_id] if _is_for_guests(message)]


def _is_for_guests(message: dict[str, Any]) -> bool:
    return Message.model_validate(message).visible_to_guest


async def _histories_hold(dev: Dev) -> None:
    """As Temporal kept them, whatever storage says."""
    environment = PROCESSES["worker"](dev).environ()
    temporal = Temporal(
        address=environment["GATEWAY_TEMPORAL__ADDRESS"],
        codec_keys=json.loads(environment["GATEWAY_TEMPORAL__CODEC_KEYS"]),
    )
    client = await connect(Settings(temporal=temporal))
    assert await check_all(client, DEMO_PROPERTY)
    assert await stumbled(client, DEMO_PROPERTY) == []
