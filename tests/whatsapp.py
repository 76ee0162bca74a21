"""What Meta sends, written from its public description, and the way to send it as Meta does."""

import json
import time
import uuid
from typing import Any

import httpx

from activities.channels.body_signature import sign
from contracts.messages import Message
from tests.api import Api
from tests.fakes.graph import APP_SECRET, PHONE_NUMBER_ID
from tests.support import Guest, Stack, eventually

Item = dict[str, Any]


def number() -> str:
    """A guest's number, of one test alone."""
    return f"351{uuid.uuid4().int % 10**9:09d}"


def message(sender: str | None, *, kind: str = "text", **parts: Any) -> Item:
    """A message of a kind; `parts` are what Meta adds to it."""
    item: Item = {"id": f"wamid.{uuid.uuid4().hex}", "timestamp": str(int(time.time())), "type": kind, **parts}
    return {**item, "from": sender} if sender is not None else item


def text(sender: str, body: str, **parts: Any) -> Item:
    return message(sender, text={"body": body}, **parts)


def status(reference: str | None, state: str, wamid: str = "wamid.SENT1", **parts: Any) -> Item:
    """A status of one of our messages."""
    item = {"id": wamid, "status": state, "timestamp": str(int(time.time())), "recipient_id": "351900000000", **parts}
    return {**item, "biz_opaque_callback_data": reference} if reference is not None else item


def notification(*changes: Item) -> Item:
    return {"object": "whatsapp_business_account", "entry": [{"id": "102290129340398", "changes": list(changes)}]}


def change(*, phone_number_id: str = PHONE_NUMBER_ID, **value: Any) -> Item:
    """A change of `messages`: keep apart what one notification may hold together."""
    metadata = {"display_phone_number": "351210000000", "phone_number_id": phone_number_id}
    return {"field": "messages", "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}


def contact(wa_id: str, name: str = "Ana Souza") -> Item:
    return {"profile": {"name": name}, "wa_id": wa_id}


async def post(api: Api, hotel: str, body: Item | bytes, signature: str | None = None) -> httpx.Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"X-Hub-Signature-256": signature or sign(raw, APP_SECRET), "Content-Type": "application/json"}
    return await api.http.post(f"/webhooks/whatsapp/{hotel}", content=raw, headers=headers)


async def write(api: Api, hotel: str, *messages: Item) -> None:
    """Guests write: the webhook is acknowledged."""
    assert (await post(api, hotel, notification(change(messages=list(messages))))).status_code == 200


def guest(stack: Stack, sender: str) -> Guest:
    return stack.guest(adapter="whatsapp", channel_type="whatsapp", sender_id=sender)


async def reply_of(guest: Guest) -> Message:
    """The first message of the conversation that is not the guest's."""

    async def look() -> Message | None:
        return next((each for each in await guest.messages() if each.author != "guest"), None)

    return await eventually(look, what="a reply")


async def delivered(stack: Stack, message: Message, state: str) -> dict[str, object]:
    """Waits until storage says so of a message."""

    async def look() -> dict[str, object] | None:
        rows = await stack.rows(
            "SELECT * FROM messages WHERE conversation_id = :conversation AND id = :id AND delivery_state = :state",
            conversation=message.conversation_id,
            id=message.id,
            state=state,
        )
        return rows[0] if rows else None

    return await eventually(look, what=f"the message to be {state}")


async def settled(guest: Guest, message: Message) -> None:
    """Waits until the conversation itself is through with sending a message."""

    async def look() -> bool:
        return any(each.id == message.id and each.delivery.state == "sent" for each in await guest.messages())

    await eventually(look, what="the message to be sent")
