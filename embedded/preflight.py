"""Checks before anything is started: a data folder for us alone, and free ports."""

import errno
import fcntl
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedded.process import StackError

PORT_PATIENCE_SECONDS = 1.0
"""How long to wait for a port: the servers of a killed supervisor end moments after it."""


@contextmanager
def held(data_dir: Path, pid: int) -> Iterator[Path]:
    """Locks the data folder, created if need be, for this process. Raises StackError if it is locked or unusable."""
    folder = data_dir.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (folder / "lock").open("a+")
    except OSError as error:
        reason = error.strerror or str(error)
        raise StackError(f"{folder}: {reason}; set GATEWAY_DATA_DIR to a writable folder") from error
    with lock:
        lock.seek(0)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = lock.read().strip()
            raise StackError(
                f"gateway dev already runs on {folder} (process {holder}); stop it or set another GATEWAY_DATA_DIR"
            ) from None
        lock.truncate()
        lock.write(str(pid))
        lock.flush()
        yield folder


def check_port(host: str, port: int, setting: str) -> None:
    """Raises StackError, naming the setting to change, if the port is in use."""
    deadline = time.monotonic() + PORT_PATIENCE_SECONDS
    while not _free(host, port, setting):
        if time.monotonic() > deadline:
            raise StackError(f"port {port} is in use; stop the program that uses it, or set {setting} to another port")
        time.sleep(0.1)


def _free(host: str, port: int, setting: str) -> bool:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # as servers do, so that lingering connections do not count
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        if error.errno == errno.EACCES:
            raise StackError(f"this user may not open port {port}; set {setting} to a port above 1023") from error
        raise StackError(
            f"server.host: {host}: {error.strerror}; set GATEWAY_SERVER__HOST to an address of this machine"
        ) from error
    return True
