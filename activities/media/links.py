"""Signed, expiring links to files, for readers without a session."""

import hashlib
import hmac
import time
from typing import Final
from urllib.parse import urlencode

from contracts.media import own_media_id
from contracts.messages import Attachment
from contracts.problems import Forbidden
from settings import Settings, SettingsError

LINKED: Final = "/media/"
"""The path of a link; the file's id follows."""


class MediaLinks:
    """Creates and checks links for guests, and for channels that fetch the files we send."""

    def __init__(self, settings: Settings) -> None:
        secret = settings.security.identity_secret
        if secret is None:
            raise SettingsError(
                "security.identitySecret: set GATEWAY_SECURITY__IDENTITY_SECRET to a long random string"
            )
        self._secret = secret.get_secret_value().encode()
        self._lifetime = settings.media.link_lifetime
        self._public = (settings.server.public_url or "").rstrip("/")

    def signed(self, attachments: list[Attachment]) -> list[Attachment]:
        """The attachments with signed links, which are absolute if `server.publicUrl` is set."""
        return [self._signed(each) for each in attachments]

    def check(self, media_id: str, expires: int | None, signature: str | None) -> None:
        """Raises Forbidden for a wrong signature or an expired link."""
        right = hmac.compare_digest(self._signature(media_id, expires or 0).encode(), (signature or "").encode())
        if expires is None or not right or expires < time.time():
            raise Forbidden("The link is wrong or has expired; fetch the message again")

    def _signed(self, attachment: Attachment) -> Attachment:
        media_id = own_media_id(attachment.url)
        if media_id is None:
            return attachment
        expires = int(time.time()) + self._lifetime
        query = urlencode({"expires": expires, "signature": self._signature(media_id, expires)})
        return attachment.model_copy(update={"url": f"{self._public}{LINKED}{media_id}?{query}"})

    def _signature(self, media_id: str, expires: int) -> str:
        return hmac.new(self._secret, f"media\x1f{media_id}\x1f{expires}".encode(), hashlib.sha256).hexdigest()
