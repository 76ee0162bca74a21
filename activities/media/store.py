"""The file store: a folder in the data directory, or what `media.url` names, such as an S3 bucket.

It needs no database: a file's metadata is stored beside it and written last, so that a file found is complete.
"""

import uuid
from functools import cached_property
from typing import TYPE_CHECKING, Final

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore, S3Store, from_url

from activities.media.types import charset_of, content_type_of
from contracts.base import Model
from contracts.media import MEDIA_PATH, MediaOrder
from contracts.messages import Attachment
from contracts.problems import GatewayError, TooLarge, Unavailable
from settings import Media, Settings

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

NAME_LIMIT: Final = 200


class MediaAway(Unavailable):
    code, title = "media_away", "File storage is not available right now"


class MediaGone(GatewayError):
    """A guest's file that could not be fetched or is not accepted; `detail` says why."""

    status, code, title = 410, "media_gone", "This file is not available"


class MediaFile(Model):
    """The metadata of a file."""

    id: str
    property_id: str
    name: str
    content_type: str
    size: int
    charset: str | None = "utf-8"
    """Of a text; None if it is not known. Files of earlier releases do not say, and count as UTF-8."""
    refused: str | None = None
    """Why there is, and will be, no file."""

    @property
    def full_type(self) -> str:
        """The type with its charset, as a reader needs it."""
        is_text = self.content_type.startswith("text/") and self.charset is not None
        return f"{self.content_type}; charset={self.charset}" if is_text else self.content_type

    @property
    def attachment(self) -> Attachment:
        return Attachment(
            id=self.id, name=self.name, content_type=self.content_type, size=self.size, url=f"{MEDIA_PATH}{self.id}"
        )


class MediaStore:
    """Files by id. Every method raises MediaAway while the store cannot be reached."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.media
        self._data_dir = settings.data_dir

    @cached_property
    def _store(self) -> ObjectStore:
        """Opened on first use, because everything else works without it."""
        url = self._settings.url
        if url is None:
            return LocalStore(self._data_dir.absolute() / "media", mkdir=True)
        return _bucket(self._settings) if url.startswith("s3:") else from_url(url, mkdir=True)

    async def put(
        self, property_id: str, content: bytes, *, name: str, content_type: str, media_id: str | None = None
    ) -> MediaFile:
        """Stores a file, once per id. Raises TooLarge and MediaRefused."""
        if len(content) > self._settings.max_bytes:
            raise TooLarge(f"A file may have at most {self._settings.max_bytes} bytes")
        kind = content_type_of(content, content_type, self._settings.types)
        file = MediaFile(
            id=media_id or uuid.uuid4().hex,
            property_id=property_id,
            name=clean_name(name),
            content_type=kind,
            size=len(content),
            charset=charset_of(content, content_type) if kind.startswith("text/") else None,
        )
        await self._write(f"{file.id}/content", content)
        await self._write(f"{file.id}/about.json", file.model_dump_json().encode())
        return file

    async def refuse(self, order: MediaOrder, reason: str) -> None:
        """Records why an ordered file will not come."""
        attachment = order.attachment
        file = MediaFile(
            id=order.media_id,
            property_id=order.property_id,
            name=clean_name(attachment.name),
            content_type=attachment.content_type,
            size=0,
            refused=reason,
        )
        await self._write(f"{file.id}/about.json", file.model_dump_json().encode())

    @property
    def max_bytes(self) -> int:
        return self._settings.max_bytes

    async def find(self, media_id: str) -> MediaFile | None:
        about = await self._read(f"{media_id}/about.json")
        return MediaFile.model_validate_json(about) if about is not None else None

    async def content(self, file: MediaFile) -> bytes:
        """The content. Raises MediaGone for a file that will not come."""
        if file.refused is not None:
            raise MediaGone(f"The guest's file is not available: {file.refused}")
        content = await self._read(f"{file.id}/content")
        if content is None:
            raise MediaAway("The file is incomplete; try again shortly")
        return content

    async def delete(self, media_id: str) -> None:
        """Deletes a file and its metadata. A missing file is no error."""
        for name in ("content", "about.json"):
            try:
                await obstore.delete_async(self._store, f"{media_id}/{name}")
            except (NotFoundError, FileNotFoundError):
                continue
            except (BaseError, OSError) as error:
                raise MediaAway("File storage does not answer; try again shortly") from error

    async def _write(self, path: str, content: bytes) -> None:
        try:
            await obstore.put_async(self._store, path, content)
        except (BaseError, OSError) as error:
            raise MediaAway("File storage does not answer; try again shortly") from error

    async def _read(self, path: str) -> bytes | None:
        try:
            found = await obstore.get_async(self._store, path)
            return bytes(await found.bytes_async())
        except (NotFoundError, FileNotFoundError):
            return None
        except (BaseError, OSError) as error:
            raise MediaAway("File storage does not answer; try again shortly") from error


def clean_name(name: str) -> str:
    """A file name without folders and control characters."""
    base = name.replace("\\", "/").rpartition("/")[2]
    return "".join(each for each in base if each.isprintable()).strip()[:NAME_LIMIT] or "attachment"


def _bucket(settings: Media) -> S3Store:
    assert settings.url is not None
    config: S3Config = {}
    if settings.endpoint is not None:
        config["endpoint"] = settings.endpoint
    if settings.region is not None:
        config["region"] = settings.region
    if settings.access_key_id is not None and settings.secret_access_key is not None:
        config["access_key_id"] = settings.access_key_id.get_secret_value()
        config["secret_access_key"] = settings.secret_access_key.get_secret_value()
    plain = (settings.endpoint or "").startswith("http://")
    client: ClientConfig = {"timeout": "30s", "connect_timeout": "5s", "allow_http": plain}
    return S3Store.from_url(settings.url, config=config, client_options=client)
