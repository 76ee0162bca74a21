"""Everything held about one guest, as a file that they may take with them."""

from datetime import date, datetime

from pydantic import ConfigDict, JsonValue

from contracts.base import Model, Timestamp

StoredValue = JsonValue | datetime | date


class Stored(Model):
    """A row as storage has it: nothing held is left out because this release has no name for it."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, StoredValue]


class ExportedFile(Model):
    """`url` gives the file itself, after a sign-in."""

    id: str
    name: str
    content_type: str
    size: int
    url: str
    refused: str | None = None


class GuestExport(Model):
    """The kinds are what storage calls them. A guest with others merged into them is exported with all of those."""

    exported_at: Timestamp | None = None
    property_id: str
    guest_ids: list[str]
    profiles: list[Stored]
    merges: list[Stored]
    contacts: list[Stored]
    """With the route back and whether the guest wants no messages there (`opted_out`)."""
    conversations: list[Stored]
    messages: list[Stored]
    outcomes: list[Stored]
    deliveries: list[Stored]
    events: list[Stored]
    drafts: list[Stored]
    tasks: list[Stored]
    notifications: list[Stored]
    quarantine: list[Stored]
    """What came from one of the guest's addresses and nobody could read."""
    spool: list[Stored]
    """What came while Temporal was away, and waits to be handed over."""
    learned: list[Stored]
    """Questions of the guest that articles were made for."""
    media: list[ExportedFile] = []
