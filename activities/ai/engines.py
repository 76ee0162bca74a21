"""The engines of all properties: each property has one, and may have others to fall back on."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import assert_never

from activities.ai.embedded import EmbeddedEngine
from activities.ai.guard import Guard
from activities.ai.http import HttpEngine
from activities.ai.library import Library
from activities.ai.port import Engine, EngineError
from contracts.ai import AIRequest, AIResponse
from contracts.conversations import Conversation
from contracts.messages import Message
from contracts.metrics import AI_FAILURES
from settings import Ai, EngineName, Settings, SettingsError


class Engines:
    """Asks a property's engine, and the next one if it gives no answer."""

    name = "engines"

    def __init__(self, shared: Sequence[Engine], own: Mapping[str, Sequence[Engine]], *, seconds: float) -> None:
        """`seconds` is the deadline of an answer. An engine with fallbacks gets an equal share of it."""
        self._shared = shared
        self._own = own
        self._seconds = seconds

    def of(self, property_id: str) -> Sequence[Engine]:
        return self._own.get(property_id, self._shared)

    async def answer(self, request: AIRequest, *, turn_id: str) -> AIResponse:
        *before, last = self.of(request.context.property_id)
        for engine in before:
            try:
                async with asyncio.timeout(self._seconds / (len(before) + 1)):
                    return await engine.answer(request, turn_id=turn_id)
            except (EngineError, TimeoutError):
                AI_FAILURES.labels(request.context.property_id, engine.name).inc()
        try:
            return await last.answer(request, turn_id=turn_id)
        except EngineError:
            AI_FAILURES.labels(request.context.property_id, last.name).inc()
            raise

    async def summarise(self, conversation: Conversation, messages: list[Message]) -> str | None:
        """Asks only the property's first engine, even if it makes no summaries."""
        return await self.of(conversation.property_id)[0].summarise(conversation, messages)

    async def close(self) -> None:
        every = {id(engine): engine for chain in (self._shared, *self._own.values()) for engine in chain}
        await asyncio.gather(*(engine.close() for engine in every.values()))


def build_engine(settings: Settings, library: Library | None = None) -> Engines:
    """Builds the engines of all properties. Raises SettingsError for one that is unknown or not configured."""
    library = library or Library(settings)
    shared = _chain(settings.ai, library, "ai")
    own = {
        property_id: _chain(settings.ai_of(property_id), library, f"properties.{property_id}.ai")
        for property_id, hotel in settings.properties.items()
        if hotel.ai.model_fields_set
    }
    return Engines(shared, own, seconds=settings.routing.ai_timeout / 1000)


def _chain(ai: Ai, library: Library, where: str) -> list[Engine]:
    return [_engine(name, ai, library, where) for name in dict.fromkeys((ai.engine, *ai.fallback))]


def _engine(name: EngineName, ai: Ai, library: Library, where: str) -> Engine:
    match name:
        case "embedded":
            return EmbeddedEngine(library)
        case "http":
            return Guard(
                HttpEngine(_address(ai.http.url, where), ai.http.token, seconds=ai.http.timeout / 1000), library
            )
        case "llm":
            # Imported here because its libraries cost a second and tens of megabytes.
            from activities.ai.llm import LlmEngine

            return Guard(LlmEngine(ai.llm, library), library)
        case _:
            assert_never(name)


def _address(url: str | None, where: str) -> str:
    if url is None or not url.startswith(("http://", "https://")):
        raise SettingsError(
            f"{where}.http.url: the engine `http` needs the URL to post to, such as https://ai.example/answer"
        )
    return url
