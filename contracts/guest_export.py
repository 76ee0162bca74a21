"""The export of everything stored about one guest."""

from datetime import date, datetime

from pydantic import ConfigDict, JsonValue

from contracts.base import Model, Timestamp

StoredValue = JsonValue | datetime | date


class Stored(Model):
    """A row as it is in storage, so that fields unknown to this release are exported, too."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, StoredValue]


class ExportedFile(Model):
    """A file of the guest. Its `url` needs a sign-in."""

    id: str
    name: str
    content_type: str
    size: int
    url: str
    refused: str | None = None


class GuestExport(Model):
    """The export, grouped as in storage. It includes all guests who were merged into this one."""

    exported_at: Timestamp | None = None
    property_id: str
    guest_ids: list[str]
    profiles: list[Stored]
    merges: list[Stored]
    contacts: list[Stored]
    """With the route for replies, and whether the guest opted out (`opted_out`)."""
    conversations: list[Stored]
    messages: list[Stored]
    outcomes: list[Stored]
    deliveries: list[Stored]
    events: list[Stored]
    drafts: list[Stored]
    tasks: list[Stored]
    notifications: list[Stored]
    quarantine: list[Stored]
    """Messages from the guest's addresses that could not be parsed."""
    spool: list[Stored]
    """Messages that arrived while Temporal was away and have not been handed over yet."""
    learned: list[Stored]
    """Questions of the guest for which articles were written."""
    media: list[ExportedFile] = []
