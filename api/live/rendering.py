"""Rendering log entries as frames, as staff and as guests may see them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, get_args

from websockets.frames import Frame, Opcode

from activities.media.links import MediaLinks
from api.live.cursors import encode
from contracts.events import LogEntry
from contracts.frames import Person, ServerFrame, ServerPayload
from contracts.messages import Author

Audience = Literal["staff", "guest"]
AUDIENCES: Final[tuple[Audience, ...]] = get_args(Audience)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A frame as JSON, and as the bytes that every uncompressed socket is sent."""

    text: str
    wire: bytes

    @classmethod
    def of(cls, text: str) -> "Rendered":
        return cls(text, Frame(Opcode.TEXT, text.encode()).serialize(mask=False))


class Rendition:
    """One entry, rendered at most once per audience, however many sockets it goes to."""

    def __init__(self, entry: LogEntry, links: MediaLinks, viewers: Mapping[str, str] | None = None) -> None:
        self.entry = entry
        self._links = links
        self._viewers = viewers

    def frame(self, audience: Audience) -> Rendered | None:
        """The frame for an audience; None if the entry is not for it."""
        return self._for_staff if audience == "staff" else self._for_guest

    @cached_property
    def _for_staff(self) -> Rendered:
        entry = self.entry
        payload = ServerPayload(
            property_id=entry.property_id,
            conversation_id=entry.conversation_id,
            message=entry.message,
            unread=entry.unread,
            conversation=entry.conversation,
            task=entry.task,
            notification=entry.notification,
        )
        if self._viewers is not None:
            payload.viewers = [Person(id=staff_id, name=name) for staff_id, name in self._viewers.items()]
        return self._render(payload)

    @cached_property
    def _for_guest(self) -> Rendered | None:
        entry = self.entry
        payload = ServerPayload(conversation_id=entry.conversation_id)
        if entry.message is not None and entry.message.visible_to_guest:
            payload.message = entry.message.for_guest()
            payload.message.attachments = self._links.signed(entry.message.attachments)
        elif entry.conversation is not None:
            payload.conversation = entry.conversation.for_guest()
        elif entry.typing is None or entry.typing.author is Author.GUEST:
            return None
        return self._render(payload)

    def _render(self, payload: ServerPayload) -> Rendered:
        entry = self.entry
        if entry.typing is not None:
            payload.author = entry.typing.author
            payload.author_name = entry.typing.author_name
            payload.typing = entry.typing.typing
        cursor = encode(entry.property_id, entry.position) if entry.position is not None else None
        return render(ServerFrame(type=entry.type, payload=payload, seq=entry.seq, cursor=cursor))


def render(frame: ServerFrame) -> Rendered:
    """A frame as it is sent, without null keys."""
    return Rendered.of(frame.model_dump_json(exclude_none=True))
