"""Reading the settings: defaults, overridden by gateway.yaml, overridden by GATEWAY_* variables."""

import os
import re
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError
from pydantic.alias_generators import to_camel, to_snake
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)
from pydantic_settings.exceptions import SettingsError as UnreadableVariable

from contracts.messages import ChannelType
from contracts.rules import Department
from settings.channels import Channels, PropertyChannels
from settings.conversations import Ai, ConversationSettings, EngineName, Routing, Survey, Tasks
from settings.properties import Property
from settings.section import over
from settings.servers import (
    Database,
    Integration,
    Media,
    RateLimit,
    Redis,
    Security,
    Server,
    Session,
    Temporal,
    Webhooks,
    Websocket,
)

ENV_PREFIX = "GATEWAY_"
KEYED_BY_IDS = ("properties", "codec_keys", "jwt_keys")
"""Sections whose keys are ids chosen by the hotel, and not names of settings."""
_NO_SECTION = ("model_type", "model_attributes_type", "dict_type")


class SettingsError(Exception):
    """Unknown or wrong settings. The text has a line for each with what would be right, and never a secret."""


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
            messages=over(self.channels.messages, own.messages),
            whatsapp=over(self.channels.whatsapp, own.whatsapp),
            twilio=over(self.channels.twilio, own.twilio),
            email=over(self.channels.email, own.email),
            webchat=over(self.channels.webchat, own.webchat),
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
        return over(self.ai, hotel.ai) if hotel else self.ai

    def survey_of(self, property_id: str) -> Survey:
        """The rating settings of a property: its own keys over the shared ones."""
        hotel = self.properties.get(property_id)
        return over(self.conversation.survey, hotel.survey) if hotel else self.conversation.survey

    def task_due_in_of(self, property_id: str) -> dict[Department, int]:
        """How many milliseconds each department of a property has for a task of the AI; 0 means no due date."""
        shared: dict[Department, int] = dict.fromkeys(get_args(Department), self.tasks.due_in)
        hotel = self.properties.get(property_id)
        return shared | hotel.task_due_in if hotel else shared

    def engine_of(self, property_id: str) -> EngineName:
        return self.ai_of(property_id).engine


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
