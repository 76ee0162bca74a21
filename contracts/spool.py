"""Items of the spool: what a channel brought for a conversation while Temporal was away."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from contracts.base import Model
from contracts.commands import DeliveryFailure
from contracts.messages import ChannelType, GuestMessage
from contracts.names import contact_key_of


class WaitingMessage(Model):
    """A guest's message as its channel brought it. Files that the provider still holds are not fetched yet."""

    kind: Literal["message"] = "message"
    property_id: str
    channel_type: ChannelType
    contact_key: str
    message: GuestMessage

    @property
    def id(self) -> str:
        """The same for every repeat of a message, so that it is spooled once."""
        return f"{self.contact_key}-{self.message.id}"


class WaitingFailure(Model):
    """A provider's report that a message of ours did not arrive."""

    kind: Literal["failure"] = "failure"
    property_id: str
    failure: DeliveryFailure

    @property
    def contact_key(self) -> str:
        return contact_key_of(self.failure.conversation_id)

    @property
    def id(self) -> str:
        return f"{self.failure.conversation_id}-{self.failure.message_id}-failed"


Waiting = WaitingMessage | WaitingFailure
WAITING: TypeAdapter[Waiting] = TypeAdapter(Annotated[Waiting, Field(discriminator="kind")])
