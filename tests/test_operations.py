"""What the page for operators says is so: its filters find what they name, and details read as shown."""

import re
from pathlib import Path

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata

import worker
from contracts.conversations import ConversationState
from contracts.names import SEARCH_BOOL, SEARCH_INT, SEARCH_KEYWORDS
from tests.fakes.ai import FakeAI
from tests.support import ANA, Guest, Stack, command, eventually

PAGE = Path(worker.__file__).parent / "docs" / "operations.md"
FILTERS = dict(re.findall(r"^\| ([^|]+?) \| `([^`]+)` \|$", PAGE.read_text(), re.MULTILINE))
PERSON = "I want to talk to a person"


async def _found(stack: Stack, view: str) -> set[str]:
    """Conversations of this hotel that a filter finds."""
    query = FILTERS[view].replace("'seaview'", f"'{stack.hotel}'").replace("STAFF_ID", ANA.id)
    query = f"{query.replace('BUILD_ID', worker.build_id())} AND GatewayProperty = '{stack.hotel}'"
    return {each.id async for each in stack.client.list_workflows(query)}


async def _finds(stack: Stack, view: str, *guests: Guest) -> None:
    expected = {guest.handle.id for guest in guests}

    async def look() -> bool:
        return await _found(stack, view) == expected

    await eventually(look, what=f"{view!r} to find what it names")


async def test_every_filter_finds_what_it_names(working: None, stack: Stack, ai: FakeAI) -> None:
    talking, waiting, urgent, claimed, failed = (stack.guest() for _ in range(5))
    await talking.ask("Hello?")
    await waiting.ask(PERSON)
    await urgent.ask("My husband has collapsed, call an ambulance")
    await claimed.ask("Hello?")
    await stack.conversations.claim(command(await claimed.conversation()))
    ai.status = 500
    await failed.ask("Hello?")
    assert (await urgent.conversation()).priority == "urgent"
    assert (await failed.conversation()).state is ConversationState.ACTIVE
    await _finds(stack, "Waiting for somebody to claim", waiting, urgent)
    await _finds(stack, "Urgent, whoever has it", urgent)
    await _finds(stack, "A promise broken, or urgent from the start", urgent)
    await _finds(stack, "One person's", claimed)
    await _finds(stack, "The AI failed, nobody has looked", failed)
    await _finds(stack, "With the AI, one property", talking, failed)
    for nobody in ("Open for more than a week", "Still on an older release", "Stuck: its tasks fail", "Ended wrongly"):
        await _finds(stack, nobody)


def test_filters_use_attributes_that_exist() -> None:
    used = set(re.findall(r"Gateway\w+", " ".join(FILTERS.values())))
    assert used <= {*SEARCH_KEYWORDS, SEARCH_INT, SEARCH_BOOL}
    assert len(FILTERS) == 10


async def test_details_read_as_shown(working: None, stack: Stack, guest: Guest) -> None:
    """Each line of the example, with the names and times of another conversation."""
    await guest.ask(PERSON)
    await stack.stored(await guest.conversation())
    example = re.search(r"^    \*\*ESCALATED\*\*.*\n(?:    - .*\n)+", PAGE.read_text(), re.MULTILINE)
    assert example is not None

    async def look() -> bool:
        metadata = await guest.handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
        shown = metadata.current_details.replace(stack.hotel, "seaview")
        return _shape(shown) == _shape(example.group())

    await eventually(look, what="details of the shape that the page shows")


def _shape(details: str) -> list[str]:
    """The lines without times and ids."""
    without_times = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "TIME", details)
    return [re.sub(r"`[^`]+`", "ID", line).strip() for line in without_times.strip().splitlines()]


@pytest.mark.parametrize("name", ["Look up the contact", "Answer", "Publish", "Summarise", "Debounce", "Try again"])
def test_summaries_are_named_as_in_the_code(name: str) -> None:
    sources = "".join(path.read_text() for path in (PAGE.parent.parent / "workflows").glob("*.py"))
    assert f'"{name}"' in sources
    assert f"*{name}*" in PAGE.read_text()
