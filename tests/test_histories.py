"""The stored histories keep the rules of `tests.story`, and a history that breaks one is seen."""

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from contracts.names import CONVERSATION_WORKFLOW
from tests.histories import Contact, read
from tests.replay.store import HISTORIES, converter, kept, load
from tests.story import Attempt, check, check_contact

CONVERSATIONS: dict[str, list[Path]] = defaultdict(list)
"""Stored runs by contact, oldest first. What is in another folder under the same name was another contact."""
for _path in kept():
    _started = load(_path).events[0].workflow_execution_started_event_attributes
    if _started.workflow_type.name == CONVERSATION_WORKFLOW:
        _scene = _path.name.partition(".")[0].partition("-")[0]
        CONVERSATIONS[_scene if _path.parent == HISTORIES else f"{_path.parent.name}/{_scene}"].append(_path)


async def _contact(name: str) -> Contact:
    return await read([load(path) for path in CONVERSATIONS[name]], converter())


@pytest.mark.parametrize("name", CONVERSATIONS)
async def test_a_stored_conversation_keeps_the_rules(name: str) -> None:
    contact = await _contact(name)
    assert contact.stories
    check_contact(contact.stories, contact.received)


async def test_all_is_read_of_a_history() -> None:
    """Over several runs, each event once, with the attempts of every message that was sent."""
    (story,) = (await _contact("going_on_in_a_new_run")).stories
    sent = [message.id for message in story.messages.values() if message.author != "guest"]
    assert [attempt.message_id for attempt in story.attempts] == sent
    assert len(story.from_guest) == len(story.outcomes) >= 4
    (retried,) = (await _contact("a_channel_that_heals")).stories
    assert len(retried.attempts) == 3
    (lost,) = (await _contact("a_channel_that_refuses_for_good")).stories
    assert [each.delivery.state for each in lost.messages.values() if each.author == "ai"] == ["failed"]


async def test_an_attempt_of_the_ai_after_a_claim_is_seen() -> None:
    (story,) = (await _contact("a_claim_with_a_running_answer")).stories
    escalated = next(event for event in story.events if event.change == "escalated")
    acknowledged = story.acknowledged[escalated.seq]
    assert acknowledged >= escalated.at
    first = next(each for each in story.messages.values() if each.author == "ai")
    late = Attempt(first.id, acknowledged + timedelta(microseconds=1))
    with pytest.raises(AssertionError, match="while a person had the conversation"):
        check(replace(story, attempts=[*story.attempts, late]))
