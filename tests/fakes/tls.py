"""A server that breaks TLS off once its client takes the handshake for done."""

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@asynccontextmanager
async def wanting_a_certificate(folder: Path) -> AsyncIterator[tuple[str, ssl.SSLContext]]:
    """A server that takes only who shows a certificate; its URL, and a context that trusts it and has none."""
    certificate = _self_signed(folder)
    wants = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    wants.minimum_version = ssl.TLSVersion.TLSv1_3
    wants.load_cert_chain(certificate)
    wants.verify_mode = ssl.CERT_REQUIRED
    wants.load_verify_locations(certificate)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A handshake by hand: asyncio's own server cuts the connection before it says why."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        handshake = wants.wrap_bio(incoming, outgoing, server_side=True)
        while said := await reader.read(65536):
            incoming.write(said)
            with suppress(ssl.SSLError):  # it wants more, or has refused
                handshake.do_handshake()
            writer.write(outgoing.read())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"https://127.0.0.1:{port}/hook", ssl.create_default_context(cafile=certificate)


def _self_signed(folder: Path) -> Path:
    """A file with a key and its certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "receiver")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    path = folder / "receiver.pem"
    path.write_bytes(pem)
    return path
