"""The built-in engine: works offline, answers from a property's articles, and says so if it cannot."""

from activities.ai.actions import action_for
from activities.ai.hotel import Hotel
from activities.ai.library import Library
from activities.ai.summary import summary_of
from activities.ai.turn import turn_of
from activities.ai.understanding import Part
from contracts.ai import AIRequest, AIResponse
from contracts.conversations import Conversation
from contracts.messages import Message

UNSURE = "I'm not sure about that. I'm passing your message to our team, and someone will write to you here shortly."


class EmbeddedEngine:
    """Replies only with the hotel's own texts, never with a guest's words."""

    name = "embedded"

    def __init__(self, library: Library) -> None:
        self._library = library

    async def answer(self, request: AIRequest, *, turn_id: str) -> AIResponse:
        hotel = self._library.hotel(request.context.property_id)
        parts = hotel.parts(turn_of(request))
        pressing = [part for part in parts if part.kind == "handover"]
        requests = [part for part in parts if part.kind == "request"]
        asked = [part for part in parts if part.kind in ("answer", "unsure")]
        if pressing:
            return hand_over(request, pressing)
        if requests:
            return _pass_on(hotel, request, turn_id, requests, asked)
        if asked:
            return _from_articles(hotel, request, asked)
        return _be_polite(request, parts)

    async def summarise(self, conversation: Conversation, messages: list[Message]) -> str | None:
        return summary_of(conversation, messages)

    async def close(self) -> None:
        return None


def hand_over(request: AIRequest, pressing: list[Part]) -> AIResponse:
    """The response that hands the turn to a person."""
    act = next(part.act for part in pressing if part.act is not None)
    return AIResponse(
        conversation_id=request.conversation_id,
        response=act.reply,
        intent=act.name,
        confidence=0.0,
        should_escalate=True,
    )


def _pass_on(hotel: Hotel, request: AIRequest, turn_id: str, requests: list[Part], asked: list[Part]) -> AIResponse:
    """Requests work from departments, without saying that it is done, and answers the questions asked next to it."""
    acts = list(dict.fromkeys(part.act for part in requests if part.act is not None))
    beside = _from_articles(hotel, request, asked) if asked else None
    replies = [*(act.reply for act in acts), *([beside.response] if beside else [])]
    return AIResponse(
        conversation_id=request.conversation_id,
        response="\n\n".join(replies),
        intent=acts[0].name,
        confidence=min(part.confidence for part in (*requests, *asked)),
        actions=[
            action_for(part.act, part.text, hotel.things_in(part.text), f"{turn_id}-{number}")
            for number, part in enumerate(requests, start=1)
            if part.act is not None
        ],
        sources=beside.sources if beside else [],
    )


def _from_articles(hotel: Hotel, request: AIRequest, asked: list[Part]) -> AIResponse:
    """One answer to all questions, as confident as its least sure part. An unsure one serves staff as a draft."""
    intents = dict.fromkeys(part.intent for part in asked if part.kind == "answer")
    found = [hotel.articles[intent] for intent in intents]
    return AIResponse(
        conversation_id=request.conversation_id,
        response="\n\n".join(article.text for article in found) or UNSURE,
        intent=found[0].id if found else "unknown",
        confidence=min(part.confidence for part in asked),
        sources=[article.id for article in found],
    )


def _be_polite(request: AIRequest, parts: list[Part]) -> AIResponse:
    """Replies to a greeting or thanks. A mere statement is not understood well enough to answer."""
    polite = [part for part in parts if part.kind == "smalltalk" and part.act is not None]
    if not polite:
        return AIResponse(conversation_id=request.conversation_id, response=UNSURE, intent="unknown", confidence=0.0)
    best = max(polite, key=lambda part: part.confidence)
    return AIResponse(
        conversation_id=request.conversation_id,
        response=best.act.reply if best.act else UNSURE,
        intent=best.intent,
        confidence=best.confidence,
    )
