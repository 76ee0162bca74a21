"""A run goes on by the edition that it began with; the next one takes the newest."""

import pytest
from temporalio import workflow

from tests.fakes.ai import FakeAI
from tests.replay.store import EARLIER, HISTORIES
from tests.support import Guest, Stack, workers
from tests.test_replay import replay
from workflows import editions
from workflows.conversation import ConversationStart

SCENE = "words_that_only_seem_to_need_a_person.json.gz"


async def test_who_began_by_the_first_edition_goes_on_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    await replay(EARLIER / SCENE)
    monkeypatch.setattr(editions, "SECOND", 0)
    with pytest.raises(workflow.NondeterminismError):
        await replay(EARLIER / SCENE)


async def test_who_began_by_the_second_does_not_go_on_by_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editions, "SECOND", editions.NEWEST + 1)
    with pytest.raises(workflow.NondeterminismError):
        await replay(HISTORIES / SCENE)


@pytest.mark.parametrize("scene", ["drafts_for_a_person", "a_return_without_an_answer"])
async def test_who_began_by_the_fourth_does_not_go_on_by_the_third(scene: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = HISTORIES / f"{scene}.json.gz"
    await replay(path)
    monkeypatch.setattr(editions, "FOURTH", editions.NEWEST + 1)
    with pytest.raises(workflow.NondeterminismError):
        await replay(path)


async def test_who_goes_on_in_a_new_run_takes_the_newest(
    stack: Stack, ai: FakeAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.settings.conversation.history_limit = 20
    guest = stack.guest()
    with monkeypatch.context() as before:
        before.setattr(editions, "NEWEST", 0)
        await guest.write("Hello?")
    async with workers(stack.settings, stack.client):
        begun = (await guest.handle.describe()).run_id
        while (await guest.handle.describe()).run_id == begun:
            await guest.ask("And now?")
        runs = [await _edition(guest, run_id) for run_id in (begun, (await guest.handle.describe()).run_id)]
    assert runs == [0, editions.NEWEST]


async def _edition(guest: Guest, run_id: str) -> int:
    """What the start input of a run names."""
    handle = guest.stack.client.get_workflow_handle(guest.handle.id, run_id=run_id)
    started = (await handle.fetch_history()).events[0].workflow_execution_started_event_attributes
    (start,) = await guest.stack.client.data_converter.decode(started.input.payloads, [ConversationStart])
    assert isinstance(start, ConversationStart)
    return (start.carried.policy if start.carried is not None else start.policy).edition
