"""Processes of the operating system: looking at them, and the worker's own."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

import worker
from settings import Settings

ROOT = Path(worker.__file__).parent


def ended(processes: Sequence[psutil.Process]) -> Callable[[], Awaitable[bool]]:
    """A look at whether all have ended; one that nobody has reaped yet has, too."""

    async def look() -> bool:
        return not any(map(_runs, processes))

    return look


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _environment(settings: Settings) -> dict[str, str]:
    keys = {name: key.get_secret_value() for name, key in settings.temporal.codec_keys.items()}
    secret, identity = settings.channels.messages.secret, settings.security.identity_secret
    return {
        **os.environ,
        "GATEWAY_TEMPORAL__ADDRESS": settings.temporal.address or "",
        "GATEWAY_TEMPORAL__CODEC_KEYS": json.dumps(keys),
        "GATEWAY_TEMPORAL__CODEC_KEY_ID": settings.temporal.codec_key_id,
        "GATEWAY_DATABASE__URL": settings.database.url or "",
        "GATEWAY_REDIS__URL": settings.redis.url or "",
        "GATEWAY_AI__ENGINE": settings.ai.engine,
        "GATEWAY_AI__HTTP__URL": settings.ai.http.url or "",
        "GATEWAY_CHANNELS__MESSAGES__CALLBACK_URL": settings.channels.messages.callback_url or "",
        "GATEWAY_WEBHOOKS__ALLOW_PRIVATE": str(settings.webhooks.allow_private),
        "GATEWAY_SECURITY__IDENTITY_SECRET": identity.get_secret_value() if identity else "",
        "GATEWAY_CHANNELS__MESSAGES__SECRET": secret.get_secret_value() if secret else "",
    }


@asynccontextmanager
async def worker_process(settings: Settings, root: Path = ROOT) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python worker.py` of a source tree, from the moment it says that it is ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "worker.py", cwd=root, env=_environment(settings), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        async for line in process.stdout:
            if worker.READY in line.decode():
                break
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
