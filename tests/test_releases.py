"""A release while conversations live: what began on today's code ends on a changed one, and both serve for a while."""

import asyncio
import shutil
from collections import Counter
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from temporalio.client import WorkflowHistory

import worker
from contracts.commands import Command
from contracts.conversations import ConversationState
from tests.fakes.ai import FakeAI
from tests.histories import failed_tasks, read
from tests.processes import ROOT, worker_process
from tests.story import check_contact
from tests.support import ANA, Stack, eventually
from workflows.deployment import Release

GUESTS = 200
AT_ONCE = 16
SOURCES = ("activities", "api", "console", "contracts", "embedded", "settings", "workflows")
FILES = ("cli.py", "gateway.yaml", "worker.py")

PATCH = "a-breath-before-a-summary"
BEFORE = """        state = record.state
        handle = self._start_summary()
"""
AFTER = f"""        if workflow.patched("{PATCH}"):
            await workflow.sleep(0.01)
{BEFORE}"""

T = TypeVar("T")


@pytest.mark.timeout(400)  # a third of it on two idle cores
async def test_two_hundred_conversations_outlive_a_release(stack: Stack, ai: FakeAI, tmp_path: Path) -> None:
    changed = _changed_release(tmp_path / "release")
    guests = [stack.guest() for _ in range(GUESTS)]
    async with worker_process(stack.settings) as old:
        await _at_once([guest.write("Hello?") for guest in guests])
        await _are_answered(stack, GUESTS)
        # While the new release starts, guests go on writing; whoever is asked for a turn answers it.
        rolling = asyncio.create_task(_at_once([guest.write("When is breakfast?") for guest in guests]))
        async with worker_process(stack.settings, changed):
            await rolling
            await _are_answered(stack, 2 * GUESTS)
            await _at_once([guest.write("Thank you") for guest in guests])
            old.terminate()
            assert await old.wait() == 0
            await _are_answered(stack, 3 * GUESTS)
            await _at_once([_resolved(stack, conversation_id) for conversation_id in await _conversations(stack)])
            await _at_once([guest.handle.result() for guest in guests])
    histories = await _at_once([guest.handle.fetch_history() for guest in guests])
    assert [failure for history in histories for failure in failed_tasks(history)] == []
    builds = Counter(tuple(_builds(history)) for history in histories)
    assert {build[0] for build in builds} == {worker.build_id()}
    assert {len(build) for build in builds} == {2}, builds
    assert {_patches(history) for history in histories} == {1}
    for history in histories:
        contact = await read([history], stack.client.data_converter)
        check_contact(contact.stories, contact.received)


async def test_a_release_whose_workers_are_gone_is_taken_over_from(
    stack: Stack, ai: FakeAI, working: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them crashed while both served, made it current as it started again, and was stopped with the rest."""
    monkeypatch.setattr(worker, "LEAD_SECONDS", 0.1)
    async with worker.leading(stack.client):
        await Release(stack.client, "the-one-before").make_current()
        assert (await stack.guest().ask("Hello?")).outcome == "answered"


async def test_a_release_that_has_workers_keeps_the_conversations(stack: Stack, ai: FakeAI, working: None) -> None:
    assert (await stack.guest().ask("Hello?")).outcome == "answered"
    await Release(stack.client, "another").take_over()
    assert (await stack.guest().ask("When is breakfast?")).outcome == "answered"


def _changed_release(root: Path) -> Path:
    """The source tree with one more command at the end of a conversation, gated as a release must."""
    for folder in SOURCES:
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in FILES:
        shutil.copy(ROOT / file, root / file)
    changed = root / "workflows" / "follow_up.py"
    source = changed.read_text()
    assert source.count(BEFORE) == 1
    changed.write_text(source.replace(BEFORE, AFTER))
    return root


async def _are_answered(stack: Stack, count: int) -> None:
    """Asked of storage: hundreds of workflows that are queried again and again would be the slowest part of this."""

    async def look() -> bool:
        rows = await stack.rows(
            "SELECT count(*) AS n FROM outcomes JOIN conversations ON conversations.id = conversation_id"
            " WHERE property_id = :id AND outcome = 'answered'",
            id=stack.hotel,
        )
        return rows[0]["n"] == count

    await eventually(look, what=f"{count} answers", seconds=120)


async def _conversations(stack: Stack) -> list[str]:
    rows = await stack.rows("SELECT id FROM conversations WHERE property_id = :id", id=stack.hotel)
    return [str(row["id"]) for row in rows]


async def _resolved(stack: Stack, conversation_id: str) -> None:
    resolved = await stack.conversations.resolve(Command(conversation_id=conversation_id, by=ANA))
    assert resolved.state is ConversationState.RESOLVED


async def _at_once(work: Sequence[Awaitable[T]]) -> list[T]:
    """Does all, a few at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(each: Awaitable[T]) -> T:
        async with gate:
            return await each

    return await asyncio.gather(*(one(each) for each in work))


def _builds(history: WorkflowHistory) -> list[str]:
    """Builds that took the conversation's tasks, in order."""
    done = (each.workflow_task_completed_event_attributes for each in history.events)
    return list(dict.fromkeys(each.deployment_version.build_id for each in done if each.deployment_version.build_id))


def _patches(history: WorkflowHistory) -> int:
    """How often a conversation found that it is new enough for the change: told once a run."""
    markers = (each.marker_recorded_event_attributes for each in history.events)
    told = (each.details["patch-data"].payloads[0].data for each in markers if each.marker_name == "core_patch")
    return sum(PATCH in data.decode() for data in told)
