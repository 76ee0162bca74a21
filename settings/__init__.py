"""Typed settings: defaults, overridden by gateway.yaml, overridden by GATEWAY_* variables. Never read by workflows.

Keys are camelCase in the file and SNAKE_CASE in the environment (`routing.aiTimeout`, `GATEWAY_ROUTING__AI_TIMEOUT`).
Durations are in milliseconds, except that `session.*` and `media.linkLifetime` are in seconds.
"""

from settings.channels import (
    Channels,
    EmailChannel,
    MessagesChannel,
    PropertyChannels,
    TwilioChannel,
    WebchatChannel,
    WhatsAppChannel,
)
from settings.conversations import (
    Ai,
    ConversationSettings,
    EngineName,
    HttpEngine,
    LlmEngine,
    Routing,
    Survey,
    SurveyWords,
    Tasks,
)
from settings.loading import ENV_PREFIX, KEYED_BY_IDS, Settings, SettingsError, load_settings
from settings.properties import Hours, Property, ServiceLevels, Texts
from settings.servers import (
    Database,
    HttpIntegration,
    Integration,
    Media,
    RateLimit,
    Redis,
    Security,
    Server,
    Session,
    Temporal,
    TemporalTls,
    Webhooks,
    Websocket,
)

__all__ = [
    "ENV_PREFIX",
    "KEYED_BY_IDS",
    "Ai",
    "Channels",
    "ConversationSettings",
    "Database",
    "EmailChannel",
    "EngineName",
    "Hours",
    "HttpEngine",
    "HttpIntegration",
    "Integration",
    "LlmEngine",
    "Media",
    "MessagesChannel",
    "Property",
    "PropertyChannels",
    "RateLimit",
    "Redis",
    "Routing",
    "Security",
    "Server",
    "ServiceLevels",
    "Session",
    "Settings",
    "SettingsError",
    "Survey",
    "SurveyWords",
    "Tasks",
    "Temporal",
    "TemporalTls",
    "Texts",
    "TwilioChannel",
    "WebchatChannel",
    "Webhooks",
    "Websocket",
    "WhatsAppChannel",
    "load_settings",
]
