"""Connecting to Temporal as the settings say."""

import re
from pathlib import Path

from temporalio.client import Client
from temporalio.runtime import Runtime
from temporalio.service import TLSConfig

from contracts.problems import Unavailable
from settings import Settings, SettingsError, TemporalTls
from workflows.codec import data_converter

LARGEST_PORT = 65535
_ADDRESS = re.compile(r"(?:[^\s/:@\[\]]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")


async def connect(settings: Settings, *, lazy: bool = True, runtime: Runtime | None = None) -> Client:
    """A Temporal client. A lazy one connects on first use, so that a process can start while Temporal is away.

    Raises SettingsError if the address, a TLS file or the codec's key is missing or wrong, and Unavailable if it is not
    lazy and Temporal does not answer.
    """
    temporal = settings.temporal
    if temporal.address is None:
        raise SettingsError("temporal.address: set GATEWAY_TEMPORAL__ADDRESS to host:port")
    found = _ADDRESS.fullmatch(temporal.address)
    if found is None or int(found["port"]) > LARGEST_PORT:
        raise SettingsError(f"temporal.address: must be host:port (value {temporal.address!r})")
    try:
        return await Client.connect(
            temporal.address,
            namespace=temporal.namespace,
            tls=_tls(temporal.tls) if temporal.tls.enabled else False,
            api_key=temporal.api_key.get_secret_value() if temporal.api_key else None,
            data_converter=data_converter(temporal),
            lazy=lazy,
            runtime=runtime,
        )
    except RuntimeError as error:
        raise Unavailable(f"Temporal does not answer at {temporal.address}") from error


def _tls(tls: TemporalTls) -> TLSConfig:
    return TLSConfig(
        server_root_ca_cert=_read("serverCa", tls.server_ca),
        domain=tls.server_name,
        client_cert=_read("clientCert", tls.client_cert),
        client_private_key=_read("clientKey", tls.client_key),
    )


def _read(name: str, path: Path | None) -> bytes | None:
    try:
        return path.read_bytes() if path is not None else None
    except OSError as error:
        raise SettingsError(f"temporal.tls.{name}: cannot read {path} ({error.strerror})") from error
