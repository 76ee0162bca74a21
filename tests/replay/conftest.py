"""What scenes are played with: a guest whose histories are kept, and an engine that answers by itself."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import activities.ai
from tests.fakes.callback import FakeCallback
from tests.replay.store import keep
from tests.support import Guest, Stack, workers

KNOWLEDGE = Path(activities.ai.__file__).parent / "properties" / "seaview"


@pytest.fixture
async def scene(request: pytest.FixtureRequest, stack: Stack) -> AsyncIterator[Guest]:
    """A guest; what happened to them is kept under the scene's name when it is over."""
    guest = stack.guest()
    yield guest
    await keep(request.node.name, stack.client, guest.handle.id)


@pytest.fixture
async def texting(request: pytest.FixtureRequest, stack: Stack, callback: FakeCallback) -> AsyncIterator[Guest]:
    """The same for a guest who writes through a program of the hotel's."""
    guest = stack.guest(adapter="messages", channel_type="sms")
    yield guest
    await keep(request.node.name, stack.client, guest.handle.id)


@pytest.fixture
async def quick(stack: Stack) -> AsyncIterator[None]:
    """Workers with the engine that answers by itself."""
    stack.settings.properties[stack.hotel].knowledge = str(KNOWLEDGE)
    async with workers(stack.settings, stack.client):
        yield
