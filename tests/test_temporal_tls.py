"""A Temporal server behind TLS: what is trusted, who we are to it, and settings that cannot be."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest

from contracts.problems import Unavailable
from embedded import TemporalServer
from settings import Settings, SettingsError, TemporalTls, load_settings
from tests.certificates import Issued, self_signed
from workflows.connection import connect

SERVER, STRANGER, CLIENT = self_signed("temporal.test"), self_signed("temporal.test"), self_signed("gateway.test")


def _write(folder: Path, issued: Issued) -> tuple[Path, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    folder.mkdir()
    certificate.write_bytes(issued.certificate)
    key.write_bytes(issued.key)
    return certificate, key


@asynccontextmanager
async def _behind_tls(folder: Path, address: str) -> AsyncIterator[str]:
    """The address of a proxy that takes TLS with our client certificate only, and passes on to a server without."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*_write(folder / "server", SERVER))
    context.load_verify_locations(cadata=CLIENT.certificate.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection(host, int(port))
        await asyncio.gather(_copy(reader, ours), _copy(theirs, writer))

    proxy = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context)
    async with proxy:
        yield f"127.0.0.1:{proxy.sockets[0].getsockname()[1]}"


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, ssl.SSLError):
        while received := await reader.read(65536):
            writer.write(received)
            await writer.drain()
    writer.close()


@pytest.fixture
def tls(tmp_path: Path) -> TemporalTls:
    """What is right for the proxy."""
    certificate, key = _write(tmp_path / "client", CLIENT)
    authority, _ = _write(tmp_path / "authority", SERVER)
    return TemporalTls(
        enabled=True, server_ca=authority, server_name="temporal.test", client_cert=certificate, client_key=key
    )


async def test_a_server_with_tls_that_wants_to_know_who_we_are(
    settings: Settings, temporal: TemporalServer, tls: TemporalTls, tmp_path: Path
) -> None:
    async with _behind_tls(tmp_path, temporal.address) as settings.temporal.address:
        settings.temporal.tls = tls
        client = await connect(settings, lazy=False)
        assert (await client.workflow_service.get_system_info(GetSystemInfoRequest())).server_version


@pytest.mark.parametrize("wrong", ["authority", "name", "client", "no tls"])
async def test_nothing_is_said_to_a_server_that_is_not_trusted_or_does_not_trust_us(
    settings: Settings, temporal: TemporalServer, tls: TemporalTls, tmp_path: Path, wrong: str
) -> None:
    certificate, key = _write(tmp_path / "stranger", STRANGER)
    settings.temporal.tls = {
        "authority": tls.model_copy(update={"server_ca": certificate}),
        "name": tls.model_copy(update={"server_name": "elsewhere.test"}),
        "client": tls.model_copy(update={"client_cert": certificate, "client_key": key}),
        "no tls": TemporalTls(),
    }[wrong]
    async with _behind_tls(tmp_path, temporal.address) as settings.temporal.address:
        with pytest.raises(Unavailable, match="Temporal does not answer"):
            await connect(settings, lazy=False)


async def test_a_file_that_cannot_be_read_is_named(settings: Settings, tls: TemporalTls, tmp_path: Path) -> None:
    settings.temporal.tls = tls.model_copy(update={"client_key": tmp_path / "missing.pem"})
    with pytest.raises(SettingsError, match=r"^temporal\.tls\.clientKey: cannot read .*missing\.pem \(No such file"):
        await connect(settings)


async def test_an_api_key_goes_with_every_request(settings: Settings, tls: TemporalTls) -> None:
    settings.temporal.tls = tls
    settings.temporal.api_key = load_settings(temporal=_SECURE | {"api_key": "secret"}).temporal.api_key
    assert (await connect(settings)).api_key == "secret"


_SECURE: dict[str, object] = {"address": "temporal.test:7233", "tls": {"enabled": True}}


@pytest.mark.parametrize(
    ("temporal", "told"),
    [
        ({"address": "temporal.test:7233", "api_key": "secret"}, "temporal: .*apiKey: needs tls.enabled"),
        ({"tls": {"enabled": True}}, "temporal: .*tls: needs address"),
        ({"tls": {"server_name": "temporal.test"}}, "temporal.tls: .*enabled: must be true"),
        ({**_SECURE, "tls": {"enabled": True, "client_cert": "c.pem"}}, "temporal.tls: .*clientCert and clientKey"),
    ],
)
@pytest.mark.usefixtures("clean_environment")
def test_settings_that_cannot_be_are_told(temporal: dict[str, object], told: str) -> None:
    with pytest.raises(SettingsError, match=told) as refused:
        load_settings(temporal=temporal)
    assert "secret" not in str(refused.value)
