"""Which workers ask the AI: the conversation's own where that only computes, those of the AI where others are asked."""

import pytest

from contracts.names import TaskQueue
from settings import Property, Settings
from tests.fakes.ai import FakeAI
from tests.replay.conftest import KNOWLEDGE
from tests.support import Guest, Stack, workers
from workflows.rules import conversation_policy


@pytest.mark.parametrize(
    ("ai", "at_once"),
    [
        ({}, True),
        ({"fallback": ["embedded"]}, True),
        ({"fallback": ["http"]}, False),
        ({"engine": "http"}, False),
        ({"engine": "llm", "fallback": ["embedded"]}, False),
    ],
)
def test_only_what_computes_is_asked_at_once(ai: dict[str, object], at_once: bool) -> None:
    settings = Settings()
    settings.properties = {"own": Property.model_validate({"name": "Own", "ai": ai})}
    assert conversation_policy(settings, "own", "sms").answers_at_once is at_once
    settings.integration.http.url = "http://hotel.test"
    assert not conversation_policy(settings, "own", "sms").answers_at_once


async def test_the_embedded_engine_needs_no_worker_of_the_ai(stack: Stack) -> None:
    stack.settings.properties[stack.hotel].knowledge = str(KNOWLEDGE)
    guest = stack.guest()
    async with workers(stack.settings, stack.client, [TaskQueue.GATEWAY]):
        assert (await guest.ask("What time is breakfast?")).outcome == "answered"
    assert await _asked_at(guest) == [TaskQueue.GATEWAY]


async def test_an_engine_of_others_is_asked_by_workers_of_its_own(working: None, stack: Stack, ai: FakeAI) -> None:
    guest = stack.guest()
    assert (await guest.ask("What time is breakfast?")).outcome == "answered"
    assert await _asked_at(guest) == [TaskQueue.AI]


async def _asked_at(guest: Guest) -> list[str]:
    """The task queues of the questions to the AI."""
    scheduled = [
        event.activity_task_scheduled_event_attributes for event in (await guest.handle.fetch_history()).events
    ]
    return [each.task_queue.name for each in scheduled if each.activity_type.name == "answer"]
