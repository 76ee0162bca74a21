"""The engine inside the process: answers from a property's articles, and says so when it cannot. Offline."""

from functools import cache
from pathlib import Path

from activities.ai.actions import action_for
from activities.ai.acts import load_acts, load_objects
from activities.ai.calibration import load_calibration
from activities.ai.knowledge import Article, knowledge_folder, load_articles
from activities.ai.reader import Reader
from activities.ai.summary import summary_of
from activities.ai.understanding import Part, Understanding
from contracts.ai import AIRequest, AIResponse
from contracts.conversations import Conversation
from contracts.messages import Author, Message
from contracts.names import CONTENT_LIMIT
from settings import Settings

UNSURE = "I'm not sure about that. I'm passing your message to our team, and someone will write to you here shortly."


class EmbeddedEngine:
    """Reads each property's knowledge once a process. Its replies are the hotel's words alone, never a guest's."""

    name = "embedded"
    local = True

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError for knowledge that cannot be read."""
        self._hotels = {each: _hotel(knowledge_folder(settings, each)) for each in settings.properties}

    async def answer(self, request: AIRequest, *, turn_id: str) -> AIResponse:
        hotel = self._hotels.get(request.context.property_id)
        if hotel is None:
            return AIResponse(
                conversation_id=request.conversation_id, response=UNSURE, intent="unknown", confidence=0.0
            )
        return hotel.answer(request, turn_id)

    async def summarise(self, conversation: Conversation, messages: list[Message]) -> str | None:
        return summary_of(conversation, messages)

    async def close(self) -> None:
        return None


class _Hotel:
    """One property's articles, and the understanding learned from them."""

    def __init__(self, articles: list[Article]) -> None:
        acts = load_acts()
        self._reader = Reader(articles, list(acts.values()), load_objects())
        self._articles = {article.id: article for article in articles}
        self._understanding = Understanding(self._reader, acts, load_calibration())

    def answer(self, request: AIRequest, turn_id: str) -> AIResponse:
        parts = self._understanding.parts(_turn(request))
        pressing = [part for part in parts if part.kind == "handover"]
        requests = [part for part in parts if part.kind == "request"]
        asked = [part for part in parts if part.kind in ("answer", "unsure")]
        if pressing:
            return _hand_over(request, pressing)
        if requests:
            return self._pass_on(request, turn_id, requests, asked)
        if asked:
            return self._from_articles(request, asked)
        return _be_polite(request, parts)

    def _pass_on(self, request: AIRequest, turn_id: str, requests: list[Part], asked: list[Part]) -> AIResponse:
        """Work for departments, said to be asked for and not to be done, and answers to what is asked beside it."""
        acts = list(dict.fromkeys(part.act for part in requests if part.act is not None))
        beside = self._from_articles(request, asked) if asked else None
        replies = [*(act.reply for act in acts), *([beside.response] if beside else [])]
        return AIResponse(
            conversation_id=request.conversation_id,
            response="\n\n".join(replies),
            intent=acts[0].name,
            confidence=min(part.confidence for part in (*requests, *asked)),
            actions=[
                action_for(part.act, part.text, self._named(part.text), f"{turn_id}-{number}")
                for number, part in enumerate(requests, start=1)
                if part.act is not None
            ],
            sources=beside.sources if beside else [],
        )

    def _named(self, text: str) -> list[str]:
        return self._reader.things_in(text)

    def _from_articles(self, request: AIRequest, asked: list[Part]) -> AIResponse:
        """One answer to everything asked, as sure as its least sure part; what is unsure serves staff as a draft."""
        found = [
            self._articles[intent] for intent in dict.fromkeys(part.intent for part in asked if part.kind == "answer")
        ]
        return AIResponse(
            conversation_id=request.conversation_id,
            response="\n\n".join(article.text for article in found) or UNSURE,
            intent=found[0].id if found else "unknown",
            confidence=min(part.confidence for part in asked),
            sources=[article.id for article in found],
        )


@cache
def _hotel(folder: Path | None) -> _Hotel:
    return _Hotel(load_articles(folder) if folder else [])


def _turn(request: AIRequest) -> list[str]:
    """Every message of the turn, oldest first."""
    unanswered = set(request.context.turn_message_ids) - {request.message.id}
    earlier = [each for each in request.context.messages if each.id in unanswered and each.author is Author.GUEST]
    return [message.content[:CONTENT_LIMIT] for message in (*earlier, request.message)]


def _hand_over(request: AIRequest, pressing: list[Part]) -> AIResponse:
    """What a person must see."""
    act = next(part.act for part in pressing if part.act is not None)
    return AIResponse(
        conversation_id=request.conversation_id,
        response=act.reply,
        intent=act.name,
        confidence=0.0,
        should_escalate=True,
    )


def _be_polite(request: AIRequest, parts: list[Part]) -> AIResponse:
    """To a greeting or thanks; a mere statement is not understood well enough to answer."""
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
