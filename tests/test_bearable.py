"""What others send that storage or Temporal could not keep: it must hold no conversation up."""

import time
from typing import Any

import jwt
import pytest

from activities.media.types import content_type_of
from activities.storage.database import Database
from api.live.visitors import identified
from contracts.ai import Action, AIRequest, AIResponse
from contracts.conversations import ConversationState
from contracts.guests import PREFERENCE_CHARACTERS, are_bearable
from contracts.messages import Attachment
from contracts.problems import Unauthenticated
from settings import Media
from tests.api import Api, problem
from tests.fakes.ai import FakeAI, confident
from tests.guests import add_guest
from tests.histories import stumbled
from tests.support import Guest, Stack, guest_message, workers

IDENTITY_SECRET = "a secret of the hotel page, 32 bytes long"
GUESTS = "/api/v1/guests"
LONG = "x" * 3000


@pytest.mark.parametrize("declared", ["audio/a\0b", "video/", "audio/" + "x" * 200, "video/a b"])
def test_a_sound_is_called_what_a_sound_may_be_called(declared: str) -> None:
    assert content_type_of(b"\1\2\3", declared, [*Media().types, "application/*"]) == "application/octet-stream"


async def test_nul_holds_back_nothing_whatever_it_stands_in(working: None, stack: Stack, guest: Guest) -> None:
    file = Attachment(id="1", name="a\0.mp3", content_type="audio/a\0b", url="https://files.example/1")
    message = guest_message(guest.sender_id, "What is \\u0000, and a\0b?", attachments=[file])
    message.guest_name = "An\0a"
    await stack.conversations.receive(stack.hotel, "webchat", message)
    await guest.outcome(message.id)
    await stack.stored(await guest.conversation())
    (row,) = await stack.rows("SELECT content, attachments FROM messages WHERE id = :id", id=message.id)
    assert row["content"] == "What is \\u0000, and ab?"
    assert "audio/ab" in str(row["attachments"])


@pytest.mark.parametrize("claims", [{"sub": "u\0001"}, {"sub": "u1", "name": "An\0a"}, {"sub": "u1", "name": "\ud800"}])
def test_an_identity_is_text(claims: dict[str, Any]) -> None:
    token = jwt.encode({"exp": int(time.time()) + 600, "more": 1, **claims}, IDENTITY_SECRET, algorithm="HS256")
    with pytest.raises(Unauthenticated):
        identified(token, IDENTITY_SECRET)


def _answer(request: AIRequest, **said: Any) -> AIResponse:
    return AIResponse.model_validate(confident(request).model_dump() | said)


async def test_an_engine_may_say_more_than_anybody_can_keep(stack: Stack, guest: Guest, ai: FakeAI) -> None:
    stack.settings.conversation.history_limit = 40
    nested: Any = "x"
    for _ in range(196):  # as deep as the engine's answer may be read, and one too deep for whoever reads it wrapped
        nested = [nested]
    actions = [Action(id=LONG, type=LONG, params={"x": nested}), Action(id="2", type="other", params={"x": nested})]
    ai.respond = lambda request: _answer(
        request, intent=LONG, model=LONG, sources=[LONG] * 15, actions=[each.model_dump() for each in actions]
    )
    async with workers(stack.settings, stack.client):
        for number in range(4):
            assert (await guest.ask(f"Question {number}?")).outcome == "answered"
        ai.respond = lambda request: _answer(request, intent=LONG, shouldEscalate=True)
        assert (await guest.ask("And this?")).outcome == "handed"
        conversation = await guest.reaches(lambda each: each.state is ConversationState.ESCALATED, "a person")
        assert len(conversation.current_intent or "") == 100
        await stack.stored(conversation)
    assert await stumbled(stack.client, stack.hotel) == []


def test_preferences_are_borne_up_to_what_a_conversation_carries() -> None:
    assert are_bearable({"pillow": "x" * (PREFERENCE_CHARACTERS - 6)})
    assert not are_bearable({"pillow": "x" * (PREFERENCE_CHARACTERS - 5)})
    assert are_bearable({str(number): "" for number in range(100)})
    assert not are_bearable({str(number): "" for number in range(101)})


async def test_nobody_is_given_more_preferences_than_conversations_carry(
    api: Api, hotel: str, database: Database
) -> None:
    manager = await api.person(hotel, role="manager")
    one, two = [
        await add_guest(database, hotel, preferences={f"{which} {number}": "x" * 150 for number in range(90)})
        for which in ("one", "two")
    ]
    refused = await manager.http.post(f"{GUESTS}/{one}/merge", json={"into": two})
    assert (problem(refused), refused.json()["field"]) == ((422, "invalid"), "into")
    heavy = {"preferences": {str(number): "x" * 999 for number in range(30)}}
    refused = await manager.http.patch(f"{GUESTS}/{one}", json=heavy)
    assert (problem(refused), refused.json()["field"]) == ((422, "invalid"), "preferences")
    light = {"preferences": {"pillow": "soft"}}
    assert (await manager.http.patch(f"{GUESTS}/{one}", json=light)).status_code == 200
    assert (await manager.http.post(f"{GUESTS}/{one}/merge", json={"into": two})).is_success
