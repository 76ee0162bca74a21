"""Our own servers, and those that they need: Temporal, PostgreSQL, Redis, a store for files, the hotel's own system."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from settings.section import Milliseconds, Seconds, Section, Timeout


class Server(Section):
    host: str = "0.0.0.0"  # noqa: S104 - the specification's default; `gateway dev` listens on loopback
    port: int = Field(default=3000, ge=0, le=65535)
    public_url: str | None = None
    """Our public address, such as `https://chat.hotel.example`, with which links in messages and mails begin."""


class Websocket(Section):
    ping_interval: Milliseconds = 30_000
    ping_timeout: Timeout = 5_000
    max_connections: int = Field(default=10_000, ge=1)
    allowed_origins: list[str] = []
    """Origins besides our own that may open a socket. `*` allows all."""


class Session(Section):
    ttl: Annotated[Seconds, Field(ge=1)] = 3600
    renewal_threshold: Seconds = 300


class RateLimit(Section):
    window_ms: int = Field(default=60_000, ge=1)
    max_requests: int = Field(default=100, ge=1)


class Security(Section):
    identity_secret: SecretStr | None = None
    """The key of contact ids. If it changes, earlier guests are no longer recognised."""
    jwt_secret: SecretStr | None = None
    """Signs tokens of staff sessions and web chat visitors, under the key id `main`."""
    jwt_keys: dict[str, SecretStr] = {}
    """Further signing keys by id. Tokens signed by any of them are accepted, so that keys can be rotated."""
    jwt_key_id: str = "main"
    """The id of the key that signs new tokens."""


class TemporalTls(Section):
    """TLS on connections to the server at `temporal.address`. Paths name PEM files."""

    enabled: bool = False
    server_ca: Path | None = None
    """Certificate of the authority that signed the server's. If unset, the system's authorities are trusted."""
    server_name: str | None = None
    """The name in the server's certificate, if it differs from the host in the address."""
    client_cert: Path | None = None
    client_key: Path | None = None
    """Certificate and key that identify us to the server (mTLS): both or neither."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.client_cert is None) != (self.client_key is None):
            raise ValueError("clientCert and clientKey: set both or neither")
        if not self.enabled and (self.server_ca or self.server_name or self.client_cert):
            raise ValueError("enabled: must be true for the other settings to have an effect")
        return self


class Temporal(Section):
    address: str | None = None
    """`host:port` of a Temporal server. If unset, `gateway dev` starts one."""
    namespace: str = "default"
    tls: TemporalTls = TemporalTls()
    api_key: SecretStr | None = None
    """Sent with every request, as Temporal Cloud wants it. Needs `tls.enabled`."""
    port: int = Field(default=7233, ge=0, le=65535)
    ui_port: int = Field(default=8233, ge=0, le=65535)
    cli: str | None = None
    """Path of another Temporal CLI for the embedded server."""
    codec_keys: dict[str, SecretStr] = {}
    """AES-256 keys by id, 32 bytes each in base64. Temporal's payloads are encrypted with the key `codec_key_id`."""
    codec_key_id: str = "dev"
    metrics_port: int = Field(default=0, ge=0, le=65535)
    """Prometheus port of a worker process. 0 means none."""

    @model_validator(mode="after")
    def _secure(self) -> Self:
        if self.api_key is not None and not self.tls.enabled:
            raise ValueError("apiKey: needs tls.enabled, or it would be sent in clear text")
        if self.tls.enabled and self.address is None:
            raise ValueError("tls: needs address; the server that gateway dev starts has no TLS")
        return self


class Database(Section):
    url: str | None = None
    """`postgresql://…`. If unset, `gateway dev` starts a server."""
    pool_size: int = Field(default=10, ge=1)
    connect_timeout: Timeout = 2_000
    statement_timeout: Timeout = 5_000


class Redis(Section):
    url: str | None = None
    """`redis://…` or `unix://…`. If unset, `gateway dev` starts a server."""
    timeout: Timeout = 1_000


class Media(Section):
    """Files of conversations."""

    url: str | None = None
    """`s3://bucket/prefix` or `file:///folder`. If unset, the folder `media` in the data directory."""
    endpoint: str | None = None
    """URL of an S3-compatible store. This and the next three are read from AWS_* variables if unset."""
    region: str | None = None
    access_key_id: SecretStr | None = None
    secret_access_key: SecretStr | None = None
    max_bytes: int = Field(default=25_000_000, ge=1)
    types: list[str] = [
        "image/*",
        "audio/*",
        "video/*",
        "application/pdf",
        "text/plain",
        "text/csv",
        "text/calendar",
        "text/vcard",
        "message/rfc822",
        "application/msword",
        "application/vnd.ms-excel",
        "application/vnd.openxmlformats-officedocument.*",
        "application/vnd.oasis.opendocument.*",
    ]
    link_lifetime: Seconds = 7 * 24 * 3600
    """How long links without sign-in work: those for guests, and for channels that fetch files we send."""


class Webhooks(Section):
    """Outgoing webhooks."""

    allow_private: bool = False
    """Allows endpoints at private, loopback and link-local addresses, and plain HTTP. For development only."""
    timeout: Annotated[Timeout, Field(le=20_000)] = 15_000
    """Limit of one whole attempt."""
    disable_after: Milliseconds = 5 * 24 * 3600 * 1000
    """An endpoint is disabled after all attempts have failed for this long."""
    secret_overlap: Milliseconds = 24 * 3600 * 1000
    """How long the old secret still signs after a new one was created."""


class HttpIntegration(Section):
    """A service in front of the hotel's own system, which knows guests' stays. `timeout` applies to one request."""

    url: str | None = None
    token: SecretStr | None = None
    timeout: Timeout = 2_000


class Integration(Section):
    http: HttpIntegration = HttpIntegration()
