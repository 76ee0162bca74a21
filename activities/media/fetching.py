"""Activities that fetch guests' files from their provider, independently of the message.

Adapters and store are only imported for type checking, so that workflows can import the signatures.
"""

from typing import TYPE_CHECKING

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.channels.port import MediaError, MediaSource
from activities.media.types import MediaRefused
from contracts.media import MediaOrder
from contracts.problems import TooLarge

if TYPE_CHECKING:
    from activities.channels.port import Channels
    from activities.media.store import MediaStore

GAVE_UP = "it could not be fetched within a day"


class MediaFetching:
    def __init__(self, channels: "Channels", store: "MediaStore") -> None:
        self._channels = channels
        self._store = store

    @activity.defn
    async def fetch_media(self, order: MediaOrder) -> None:
        """Stores the file, or why there is none. Does nothing if done already. Raises if a retry may help."""
        if await self._store.find(order.media_id) is not None:
            return
        attachment = order.attachment
        try:
            content = await self._content(order)
            await self._store.put(
                order.property_id,
                content,
                name=attachment.name,
                content_type=attachment.content_type,
                media_id=order.media_id,
            )
        except (MediaRefused, TooLarge) as error:
            await self._store.refuse(order, error.title.lower())
        except MediaError as error:
            if error.retryable:
                raise ApplicationError("the provider cannot give the file right now", type="media") from error
            await self._store.refuse(order, "the provider does not have the file")

    @activity.defn
    async def give_media_up(self, order: MediaOrder) -> None:
        """Records that a file could not be fetched."""
        if await self._store.find(order.media_id) is None:
            await self._store.refuse(order, GAVE_UP)

    async def _content(self, order: MediaOrder) -> bytes:
        source = self._channels.get(order.adapter)
        if not isinstance(source, MediaSource):
            raise MediaError(f"the adapter {order.adapter} has no files to fetch", retryable=False)
        content = bytearray()
        async for piece in source.fetch_media(order.property_id, order.attachment):
            content += piece
            activity.heartbeat()
            if len(content) > self._store.max_bytes:
                raise TooLarge("over the limit")
        return bytes(content)
