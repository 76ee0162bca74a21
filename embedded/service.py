"""The base class of the stack's servers and programs, and helpers for ports and folders.

A service is started and stopped explicitly or by `async with`. It can be restarted, and keeps its address.
"""

import hashlib
import os
import secrets
import socket
import tempfile
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Self

from embedded.process import Process, StackError

START_SECONDS = 60
PORTS = range(10_000, 32_768)
"""Below the ranges from which systems assign ports automatically."""
SOCKET_PATH_LIMIT = 100
"""A unix socket's path may have at most 104 to 108 bytes, depending on the system."""


class Service(ABC):
    """A part of the stack. `start` returns once it serves, and raises StackError if it does not."""

    process: Process
    stop_seconds = 10.0

    @property
    def name(self) -> str:
        return self.process.name

    @abstractmethod
    async def start(self) -> None: ...

    async def stop(self) -> None:
        """Stops it cleanly, or by force after `stop_seconds`."""
        await self.process.stop(seconds=self.stop_seconds)

    async def kill(self) -> None:
        """Kills it, as a crash would."""
        await self.process.kill()

    def alive(self) -> bool:
        return self.process.alive()

    async def wait(self) -> int:
        """Waits for the end and returns the exit code."""
        return await self.process.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def free_port() -> int:
    """A loopback port that is free now and will not be assigned to outgoing connections."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def socket_folder(folder: Path, name: str) -> Path:
    """The folder itself or, if a socket's path would be too long, one of this user in the temporary folder."""
    if len(os.fsencode(folder / name)) <= SOCKET_PATH_LIMIT:
        return folder
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"gateway-{os.geteuid()}-{digest}"


def make_private(folder: Path, *, owner: int) -> None:
    """Creates a folder that only `owner` may enter. Raises StackError if somebody else owns it already."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if folder.lstat().st_uid != owner or not folder.is_dir():
            raise StackError(f"{folder} belongs to another user; remove it") from None
    else:
        os.chown(folder, owner, -1)
