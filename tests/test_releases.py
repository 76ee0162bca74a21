"""A release while conversations live: what began on today's code ends on a changed one, and both serve for a while."""

import asyncio
import shutil
from collections import Counter
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import TypeVar

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus, WorkflowHistory

import worker
from contracts.conversations import ConversationState
from tests.fakes.ai import FakeAI
from tests.histories import check_all
from tests.processes import ROOT, worker_process
from tests.support import Guest, Stack, command

GUESTS = 200
AT_ONCE = 16
SOURCES = ("activities", "api", "console", "contracts", "embedded", "workflows")
FILES = ("cli.py", "gateway.yaml", "settings.py", "worker.py")

BEFORE = '''        """Lets a burst of messages become one turn; a claim ends the wait."""
'''
PATCH = "a-breath-before-each-turn"
AFTER = f"""{BEFORE}        if workflow.patched("{PATCH}"):
            await workflow.sleep(timedelta(milliseconds=10))
"""

T = TypeVar("T")


async def test_two_hundred_conversations_outlive_a_release(stack: Stack, ai: FakeAI, tmp_path: Path) -> None:
    changed = _changed_release(tmp_path / "release")
    guests = [stack.guest() for _ in range(GUESTS)]
    async with worker_process(stack.settings) as old:
        await _at_once([guest.ask("Hello?") for guest in guests])
        # While the new release starts, guests go on writing; whoever is asked for a turn answers it.
        rolling = asyncio.create_task(_at_once([guest.ask("When is breakfast?") for guest in guests]))
        async with worker_process(stack.settings, changed):
            await rolling
            await _at_once([guest.ask("And dinner?") for guest in guests[: GUESTS // 2]])
            old.terminate()
            assert await old.wait() == 0
            for outcome in await _at_once([guest.ask("Thank you") for guest in guests]):
                assert outcome.outcome == "answered"
            await _at_once([_resolved(stack, guest) for guest in guests])
            await _at_once([guest.handle.result() for guest in guests])
    histories = await _at_once([guest.handle.fetch_history() for guest in guests])
    assert [failure for history in histories for failure in _failed_tasks(history)] == []
    builds = Counter(tuple(_builds(history)) for history in histories)
    assert {build[0] for build in builds} == {worker.build_id()}
    assert {len(build) for build in builds} == {2}, builds
    assert {_patches(history) for history in histories} == {1}
    statuses = Counter([(await guest.handle.describe()).status for guest in guests])
    assert statuses == {WorkflowExecutionStatus.COMPLETED: GUESTS}
    assert await check_all(stack.client, stack.hotel) == GUESTS


def _changed_release(root: Path) -> Path:
    """The source tree with one more command in every turn, gated as a release must."""
    for folder in SOURCES:
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in FILES:
        shutil.copy(ROOT / file, root / file)
    turn = root / "workflows" / "turn.py"
    source = turn.read_text()
    assert source.count(BEFORE) == 1
    turn.write_text(source.replace(BEFORE, AFTER))
    return root


async def _resolved(stack: Stack, guest: Guest) -> None:
    resolved = await stack.conversations.resolve(command(await guest.conversation()))
    assert resolved.state is ConversationState.RESOLVED


async def _at_once(work: Sequence[Awaitable[T]]) -> list[T]:
    """Does all, a few at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(each: Awaitable[T]) -> T:
        async with gate:
            return await each

    return await asyncio.gather(*(one(each) for each in work))


def _failed_tasks(history: WorkflowHistory) -> list[str]:
    failed = (each.workflow_task_failed_event_attributes for each in history.events if _is_failure(each.event_type))
    return [f"{each.cause}: {each.failure.message}" for each in failed]


def _is_failure(kind: EventType.ValueType) -> bool:
    return kind == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED


def _builds(history: WorkflowHistory) -> list[str]:
    """Builds that took the conversation's tasks, in order."""
    done = (each.workflow_task_completed_event_attributes for each in history.events)
    return list(dict.fromkeys(each.deployment_version.build_id for each in done if each.deployment_version.build_id))


def _patches(history: WorkflowHistory) -> int:
    """How often a conversation found that it is new enough for the change: told once a run."""
    markers = (each.marker_recorded_event_attributes for each in history.events)
    return sum(each.marker_name == "core_patch" for each in markers)
