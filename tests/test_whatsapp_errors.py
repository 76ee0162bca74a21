"""Errors of WhatsApp that we have no code of: what Meta says of them decides, and is told to staff."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from activities.channels.port import MediaError
from activities.channels.whatsapp import told_of
from activities.channels.whatsapp_content import MEDIA_URL
from activities.channels.whatsapp_sender import WhatsApp
from activities.storage.database import Database
from activities.storage.delivery_reports import DeliveryReports
from activities.storage.log_writer import LiveStream
from contracts.conversations import ConversationState
from contracts.messages import Attachment
from settings import Settings
from tests.api import Api
from tests.fakes.ai import FakeAI
from tests.fakes.graph import FakeGraph
from tests.support import Stack
from tests.whatsapp import change, delivered, guest, notification, number, post, reply_of, status, text, write

UNKNOWN = 987654
NEWS = {"message": f"(#{UNKNOWN}) New", "error_data": {"details": "Groups are not served to +351 910 000 000"}}
TOLD = f"WhatsApp error {UNKNOWN}: Groups are not served to …"


@pytest.fixture
async def whatsapp(settings: Settings, graph: FakeGraph, database: Database, redis: Redis) -> AsyncIterator[WhatsApp]:
    adapter = WhatsApp(settings, DeliveryReports(database, LiveStream(redis)))
    yield adapter
    await adapter.close()


async def test_an_unknown_error_that_passes_is_waited_out(
    api: Api, stack: Stack, working: None, ai: FakeAI, graph: FakeGraph, hotel: str
) -> None:
    sender, answer = number(), "Answer to When is breakfast?"
    graph.refuse[answer], graph.errors[UNKNOWN] = [UNKNOWN], {**NEWS, "is_transient": True}
    await write(api, hotel, text(sender, "When is breakfast?"))
    await delivered(stack, await reply_of(guest(stack, sender)), "sent")
    assert [each["text"]["body"] for each in graph.attempts] == [answer, answer]


@pytest.mark.parametrize("says", [{}, {"is_transient": False}, {"is_transient": "true"}], ids=str)
async def test_any_other_unknown_error_goes_to_staff_in_metas_words(
    api: Api, stack: Stack, working: None, ai: FakeAI, graph: FakeGraph, hotel: str, says: dict[str, Any]
) -> None:
    sender, answer = number(), "Answer to When is breakfast?"
    graph.refuse[answer], graph.errors[UNKNOWN] = [UNKNOWN], {**NEWS, **says}
    await write(api, hotel, text(sender, "When is breakfast?"))
    row = await delivered(stack, await reply_of(guest(stack, sender)), "failed")
    assert row["delivery_reason"] == TOLD
    assert len(graph.attempts) == 1
    await guest(stack, sender).reaches(lambda each: each.state is ConversationState.ESCALATED, "staff to be asked")


async def test_an_unknown_error_that_is_reported_later_has_metas_words(
    api: Api, stack: Stack, working: None, ai: FakeAI, graph: FakeGraph, hotel: str
) -> None:
    sender = number()
    await write(api, hotel, text(sender, "When is breakfast?"))
    message = await reply_of(guest(stack, sender))
    await delivered(stack, message, "sent")
    [taken] = graph.taken
    report = status(taken.reference, "failed", taken.wamid, errors=[{"code": UNKNOWN, **NEWS}])
    assert (await post(api, hotel, notification(change(statuses=[report])))).status_code == 200
    assert (await delivered(stack, message, "failed"))["delivery_reason"] == TOLD


@pytest.mark.parametrize("transient", [True, False])
async def test_a_file_comes_later_if_the_error_passes(
    whatsapp: WhatsApp, graph: FakeGraph, hotel: str, transient: bool
) -> None:
    graph.media_codes, graph.errors[UNKNOWN] = [(UNKNOWN, 400)], {"is_transient": transient}
    photo = Attachment(id="1", name="a.jpg", content_type="image/jpeg", url=f"{MEDIA_URL}1")
    with pytest.raises(MediaError) as refused:
        [each async for each in whatsapp.fetch_media(hotel, photo)]
    assert refused.value.retryable is transient


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ({"title": "Odd", "error_data": {"details": "Very\nodd"}}, "Very odd"),
        ({"title": "Odd", "error_data": {}}, "Odd"),
        ({"title": "Odd", "message": "(#1) Odder", "error_data": "x"}, "(#1) Odder"),
        ({"message": "m" * 300}, "m" * 200),
        ({"message": "to 351910000000, or (910) 000-0000"}, "to …, or (…"),
        ({"message": 1}, None),
        ({}, None),
        ([], None),
    ],
)
def test_what_meta_says_of_an_error_names_nobody(error: Any, told: str | None) -> None:
    assert told_of(error) == told
