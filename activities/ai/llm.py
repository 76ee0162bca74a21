"""Engine adapter for language models, through pydantic-ai: one request per answer, with retrieved articles."""

import asyncio
from typing import Literal, TypeVar

from circuitbreaker import CircuitBreaker
from pydantic import BaseModel, Field
from pydantic_ai import Agent, AgentRunResult, ModelSettings, UnexpectedModelBehavior, UserError
from pydantic_ai.exceptions import (
    AgentRunError,
    ContentFilterError,
    ModelAPIError,
    ModelHTTPError,
    ModelQuotaExceededError,
    UsageLimitExceeded,
)
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.ollama import OllamaModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.ollama import OllamaProvider
from pydantic_ai.providers.openai import OpenAIProvider

from activities.ai.injection import gives_orders
from activities.ai.library import Library
from activities.ai.port import EngineError
from activities.ai.prompt import RULES, SUMMARY_RULES, data_of, log_of
from activities.ai.turn import turn_of
from contracts.ai import Action, AIRequest, AIResponse
from contracts.conversations import Conversation
from contracts.messages import Message
from contracts.metrics import AI_COST, AI_TOKENS
from contracts.rules import Department, Priority
from settings import LlmEngine as LlmSettings
from settings import SettingsError

FAILURES_TO_REST = 5
"""Consecutive failures after which a provider gets no requests for REST_SECONDS."""
REST_SECONDS = 30
_WORTH_ANOTHER_TRY = frozenset({408, 409, 425, 429})
_TOKENS_A_PRICE = 1_000_000

OutputT = TypeVar("OutputT")


class WantedAction(BaseModel):
    type: Literal["create_task", "request_late_checkout", "notify_staff"]
    department: Department | None = None
    priority: Priority = "normal"
    title: str = Field(default="", max_length=200)
    until: str | None = Field(default=None, pattern=r"^([01]\d|2[0-3]):[0-5]\d$")


class Written(BaseModel):
    """The model's answer."""

    response: str
    intent: str = Field(max_length=64)
    confidence: float = Field(ge=0, le=1)
    sources: list[str] = []
    should_escalate: bool = False
    actions: list[WantedAction] = []


class LlmEngine:
    """Makes one request per answer. Retries and the overall deadline are up to the caller."""

    name = "llm"

    def __init__(self, settings: LlmSettings, library: Library) -> None:
        """Raises SettingsError if the model or its provider is not configured."""
        self._settings = settings
        self._library = library
        model = _model(settings)
        self._model_name = model.model_name
        # One attempt, because callers have retries and a deadline of their own.
        once = ModelSettings(max_retries=0, max_tokens=settings.max_tokens, timeout=settings.timeout / 1000)
        self._butler = Agent(model, output_type=Written, instructions=RULES, model_settings=once, retries=0)
        self._clerk = Agent(model, output_type=str, instructions=SUMMARY_RULES, model_settings=once, retries=0)
        self._breaker = CircuitBreaker(
            failure_threshold=FAILURES_TO_REST, recovery_timeout=REST_SECONDS, expected_exception=_is_providers
        )

    async def answer(self, request: AIRequest, *, turn_id: str) -> AIResponse:
        hotel = self._library.hotel(request.context.property_id)
        found = hotel.retrieve(turn_of(request), characters=self._settings.context_characters)
        articles = [article for article in found if not gives_orders(f"{article.title}\n{article.text}")]
        run = await self._run(self._butler, data_of(request, articles), request.context.property_id)
        written, known = run.output, {article.id for article in articles}
        return AIResponse(
            conversation_id=request.conversation_id,
            response=written.response,
            intent=written.intent,
            confidence=written.confidence,
            should_escalate=written.should_escalate,
            sources=[source for source in dict.fromkeys(written.sources) if source in known],
            actions=[_action(each, f"{turn_id}-{number}") for number, each in enumerate(written.actions, start=1)],
            model=self._model_name,
        )

    async def summarise(self, conversation: Conversation, messages: list[Message]) -> str | None:
        run = await self._run(self._clerk, log_of(conversation, messages), conversation.property_id)
        return run.output.strip() or None

    async def close(self) -> None:
        return None

    async def _run(self, agent: Agent[object, OutputT], data: str, property_id: str) -> AgentRunResult[OutputT]:
        if self._breaker.opened:
            raise EngineError("calls to the model's provider are paused after repeated failures", retryable=True)
        with self._breaker:
            run = await self._ask(agent, data)
        self._record(run, property_id)
        return run

    async def _ask(self, agent: Agent[object, OutputT], data: str) -> AgentRunResult[OutputT]:
        """Runs the agent. Errors leave out the provider's message, which may quote the guest."""
        try:
            async with asyncio.timeout(self._settings.timeout / 1000):
                return await agent.run(data)
        except TimeoutError:
            raise EngineError("the model's provider did not answer in time", retryable=True) from None
        except (AgentRunError, UserError) as error:
            raise _engine_error(error) from None
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            # What pydantic-ai raises for a response that is JSON but not in the provider's format.
            raise EngineError(f"the model's answer cannot be read ({type(error).__name__})", retryable=True) from None

    def _record(self, run: AgentRunResult[OutputT], property_id: str) -> None:
        usage, prices = run.usage, self._settings
        AI_TOKENS.labels(property_id, "in").inc(usage.input_tokens)
        AI_TOKENS.labels(property_id, "out").inc(usage.output_tokens)
        cost = usage.input_tokens * prices.input_cost + usage.output_tokens * prices.output_cost
        AI_COST.labels(property_id).inc(cost / _TOKENS_A_PRICE)


def _model(settings: LlmSettings) -> Model:
    if settings.model is None:
        raise SettingsError("ai.llm.model: the engine `llm` needs the name of a model; set GATEWAY_AI__LLM__MODEL")
    key = settings.api_key.get_secret_value() if settings.api_key else None
    match settings.provider:
        case "anthropic":
            if key is None:
                raise SettingsError("ai.llm.apiKey: Anthropic requires a key; set GATEWAY_AI__LLM__API_KEY")
            return AnthropicModel(settings.model, provider=AnthropicProvider(api_key=key, base_url=settings.base_url))
        case "ollama":
            base_url = settings.base_url or "http://127.0.0.1:11434/v1"
            return OllamaModel(settings.model, provider=OllamaProvider(base_url=base_url, api_key=key or "none"))
        case "openai":
            if key is None and settings.base_url is None:
                raise SettingsError(
                    "ai.llm.apiKey: OpenAI requires a key; set GATEWAY_AI__LLM__API_KEY, or use another ai.llm.baseUrl"
                )
            provider = OpenAIProvider(base_url=settings.base_url, api_key=key or "none")
            return OpenAIChatModel(settings.model, provider=provider)


def _action(wanted: WantedAction, action_id: str) -> Action:
    match wanted.type:
        case "create_task":
            department = wanted.department or "front_desk"
            params = {"department": department, "priority": wanted.priority, "title": wanted.title}
        case "request_late_checkout":
            params = {"until": wanted.until} if wanted.until else {}
        case "notify_staff":
            params = {"text": wanted.title} if wanted.title else {}
    return Action(id=action_id, type=wanted.type, params={**params})


def _engine_error(error: Exception) -> EngineError:
    match error:
        case ModelQuotaExceededError():
            return EngineError("the account with the model's provider has no quota left", retryable=False)
        case ModelHTTPError(status_code=status):
            heals = status >= 500 or status in _WORTH_ANOTHER_TRY
            return EngineError(f"the model's provider answered with status {status}", retryable=heals)
        case ContentFilterError():
            return EngineError("the model's provider refuses to answer this", retryable=False)
        case ModelAPIError():
            return EngineError("the model's provider cannot be reached or broke the connection", retryable=True)
        case UnexpectedModelBehavior():
            return EngineError("the model's answer does not have the requested form", retryable=True)
        case UsageLimitExceeded() | UserError():
            return EngineError(f"the model cannot answer this request ({type(error).__name__})", retryable=False)
        case _:
            return EngineError(f"the model gave no answer ({type(error).__name__})", retryable=True)


def _is_providers(kind: type[BaseException], error: BaseException) -> bool:
    """Whether a failure may be due to the provider rather than to the question."""
    return isinstance(error, EngineError) and error.retryable
