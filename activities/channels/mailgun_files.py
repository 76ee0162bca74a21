"""Fetches the files of mails that Mailgun keeps, of which it only tells where they are."""

from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import urlsplit

import httpx

from activities.channels.parts import TIMEOUT, may_heal
from activities.channels.port import MediaError
from activities.tls import trusted
from contracts.messages import Attachment
from settings import EmailChannel, Settings

_MAILGUN: Final = ".mailgun.net"


class MailgunFiles:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._http = httpx.AsyncClient(timeout=TIMEOUT, verify=trusted())

    async def fetch(self, property_id: str, attachment: Attachment) -> AsyncIterator[bytes]:
        """The content of a file, in chunks. Raises MediaError.

        Mailgun's signature does not cover the URL, so only Mailgun's own hosts are asked, and get the key.
        """
        channel = self._settings.channels_of(property_id).email
        if channel.mailgun_api_key is None or not is_mailguns(attachment.url, channel):
            raise MediaError("the file is not at Mailgun, or there is no key to it", retryable=False)
        auth = httpx.BasicAuth("api", channel.mailgun_api_key.get_secret_value())
        try:
            async with self._http.stream("GET", attachment.url, auth=auth, follow_redirects=True) as file:
                if not file.is_success:
                    reason = f"Mailgun answered {file.status_code} when asked for a file"
                    raise MediaError(reason, retryable=may_heal(file))
                async for piece in file.aiter_bytes():
                    yield piece
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise MediaError(f"Mailgun cannot be reached ({type(error).__name__})", retryable=True) from None

    async def close(self) -> None:
        await self._http.aclose()


def is_mailguns(url: str, channel: EmailChannel) -> bool:
    """Whether a URL is of the API that is set, or of a host of Mailgun's: files are at others than the API."""
    try:
        parts = urlsplit(url)
        own = parts.scheme == "https" and (parts.hostname or "").endswith(_MAILGUN) and parts.port in (None, 443)
    except ValueError:
        return False
    return own or url.startswith(f"{channel.mailgun_api_base.rstrip('/')}/")
