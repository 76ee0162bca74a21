"""How conversations and tasks go: who answers, how long anything waits, what guests are asked."""

from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, SecretStr

from contracts.messages import ChannelType
from settings.section import Milliseconds, Section, Timeout


class Routing(Section):
    ai_timeout: Timeout = 30_000
    max_retries: int = Field(default=3, ge=0)
    escalation_threshold: float = Field(default=0.7, ge=0, le=1)


EngineName = Literal["embedded", "llm", "http"]


class HttpEngine(Section):
    """A remote AI engine. `token` is sent as a bearer token; `timeout` applies to one request."""

    url: str | None = None
    token: SecretStr | None = None
    timeout: Timeout = 20_000


class LlmEngine(Section):
    """A language model. `openai` is any server with OpenAI's API. Costs are per million tokens.

    `timeout` applies to one request. `context_characters` limits the articles that the model is given.
    """

    provider: Literal["openai", "anthropic", "ollama"] = "openai"
    base_url: str | None = None
    model: str | None = None
    api_key: SecretStr | None = None
    timeout: Timeout = 20_000
    max_tokens: int = Field(default=800, ge=1)
    context_characters: int = Field(default=12_000, ge=1_000)
    input_cost: float = Field(default=0.0, ge=0)
    output_cost: float = Field(default=0.0, ge=0)


class Ai(Section):
    """The AI engine. If it gives no answer, those in `fallback` are asked in order."""

    engine: EngineName = "embedded"
    fallback: list[EngineName] = []
    http: HttpEngine = HttpEngine()
    llm: LlmEngine = LlmEngine()


class SurveyWords(Section):
    """Texts of the rating question. Unset ones keep their defaults."""

    question: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    thanks: Annotated[str, Field(min_length=1, max_length=1000)] | None = None


Language = Annotated[str, Field(pattern=r"^[a-z]{2}$")]


class Survey(Section):
    """Asking guests for a rating when a conversation is resolved."""

    enabled: bool = False
    window: Annotated[Milliseconds, Field(ge=60_000, le=7 * 24 * 3600 * 1000)] = 24 * 3600 * 1000
    """How long a number counts as the rating. A guest who writes anything else meanwhile reopens the conversation."""
    pause: Milliseconds = 7 * 24 * 3600 * 1000
    """How long a contact is not asked again after having been asked."""
    language: Language = "en"
    """For guests whose language is unknown or has no texts."""
    words: dict[Language, SurveyWords] = {}
    """Texts by language (ISO 639-1)."""


def _for_every_channel(value: object) -> object:
    """Lets a single number stand for every channel."""
    if isinstance(value, int | str):
        return dict.fromkeys(get_args(ChannelType), value)
    return value


class ConversationSettings(Section):
    debounce: Annotated[dict[ChannelType, Milliseconds], BeforeValidator(_for_every_channel)] = {
        "whatsapp": 1_500,
        "sms": 1_500,
        "email": 1_500,
        "webchat": 500,
    }
    idle_timeout: Milliseconds = 24 * 3600 * 1000
    escalated_timeout: Milliseconds = 30 * 24 * 3600 * 1000
    """When an idle escalated conversation is closed all the same. 0 means never."""
    resolved_window: Milliseconds = 0
    summaries: bool = True
    """Whether the AI summarises a conversation when it is escalated and when it is resolved."""
    survey: Survey = Survey()
    message_age_limit: Milliseconds = 24 * 3600 * 1000
    history_limit: int = Field(default=200, ge=20)


class Tasks(Section):
    due_in: Milliseconds = 3600 * 1000
    """When a task that the AI creates is due, in the property's business hours. 0 means that it has no due date."""
    reminder_lead: Annotated[Milliseconds, Field(le=30 * 24 * 3600 * 1000)] = 30 * 60 * 1000
    """How long before a task's due date a reminder is sent. 0 means never."""
    raise_overdue: bool = True
    """Whether an overdue task becomes one step more urgent."""
