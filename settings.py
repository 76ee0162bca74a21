"""Typed settings: defaults, overridden by gateway.yaml, overridden by GATEWAY_* variables. Never read by workflows.

Keys are camelCase in the file and SNAKE_CASE in the environment (`routing.aiTimeout`, `GATEWAY_ROUTING__AI_TIMEOUT`).
Durations are in milliseconds, except that `session.*` and `media.linkLifetime` are in seconds.
"""

import os
import re
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic.alias_generators import to_camel, to_snake
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)
from pydantic_settings.exceptions import SettingsError as UnreadableVariable

from contracts.guests import Autonomy
from contracts.messages import ChannelType
from contracts.rules import ActionType, Approval, Period, Priority, TimeZone, Topic, Weekday

ENV_PREFIX = "GATEWAY_"
Milliseconds = Annotated[int, Field(ge=0, le=365 * 24 * 3600 * 1000)]
Seconds = Annotated[int, Field(ge=0, le=365 * 24 * 3600)]
Timeout = Annotated[Milliseconds, Field(ge=1)]
"""How long to wait for something. 0 is refused: it would not mean "for ever" but that nothing comes in time."""
EngineName = Literal["embedded", "llm", "http"]
KEYED_BY_IDS = ("properties", "codec_keys", "jwt_keys")
"""Sections whose keys are ids chosen by the hotel, and not names of settings."""
_NO_SECTION = ("model_type", "model_attributes_type", "dict_type")


class SettingsError(Exception):
    """Unknown or wrong settings. The text has a line for each with what would be right, and never a secret."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=True)


class Server(Section):
    host: str = "0.0.0.0"  # noqa: S104 - the specification's default; `gateway dev` listens on loopback
    port: int = Field(default=3000, ge=0, le=65535)
    public_url: str | None = None
    """Our public address, such as `https://chat.hotel.example`, with which links in messages and mails begin."""


class Websocket(Section):
    ping_interval: Milliseconds = 30_000
    ping_timeout: Timeout = 5_000
    max_connections: int = Field(default=10_000, ge=1)
    allowed_origins: list[str] = []
    """Origins besides our own that may open a socket. `*` allows all."""


class Session(Section):
    ttl: Annotated[Seconds, Field(ge=1)] = 3600
    renewal_threshold: Seconds = 300


class Routing(Section):
    ai_timeout: Timeout = 30_000
    max_retries: int = Field(default=3, ge=0)
    escalation_threshold: float = Field(default=0.7, ge=0, le=1)


class RateLimit(Section):
    window_ms: int = Field(default=60_000, ge=1)
    max_requests: int = Field(default=100, ge=1)


class TemporalTls(Section):
    """TLS on connections to the server at `temporal.address`. Paths name PEM files."""

    enabled: bool = False
    server_ca: Path | None = None
    """Certificate of the authority that signed the server's. If unset, the system's authorities are trusted."""
    server_name: str | None = None
    """The name in the server's certificate, if it differs from the host in the address."""
    client_cert: Path | None = None
    client_key: Path | None = None
    """Certificate and key that identify us to the server (mTLS): both or neither."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.client_cert is None) != (self.client_key is None):
            raise ValueError("clientCert and clientKey: set both or neither")
        if not self.enabled and (self.server_ca or self.server_name or self.client_cert):
            raise ValueError("enabled: must be true for the other settings to have an effect")
        return self


class Temporal(Section):
    address: str | None = None
    """`host:port` of a Temporal server. If unset, `gateway dev` starts one."""
    namespace: str = "default"
    tls: TemporalTls = TemporalTls()
    api_key: SecretStr | None = None
    """Sent with every request, as Temporal Cloud wants it. Needs `tls.enabled`."""
    port: int = Field(default=7233, ge=0, le=65535)
    ui_port: int = Field(default=8233, ge=0, le=65535)
    cli: str | None = None
    """Path of another Temporal CLI for the embedded server."""
    codec_keys: dict[str, SecretStr] = {}
    """AES-256 keys by id, 32 bytes each in base64. Temporal's payloads are encrypted with the key `codec_key_id`."""
    codec_key_id: str = "dev"
    metrics_port: int = Field(default=0, ge=0, le=65535)
    """Prometheus port of a worker process. 0 means none."""

    @model_validator(mode="after")
    def _secure(self) -> Self:
        if self.api_key is not None and not self.tls.enabled:
            raise ValueError("apiKey: needs tls.enabled, or it would be sent in clear text")
        if self.tls.enabled and self.address is None:
            raise ValueError("tls: needs address; the server that gateway dev starts has no TLS")
        return self


class Database(Section):
    url: str | None = None
    """`postgresql://…`. If unset, `gateway dev` starts a server."""
    pool_size: int = Field(default=10, ge=1)
    connect_timeout: Timeout = 2_000
    statement_timeout: Timeout = 5_000


class Redis(Section):
    url: str | None = None
    """`redis://…` or `unix://…`. If unset, `gateway dev` starts a server."""
    timeout: Timeout = 1_000


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


def _for_every_channel(value: object) -> object:
    """Lets a single number stand for every channel."""
    if isinstance(value, int | str):
        return dict.fromkeys(get_args(ChannelType), value)
    return value


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
    reminder_lead: Annotated[Milliseconds, Field(le=30 * 24 * 3600 * 1000)] = 30 * 60 * 1000
    """How long before a task's due date a reminder is sent. 0 means never."""
    raise_overdue: bool = True
    """Whether an overdue task becomes one step more urgent."""


class MessagesChannel(Section):
    """The generic channel: signed JSON in, signed JSON to `callback_url` out."""

    secret: SecretStr | None = None
    callback_url: str | None = None


class WhatsAppChannel(Section):
    api_base: str = "https://graph.facebook.com/v23.0"
    app_secret: SecretStr | None = None
    verify_token: SecretStr | None = None
    access_token: SecretStr | None = None
    phone_number_id: str | None = None


class TwilioChannel(Section):
    api_base: str = "https://api.twilio.com"
    account_sid: str | None = None
    auth_token: SecretStr | None = None
    from_number: str | None = None
    public_url: str | None = None


class EmailChannel(Section):
    smtp_host: str | None = None
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    smtp_tls: Literal["auto", "starttls", "implicit", "none"] = "auto"
    """`auto` is implicit TLS on port 465, otherwise STARTTLS if offered. A password is never sent without TLS."""
    from_address: str | None = None
    from_name: str | None = None
    """If unset, the property's name."""
    hourly_answers: int = Field(default=12, ge=1)
    """How many mails of one conversation are answered per hour. More than that are taken for a mail loop."""
    secret: SecretStr | None = None
    mailgun_signing_key: SecretStr | None = None
    postmark_secret: SecretStr | None = None
    sendgrid_secret: SecretStr | None = None


class WebchatChannel(Section):
    """The hotel's web chat, on our page or on the hotel's own."""

    allowed_origins: list[str] = []
    """Origins of the hotel's pages that may open the chat, besides those of `websocket.allowedOrigins`."""
    identity_secret: SecretStr | None = None
    """Verifies the identity of guests whom the hotel's own page has signed in."""


AnySection = TypeVar("AnySection", bound="Section")


class PropertyChannels(Section):
    messages: MessagesChannel = MessagesChannel()
    whatsapp: WhatsAppChannel = WhatsAppChannel()
    twilio: TwilioChannel = TwilioChannel()
    email: EmailChannel = EmailChannel()
    webchat: WebchatChannel = WebchatChannel()


class Channels(PropertyChannels):
    """The shared channels, and the send rate of all of them together."""

    max_per_second: float | None = Field(default=None, gt=0)
    """Sends per second of all `gateway-channels` workers together. If unset, there is no limit."""
    max_concurrent: int = Field(default=100, ge=1)
    """Concurrent sends of one `gateway-channels` worker."""


def _by_the_clock(period: object) -> object:
    """Refuses times without quotes: YAML reads 10:00 as the number 600, which would be ten minutes past midnight."""
    for name, at in period.items() if isinstance(period, dict) else ():
        if not isinstance(at, time) and not (isinstance(at, str) and _CLOCK.fullmatch(at)):
            raise ValueError(f'{name}: must be a time of day, in quotes, such as "08:00"')
    return period


_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?")
OpenPeriod = Annotated[Period, BeforeValidator(_by_the_clock)]


class Hours(Section):
    """When people are there to answer, in the property's time zone. A day without periods is closed."""

    weekly: dict[Weekday, list[OpenPeriod]] = {}
    holidays: dict[date, list[OpenPeriod]] = {}


class ServiceLevels(Section):
    """How long a guest may wait for a person, counted in business hours."""

    first_response: Milliseconds
    next_response: Milliseconds


class Texts(Section):
    """Texts sent to guests. Unset ones keep their defaults."""

    fallback_text: str | None = None
    handover_text: str | None = None
    emergency_text: str | None = None
    away_text: str | None = None
    breach_text: str | None = None
    task_done_text: str | None = None
    late_checkout_text: str | None = None
    no_late_checkout_text: str | None = None


class Media(Section):
    """Files of conversations."""

    url: str | None = None
    """`s3://bucket/prefix` or `file:///folder`. If unset, the folder `media` in the data directory."""
    endpoint: str | None = None
    """URL of an S3-compatible store. This and the next three are read from AWS_* variables if unset."""
    region: str | None = None
    access_key_id: SecretStr | None = None
    secret_access_key: SecretStr | None = None
    max_bytes: int = Field(default=25_000_000, ge=1)
    types: list[str] = [
        "image/*",
        "audio/*",
        "video/*",
        "application/pdf",
        "text/plain",
        "text/csv",
        "text/calendar",
        "text/vcard",
        "message/rfc822",
        "application/msword",
        "application/vnd.ms-excel",
        "application/vnd.openxmlformats-officedocument.*",
        "application/vnd.oasis.opendocument.*",
    ]
    link_lifetime: Seconds = 7 * 24 * 3600
    """How long links without sign-in work: those for guests, and for channels that fetch files we send."""


class Property(Section):
    """One hotel. Its `channels` override the shared ones key by key."""

    name: str
    time_zone: TimeZone = "UTC"
    knowledge: str | None = None
    """A folder of articles. If unset, the one shipped under the property's id, if any."""
    hours: Hours | None = None
    """If unset, people are always there."""
    service_levels: dict[Priority, ServiceLevels] | None = None
    never_ai: list[Topic] | None = None
    autonomy: Autonomy | None = None
    vip_autonomy: Autonomy | None = None
    repeats_to_escalate: int | None = Field(default=None, ge=1)
    approvals: dict[ActionType, Approval] | None = None
    texts: Texts = Texts()
    channels: PropertyChannels = PropertyChannels()
    survey: Survey = Survey()
    """Overrides `conversation.survey` key by key."""
    ai: Ai = Ai()
    """Overrides `ai` key by key."""


class Webhooks(Section):
    """Outgoing webhooks."""

    allow_private: bool = False
    """Allows endpoints at private, loopback and link-local addresses, and plain HTTP. For development only."""
    timeout: Annotated[Timeout, Field(le=20_000)] = 15_000
    """Limit of one whole attempt."""
    disable_after: Milliseconds = 5 * 24 * 3600 * 1000
    """An endpoint is disabled after all attempts have failed for this long."""
    secret_overlap: Milliseconds = 24 * 3600 * 1000
    """How long the old secret still signs after a new one was created."""


class HttpIntegration(Section):
    """A service in front of the hotel's own system, which knows guests' stays. `timeout` applies to one request."""

    url: str | None = None
    token: SecretStr | None = None
    timeout: Timeout = 2_000


class Integration(Section):
    http: HttpIntegration = HttpIntegration()


class Security(Section):
    identity_secret: SecretStr | None = None
    """The key of contact ids. If it changes, earlier guests are no longer recognised."""
    jwt_secret: SecretStr | None = None
    """Signs tokens of staff sessions and web chat visitors, under the key id `main`."""
    jwt_keys: dict[str, SecretStr] = {}
    """Further signing keys by id. Tokens signed by any of them are accepted, so that keys can be rotated."""
    jwt_key_id: str = "main"
    """The id of the key that signs new tokens."""


class Settings(BaseSettings):
    """All settings. Sections are the keys under `gateway:` of gateway.yaml."""

    model_config = SettingsConfigDict(
        extra="forbid", env_prefix=ENV_PREFIX, env_nested_delimiter="__", validate_default=True
    )

    server: Server = Server()
    websocket: Websocket = Websocket()
    session: Session = Session()
    routing: Routing = Routing()
    rate_limit: RateLimit = RateLimit()
    temporal: Temporal = Temporal()
    database: Database = Database()
    redis: Redis = Redis()
    ai: Ai = Ai()
    conversation: ConversationSettings = ConversationSettings()
    tasks: Tasks = Tasks()
    channels: Channels = Channels()
    media: Media = Media()
    properties: dict[str, Property] = {}
    integration: Integration = Integration()
    webhooks: Webhooks = Webhooks()
    security: Security = Security()
    data_dir: Path = Path(".gateway")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        if isinstance(env_settings, EnvSettingsSource):
            # A variable that holds a whole section comes before those of its keys, or it would take them away.
            env_settings.env_vars = dict(sorted(env_settings.env_vars.items()))
        return init_settings, env_settings, _SettingsFile(settings_cls)

    def way_out(self, property_id: str, channel_type: ChannelType) -> tuple[str, str]:
        """The adapter by which a property writes to somebody new, and the property's address on that channel.

        Channels without credentials use the generic one.
        """
        own = self.channels_of(property_id)
        ways = {
            "whatsapp": ("whatsapp", own.whatsapp.phone_number_id),
            "sms": ("twilio", own.twilio.from_number),
            "email": ("email", own.email.from_address),
        }
        adapter, ours = ways.get(channel_type, ("messages", None))
        return (adapter, ours) if ours is not None else ("messages", property_id)

    def channels_of(self, property_id: str) -> PropertyChannels:
        """The channels of a property: its own keys over the shared ones."""
        hotel = self.properties.get(property_id)
        own = hotel.channels if hotel is not None else PropertyChannels()
        return PropertyChannels.model_construct(
            messages=_over(self.channels.messages, own.messages),
            whatsapp=_over(self.channels.whatsapp, own.whatsapp),
            twilio=_over(self.channels.twilio, own.twilio),
            email=_over(self.channels.email, own.email),
            webchat=_over(self.channels.webchat, own.webchat),
        )

    def property_of_number(self, phone_number_id: str, addressed: str) -> str | None:
        """The property of a WhatsApp number: the one that sets it, or else `addressed` if it uses the shared number."""
        for property_id, hotel in self.properties.items():
            if hotel.channels.whatsapp.phone_number_id == phone_number_id:
                return property_id
        return addressed if self.channels_of(addressed).whatsapp.phone_number_id == phone_number_id else None

    def ai_of(self, property_id: str) -> Ai:
        """The AI settings of a property: its own keys over the shared ones."""
        hotel = self.properties.get(property_id)
        return _over(self.ai, hotel.ai) if hotel else self.ai

    def survey_of(self, property_id: str) -> Survey:
        """The rating settings of a property: its own keys over the shared ones."""
        hotel = self.properties.get(property_id)
        return _over(self.conversation.survey, hotel.survey) if hotel else self.conversation.survey

    def engine_of(self, property_id: str) -> EngineName:
        return self.ai_of(property_id).engine


def _over(shared: AnySection, own: AnySection) -> AnySection:
    """The shared section, overridden at any depth by the keys that a property sets itself."""
    changes: dict[str, object] = {}
    for name in own.model_fields_set:
        value, before = getattr(own, name), getattr(shared, name)
        changes[name] = _over(before, value) if isinstance(value, Section) else value
    return shared.model_copy(update=changes)


class _SettingsFile(YamlConfigSettingsSource):
    """gateway.yaml, or the file named by GATEWAY_CONFIG, with its keys converted to snake_case."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        path = Path(os.environ.get("GATEWAY_CONFIG", "gateway.yaml"))
        if "GATEWAY_CONFIG" in os.environ and not path.is_file():
            raise SettingsError(f"GATEWAY_CONFIG: there is no file {path}")
        try:
            super().__init__(settings_cls, yaml_file=path)
        except (yaml.YAMLError, ValueError, TypeError, OSError) as error:
            raise SettingsError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from error
        content: dict[str, Any] = dict(self.yaml_data)
        if content and set(content) != {"gateway"}:
            other = ", ".join(sorted(map(str, set(content) - {"gateway"})))
            raise SettingsError(f"{path}: the root key must be `gateway`" + (f", found: {other}" if other else ""))
        sections = content.get("gateway") or {}
        if not isinstance(sections, dict):
            raise SettingsError(f"{path}: `gateway` must contain sections, such as `server`")
        self.init_kwargs = _snake(sections)


def _snake(node: dict[Any, Any], *, keep: bool = False) -> dict[Any, Any]:
    """Converts keys to snake_case, except ids (of properties, `codecKeys`, `jwtKeys`) and dates."""
    return {
        (to_snake(key) if isinstance(key, str) and not keep else key): (
            _snake(value, keep=not keep and isinstance(key, str) and to_snake(key) in KEYED_BY_IDS)
            if isinstance(value, dict)
            else value
        )
        for key, value in node.items()
    }


def load_settings(**overrides: Any) -> Settings:
    """Reads all settings. Raises SettingsError with a line for each that is unknown or wrong."""
    known = {name.upper() for name in Settings.model_fields} | {"CONFIG"}
    for name in os.environ:
        if name.startswith(ENV_PREFIX) and name.removeprefix(ENV_PREFIX).split("__")[0] not in known:
            sections = ", ".join(sorted(ENV_PREFIX + key for key in known))
            raise SettingsError(f"{name}: no such setting; names begin with one of {sections}")
    try:
        return Settings(**overrides)
    except UnreadableVariable as error:
        raise SettingsError(f"{error}; a variable that sets a whole section must contain JSON") from error
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(dict(each)) for each in error.errors())) from error


def _explain(error: dict[str, Any]) -> str:
    path = _path(error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{path}: no such setting; remove it or correct its name"
    return f"{path}: {error['msg']}{_shown(path, error)}"


def _path(location: tuple[int | str, ...]) -> str:
    """The path of a setting as written in the file."""
    owners = (None, *location)
    return ".".join(
        str(part) if owner in KEYED_BY_IDS else to_camel(str(part))
        for owner, part in zip(owners, location, strict=False)
    )


def _shown(path: str, error: dict[str, Any]) -> str:
    """The value for an error message, unless it is a secret or stands in place of a section, which may hold one."""
    value = error["input"]
    if error["type"] in _NO_SECTION or isinstance(value, dict | list):
        return ""
    hidden = re.search(r"secret|token|key|password|url", path, re.IGNORECASE)
    return f" (value {'hidden' if hidden else repr(value)})"
