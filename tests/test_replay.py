"""What conversations and tasks did before, today's code does again: every stored history is replayed."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import workflow
from temporalio.worker import Replayer

from contracts.conversations import ConversationState
from contracts.rules import SurveyRules
from tests.replay.store import EARLIER, HISTORIES, converter, kept, load, scenes
from workflows import surveys, transitions
from workflows.automation import AutomationWorkflow
from workflows.conversation import ConversationWorkflow
from workflows.follow_up import FollowUp
from workflows.record import Record
from workflows.sandbox import Sandbox
from workflows.task import TaskWorkflow
from workflows.turn import TurnTaker
from workflows.webhook_delivery import WebhookDeliveryWorkflow

AGAIN = "record them anew: python -m tests.replay.record"


async def replay(path: Path) -> None:
    replayer = Replayer(
        workflows=[AutomationWorkflow, ConversationWorkflow, TaskWorkflow, WebhookDeliveryWorkflow],
        workflow_runner=Sandbox(),
        data_converter=converter(),
    )
    await replayer.replay_workflow(load(path))


@pytest.mark.parametrize("path", kept(), ids=lambda path: f"{path.parent.name}-{path.name.partition('.')[0]}")
async def test_a_stored_history_is_replayed(path: Path) -> None:
    await replay(path)


def test_every_scene_is_stored() -> None:
    stored = {path.name.partition(".")[0].partition("-")[0] for path in kept(HISTORIES)}
    assert set(scenes()) - stored == set(), AGAIN
    assert sum(path.stat().st_size for path in kept()) < 1_000_000


def test_a_conversation_that_goes_on_is_stored_run_by_run() -> None:
    assert len([path for path in kept() if path.name.startswith("going_on_in_a_new_run-")]) >= 2, AGAIN


async def _pauses() -> None:
    """A command that was not there before."""
    await workflow.sleep(timedelta(seconds=1))


async def _pauses_if_new() -> None:
    """The same as a release must make it."""
    if workflow.patched("a-pause-before-the-look-up"):
        await _pauses()


def _changed_look_up(monkeypatch: pytest.MonkeyPatch, change: Callable[[], Any]) -> None:
    before = TurnTaker._look_up

    async def look_up(self: TurnTaker) -> None:
        await change()
        await before(self)

    monkeypatch.setattr(TurnTaker, "_look_up", look_up)


def _from_before() -> Path:
    """It was asked while an answer was leaving, and resolved before guests were asked for a rating."""
    return EARLIER / "quick_answers_and_a_summary.json.gz"


async def test_a_change_of_commands_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    _changed_look_up(monkeypatch, _pauses)
    with pytest.raises(workflow.NondeterminismError):
        await replay(_from_before())


async def test_a_gated_change_is_none_to_who_began_before(monkeypatch: pytest.MonkeyPatch) -> None:
    _changed_look_up(monkeypatch, _pauses_if_new)
    await replay(_from_before())


async def test_who_was_asked_while_an_answer_left_is_asked_so_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ungated(self: TurnTaker) -> None:
        await workflow.wait_condition(lambda: not self._drain.is_flying)

    monkeypatch.setattr(TurnTaker, "_let_delivery_end", ungated)
    with pytest.raises(workflow.NondeterminismError):
        await replay(_from_before())


async def test_a_task_left_out_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only what is added: what is not done any more, too."""

    async def nothing(self: TurnTaker) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(TurnTaker, "_look_up", nothing)
    with pytest.raises(workflow.NondeterminismError):
        await replay(_from_before())


def _asks(record: Record, now: datetime) -> bool:
    """As rules would have it that came from a newer api while older workers still ran."""
    record.policy.survey = SurveyRules()
    return record.state is ConversationState.RESOLVED


async def test_what_was_resolved_before_guests_were_asked_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveys, "is_due", _asks)
    await replay(_from_before())

    def ungated(self: FollowUp) -> None:
        transitions.ask_for_rating(self._record, workflow.now())
        self._changed()

    monkeypatch.setattr(FollowUp, "_ask_for_rating", ungated)
    with pytest.raises(workflow.NondeterminismError):
        await replay(_from_before())
