"""Chooses the engine that the settings name."""

from activities.ai.embedded import EmbeddedEngine
from activities.ai.http import HttpEngine
from activities.ai.port import Engine
from settings import Settings, SettingsError


def build_engine(settings: Settings) -> Engine:
    """Raises SettingsError for an engine that is not there or not set up."""
    match settings.ai.engine:
        case "embedded":
            return EmbeddedEngine(settings)
        case "http":
            return HttpEngine(_address(settings.ai.http.url), settings.ai.http.token)
        case "llm":
            raise SettingsError("ai.engine: 'llm' is not available; choose embedded or http")


def _address(url: str | None) -> str:
    if url is None or not url.startswith(("http://", "https://")):
        raise SettingsError("ai.http.url: the engine `http` posts to an address like https://ai.example/answer; set it")
    return url
