"""What the servers and programs of the stack have in common, and what the servers need of the machine.

Each is started and stopped by hand or by `async with`, can be started again, and keeps its address when it is.
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
"""Below what systems take ports from for connections and for whoever asks for any."""
SOCKET_PATH_LIMIT = 100
"""A unix socket's path may have 104 to 108 bytes, depending on the system."""


class Service(ABC):
    """A part of the stack. `start` returns once it serves and raises StackError when it does not."""

    process: Process
    stop_seconds = 10.0

    @property
    def name(self) -> str:
        return self.process.name

    @abstractmethod
    async def start(self) -> None: ...

    async def stop(self) -> None:
        """Ends it cleanly, by force after `stop_seconds`."""
        await self.process.stop(seconds=self.stop_seconds)

    async def kill(self) -> None:
        """Ends it as a crash would."""
        await self.process.kill()

    def alive(self) -> bool:
        return self.process.alive()

    async def wait(self) -> int:
        """Waits for its end and returns its code."""
        return await self.process.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now, and that no outgoing connection will be given."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def socket_folder(folder: Path, name: str) -> Path:
    """The folder itself or, where the socket's path would be too long, one of this user in the temporary folder."""
    if len(os.fsencode(folder / name)) <= SOCKET_PATH_LIMIT:
        return folder
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"gateway-{os.geteuid()}-{digest}"


def make_private(folder: Path, *, owner: int) -> None:
    """Makes a folder that only `owner` may enter. Raises StackError where somebody else made it first."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if folder.lstat().st_uid != owner or not folder.is_dir():
            raise StackError(f"{folder} belongs to somebody else; remove it") from None
    else:
        os.chown(folder, owner, -1)
