"""What nobody foresaw ends no conversation: its guest is answered all the same."""

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError

from activities.storage.contacts import Contacts
from contracts.events import ContactFacts, ContactLookup
from tests.fakes.ai import FakeAI
from tests.support import Guest, Stack
from workflows.turn import TurnTaker

pytestmark = pytest.mark.usefixtures("held_to_the_rules", "working")


async def test_a_look_up_that_breaks_is_as_good_as_none(
    stack: Stack, guest: Guest, ai: FakeAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def breaks(contacts: Contacts, lookup: ContactLookup) -> ContactFacts:
        asked.append(lookup.contact_key)
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(Contacts, "facts", breaks)
    assert (await guest.ask("Hello?")).outcome == "answered"
    assert asked == [guest.contact_key]


async def test_an_error_of_temporals_that_escapes_a_step_fails_the_task_only(
    stack: Stack, guest: Guest, ai: FakeAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = TurnTaker.take
    broken: list[bool] = []

    async def breaks_once(turns: TurnTaker) -> None:
        if not broken:
            broken.append(True)
            raise ApplicationError("unforeseen")
        await take(turns)

    monkeypatch.setattr(TurnTaker, "take", breaks_once)
    assert (await guest.ask("Hello?")).outcome == "answered"
    described = await guest.handle.describe()
    assert (described.status, broken) == (WorkflowExecutionStatus.RUNNING, [True])
