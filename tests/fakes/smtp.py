"""Another company's mail server: real SMTP by aiosmtpd, which refuses and breaks off on command."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

TAKEN = "250 2.0.0 Taken"


class FakeSmtp:
    """`attempts` is every mail given; `received` has each once, by its Message-ID, as a mail system keeps it."""

    def __init__(self, *, login: tuple[str, str] | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.attempts: list[EmailMessage] = []
        self.received: dict[str, EmailMessage] = {}
        self.recipients: list[str] = []
        self.senders: list[str] = []
        self.answer_recipient: Callable[[str], str] = lambda address: "250 2.1.5 Ok"
        self.answer_data: Callable[[EmailMessage], str] = lambda mail: TAKEN
        self.drops = 0
        """How many of the next mails are taken without a word, the connection cut."""
        self.speaks_utf8 = True
        self._login = login
        self._tls = tls

    def protocol(self) -> SMTP:
        return SMTP(
            self,
            hostname="mx.fake.test",
            ident="fake",
            enable_SMTPUTF8=self.speaks_utf8,
            loop=asyncio.get_running_loop(),
            tls_context=self._tls,
            require_starttls=self._tls is not None,
            authenticator=self._authenticate if self._login else None,
            auth_required=self._login is not None,
            auth_require_tls=self._tls is not None,
        )

    def _authenticate(self, server: SMTP, session: Session, envelope: Envelope, way: str, given: object) -> AuthResult:
        assert isinstance(given, LoginPassword)
        right = (given.login.decode(), given.password.decode()) == self._login
        return AuthResult(success=right, handled=False)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.answer_recipient(address)
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        mail = message_from_bytes(content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.attempts.append(mail)
        answer = self.answer_data(mail)
        if answer.startswith("250"):
            self.received.setdefault(str(mail["Message-ID"]), mail)
            self.recipients += envelope.rcpt_tos
            self.senders.append(envelope.mail_from or "")
        if self.drops:
            self.drops -= 1
            assert isinstance(server.transport, asyncio.WriteTransport)
            server.transport.abort()
        return answer


@asynccontextmanager
async def mail_server(fake: FakeSmtp, *, implicit_tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serves on a free port of loopback, for the length of a block; gives the port."""
    server = await asyncio.get_running_loop().create_server(fake.protocol, "127.0.0.1", 0, ssl=implicit_tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
