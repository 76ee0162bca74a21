"""Checks the answers of engines that we did not write (models and remote servers) before a guest gets them."""

from collections.abc import Sequence

from activities.ai.answer_check import Fault, Grounds, fault_of, figures
from activities.ai.embedded import hand_over
from activities.ai.hotel import Hotel
from activities.ai.injection import gives_orders, safe_name
from activities.ai.library import Library
from activities.ai.port import Engine
from activities.ai.prompt import RULES
from activities.ai.turn import turn_of
from contracts.ai import NAME_LENGTH, Action, AIRequest, AIResponse
from contracts.conversations import Conversation
from contracts.guests import GuestProfile
from contracts.messages import Message
from contracts.metrics import AI_HELD_BACK
from contracts.rules import EMERGENCIES, TOPICS

ACTIONS = 3
TITLE_LENGTH = 80
UNGROUNDED_CONFIDENCE = 0.3
"""The highest confidence of an answer that names no source and requests no work."""
_NOT_A_GUESTS = frozenset({"food_and_beverage", "security", "management"})
"""Departments whose work guests can request only through a person."""
_PRIORITIES = frozenset({"low", "normal", "high"})
"""Not urgent: that is for emergencies, which go to a person at once."""
_PERSON = "human_request"
_AT_ONCE = frozenset({*EMERGENCIES, _PERSON})
"""Intents that are handed over without asking the engine."""


class Guard:
    """Asks an engine unless a turn needs a person at once, and holds back answers that a person should see first."""

    def __init__(self, engine: Engine, library: Library) -> None:
        self.name = engine.name
        self._engine = engine
        self._library = library

    async def answer(self, request: AIRequest, *, turn_id: str) -> AIResponse:
        hotel = self._library.hotel(request.context.property_id)
        turn = turn_of(request)
        handed = [part for part in hotel.parts(turn) if part.kind == "handover"]
        # A reader without articles knows few questions and is too suspicious: only an alarm word counts then.
        sure = [part for part in handed if part.alarmed or part.intent == _PERSON or hotel.articles]
        if pressing := [part for part in sure if part.intent in _AT_ONCE]:
            return hand_over(request, pressing)
        response = await self._engine.answer(request, turn_id=turn_id)
        # The conversation's rules decide which topics the AI may answer, so no engine may relabel a complaint.
        response.intent = next((part.intent for part in sure if part.intent in TOPICS), response.intent)
        response.actions = _allowed(response.actions, turn, hotel)
        fault = _fault(response, request, turn, hotel)
        if fault is None:
            return _grounded(response, hotel, turn)
        AI_HELD_BACK.labels(request.context.property_id, fault).inc()
        held = {"confidence": 0.0, "should_escalate": True, "intent": fault, "actions": []}
        return response.model_copy(update=held)

    async def summarise(self, conversation: Conversation, messages: list[Message]) -> str | None:
        """Not checked, because only staff read summaries."""
        return await self._engine.summarise(conversation, messages)

    async def close(self) -> None:
        await self._engine.close()


def _fault(response: AIResponse, request: AIRequest, turn: Sequence[str], hotel: Hotel) -> Fault | str | None:
    if any(gives_orders(text) for text in turn):
        return "injection"
    sources = [hotel.articles[source] for source in response.sources if source in hotel.articles]
    grounds = Grounds(
        sources=tuple(each.text for each in sources if not gives_orders(each.text)),
        profile=_own(request.guest_profile),
        instructions=RULES,
    )
    return fault_of(response.response, "\n".join(turn), grounds)


def _grounded(response: AIResponse, hotel: Hotel, turn: Sequence[str]) -> AIResponse:
    """Caps the confidence of an answer without sources or actions, unless the turn is only courtesies."""
    polite = all(part.kind in ("smalltalk", "context") for part in hotel.parts(turn))
    if polite or response.actions or response.sources:
        return response
    return response.model_copy(update={"confidence": min(response.confidence, UNGROUNDED_CONFIDENCE)})


def _own(profile: GuestProfile) -> tuple[str, ...]:
    """The guest's own data that an answer may mention."""
    stays = (f"room {stay.room}; {stay.arrival}; {stay.departure}" for stay in profile.stays)
    return (safe_name(profile.name) or "", *stays)


def _allowed(actions: Sequence[Action], turn: Sequence[str], hotel: Hotel) -> list[Action]:
    """The actions that a guest may request, with text that a guest may see. The workflow refuses unknown types."""
    return [made for action in actions[:ACTIONS] if (made := _made(action, turn, hotel)) is not None]


def _made(action: Action, turn: Sequence[str], hotel: Hotel) -> Action | None:
    match action.type:
        case "create_task":
            if action.params.get("department") in _NOT_A_GUESTS:
                return None
            priority = action.params.get("priority")
            params = {
                **{key: action.params[key] for key in ("department",) if key in action.params},
                "priority": priority if priority in _PRIORITIES else "normal",
                "title": _title(str(action.params.get("title", "")), turn),
                "description": "\n".join(turn)[:500],
            }
        case "request_late_checkout":
            until = action.params.get("until")
            params = {"until": until[:NAME_LENGTH]} if isinstance(until, str) else {}
        case _:  # the workflow refuses an unknown type by its name; its parameters may be nested too deep to read
            params = {}
    named = {"id": action.id[:NAME_LENGTH], "type": action.type[:NAME_LENGTH]}
    return action.model_copy(update={"params": params, **named})


def _title(written: str, turn: Sequence[str]) -> str:
    """The model's title if it is harmless, because the guest is told it when the task is done."""
    title = " ".join(written.split())[:TITLE_LENGTH]
    claims = fault_of(title, "", Grounds()) in ("unsupported_promise", "leak", "empty")
    prices = any(each.startswith(("price", "percent")) for each in figures(title))
    strange = not figures(title) <= figures("\n".join(turn))
    return "A guest's request" if claims or prices or strange or gives_orders(title) else title
