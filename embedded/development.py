"""Defaults that exist only under `gateway dev`: the demo hotel, and secrets generated for one data folder."""

import json
import os
import secrets
from base64 import b64encode
from pathlib import Path

from contracts.staff import DEMO_PROPERTY
from settings import Settings

DEMO_HOTEL = {"name": "Seaview Hotel", "time_zone": "Europe/Lisbon"}

CODEC_KEY = b64encode(b"gateway development key, public!").decode()
"""Fixed and not secret, so that any tool on a developer's machine can read Temporal's payloads."""

_SECRETS = (
    "GATEWAY_SECURITY__IDENTITY_SECRET",
    "GATEWAY_SECURITY__JWT_SECRET",
    "GATEWAY_CHANNELS__MESSAGES__SECRET",
)


def environment(settings: Settings, folder: Path) -> dict[str, str]:
    """Environment variables for required settings that nobody has set."""
    configured = (
        settings.security.identity_secret,
        settings.security.jwt_secret,
        settings.channels.messages.secret,
    )
    made = kept_secrets(folder / "secrets.env")
    missing = {name: made[name] for name, value in zip(_SECRETS, configured, strict=True) if value is None}
    if not settings.temporal.codec_keys:
        missing["GATEWAY_TEMPORAL__CODEC_KEYS"] = json.dumps({"dev": CODEC_KEY})
    if DEMO_PROPERTY not in settings.properties:
        properties = json.loads(os.environ.get("GATEWAY_PROPERTIES", "{}"))
        missing["GATEWAY_PROPERTIES"] = json.dumps({**properties, DEMO_PROPERTY: DEMO_HOTEL})
    return missing


def kept_secrets(path: Path) -> dict[str, str]:
    """Random secrets, generated once and kept in a file that only its owner can read."""
    lines = path.read_text().splitlines() if path.exists() else []
    kept = dict(line.split("=", 1) for line in lines if "=" in line)
    missing = {name: secrets.token_urlsafe(32) for name in _SECRETS if not kept.get(name)}
    if missing:
        kept |= missing
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.writelines(f"{name}={value}\n" for name, value in kept.items())
        new.replace(path)
    return kept
