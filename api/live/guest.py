"""The guest's socket: one visitor of one property's web chat."""

import asyncio
import hashlib
from datetime import UTC, datetime
from functools import partial
from typing import Final

from api.live.connection import Connection, Ended
from api.live.cursors import decode
from api.live.rendering import Rendered, Rendition
from api.live.replay import History, Missed
from api.live.tail import Subscription, Tail
from api.live.typing_pace import TypingPace
from api.live.visitors import Visitor, VisitorTokens, identified
from api.state import State
from contracts.conversations import Conversation, ConversationState
from contracts.events import LogEntry, MessageDelivery, Typing
from contracts.frames import ClientFrame, CloseCode, ServerFrame, ServerPayload
from contracts.media import MEDIA_ID
from contracts.messages import Attachment, Author, Delivery, DeliveryState, GuestMessage, Route
from contracts.metrics import MESSAGES_INBOUND
from contracts.names import CONTENT_LIMIT
from contracts.problems import Forbidden, GatewayError, Invalid, StorageAway, TooManyRequests, Unauthenticated

LOOK_UP_SECONDS: Final = 1.0
"""How long a guest's next frame waits at most for what is only about showing that the AI is writing."""


async def serve_guest(connection: Connection, state: State, property_id: str, caller: str) -> "GuestSocket":
    """Authenticates one visitor and opens their socket.

    Raises Ended for an unknown property, an invalid identity, and too many new visitors from one IP address, each of
    whom could start a conversation.
    """
    if property_id not in state.settings.properties:
        raise Ended(CloseCode.FORBIDDEN, "no such property", Forbidden("There is no such property"))
    hello = await connection.receive_auth()
    tokens = VisitorTokens(state.tokens.keys)
    visitor = _visitor(state, tokens, hello, property_id)
    if not visitor.known:
        quota = await state.requests.take(f"newcomers:{caller}")
        if quota.exceeded:
            problem = TooManyRequests(f"Too many new visitors from here; try again in {quota.reset_seconds} s")
            raise Ended(CloseCode.FULL, "too many new visitors", problem)
    socket = GuestSocket(connection, state, property_id, visitor)
    await socket.open(hello, tokens.sign(visitor, property_id))
    return socket


def _visitor(state: State, tokens: VisitorTokens, hello: ClientFrame, property_id: str) -> Visitor:
    """The visitor whom the hotel's page vouches for, or else the browser token's. Raises Ended for invalid proof."""
    identity = hello.payload.identity
    if identity is None:
        return tokens.visitor(hello.payload.token, property_id)
    secret = state.settings.channels_of(property_id).webchat.identity_secret
    if secret is None:
        problem = Forbidden("identity: channels.webchat.identitySecret is not set for this property")
        raise Ended(CloseCode.FORBIDDEN, "identity not supported here", problem)
    try:
        return identified(identity, secret.get_secret_value())
    except Unauthenticated as problem:
        raise Ended(CloseCode.SESSION_ENDED, "invalid identity", problem) from None


class GuestSocket:
    def __init__(self, connection: Connection, state: State, property_id: str, visitor: Visitor) -> None:
        self._connection = connection
        self._state = state
        self._property_id = property_id
        self._visitor = visitor
        self._contact_key = state.conversations.contact_key(property_id, "webchat", visitor.id)
        self._conversation_id: str | None = None
        self._with_staff = False
        self._answers = 0
        self._typing = TypingPace()
        self._thinking: asyncio.TimerHandle | None = None
        self._met: str | None = None
        self._meeting: asyncio.Task[None] | None = None

    async def open(self, hello: ClientFrame, token: str) -> None:
        conversation = await self._conversation()
        payload = ServerPayload(token=token, visitor_id=self._visitor.id)
        payload.conversation = conversation.for_guest() if conversation is not None else None
        tail = self._state.hub.open(self._property_id)
        self._connection.at_end(partial(self._state.hub.close, tail))
        subscription = Subscription("guest", self, contact_key=self._contact_key)
        await tail.ready.wait()
        # No awaits from here on, so that everything that happens after the session frame is sent.
        self._connection.send(ServerFrame(type="session", id=hello.id, payload=payload))
        tail.join(subscription)
        self._connection.at_end(partial(tail.leave, subscription))
        self._replay(tail, subscription, hello.payload.after)
        if conversation is not None:
            self._meet(conversation)

    def closed(self) -> None:
        if self._meeting is not None:
            self._meeting.cancel()
        self._stop_thinking()

    # --- to the guest ----------------------------------------------------------------------------------------------

    def deliver(self, rendition: Rendition) -> None:
        entry = rendition.entry
        self._conversation_id = entry.conversation_id or self._conversation_id
        if entry.conversation is not None:
            self._with_staff = entry.conversation.state is ConversationState.ESCALATED
            self._meet(entry.conversation)
        frame = rendition.frame("guest")
        if frame is not None:
            if entry.message is not None and entry.message.author is not Author.GUEST:
                self._answers += 1
                self._stop_thinking()
            self._connection.send_rendered(frame, in_order=entry.position is not None)

    def _meet(self, conversation: Conversation) -> None:
        """Lets the guest know the name of the person who has taken over the conversation."""
        staff_id = conversation.assigned_to if conversation.state is not ConversationState.RESOLVED else None
        if staff_id == self._met:
            return
        self._met = staff_id
        if staff_id is not None:
            self._meeting = asyncio.create_task(self._introduce(staff_id))

    async def _introduce(self, staff_id: str) -> None:
        try:
            account = await self._state.staff.get(staff_id)
        except StorageAway:
            return  # their first message shows the name
        if account is not None and self._met == staff_id:
            payload = ServerPayload(
                conversation_id=self._conversation_id, author=Author.STAFF, author_name=account.staff.name
            )
            self._connection.send(ServerFrame(type="presence", payload=payload))

    def notice(self, frame: Rendered) -> None:
        self._connection.send_rendered(frame, in_order=False)

    def abandon(self) -> None:
        self._connection.abandon()

    def _replay(self, tail: Tail, subscription: Subscription, after: str | None) -> None:
        if after is not None:
            self._connection.replay(Missed(tail, subscription, decode(after, self._property_id)))
        elif self._visitor.known or subscription.start is None:
            self._connection.replay(History(tail, subscription, self._contact_key))

    async def _conversation(self) -> Conversation | None:
        """The conversation that the guest is in or was in last. None while storage is away."""
        if not self._visitor.known:
            return None
        try:
            conversation = await self._state.hub.log.newest_conversation(self._contact_key)
        except StorageAway:
            return None
        if conversation is not None:
            self._conversation_id = conversation.conversation_id
            self._with_staff = conversation.state is ConversationState.ESCALATED
        return conversation

    # --- from the guest --------------------------------------------------------------------------------------------

    async def handle(self, frame: ClientFrame) -> None:
        try:
            match frame.type:
                case "send_message":
                    await self._send_message(frame)
                case "typing":
                    await self._pass_typing(frame.payload.typing)
                    self._acknowledge(frame, None)
                case "delivered" | "read":
                    await self._mark(frame)
                case _:
                    raise Invalid(f"type: a guest cannot send {frame.type} now", field="type")
        except GatewayError as problem:
            self._connection.send_problem(problem, frame.id)

    async def _send_message(self, frame: ClientFrame) -> None:
        if frame.id is None:
            raise Invalid("id: a message needs its own id, preferably a UUID", field="id")
        content = _said(frame.payload.content, frame.payload.attachments)
        quota = await self._state.requests.take(f"visitor:{self._visitor.id}")
        if quota.exceeded:
            raise TooManyRequests(f"Too many messages; try again in {quota.reset_seconds} s")
        attachments = await self._uploaded(frame.payload.attachments)
        message_id = guest_message_id(self._visitor.id, frame.id, "\x1f".join((content, *frame.payload.attachments)))
        now = datetime.now(UTC)
        message = GuestMessage(
            id=message_id,
            route=Route(adapter="webchat", channel_id=self._property_id, sender_id=self._visitor.id),
            content=content,
            attachments=attachments,
            guest_name=self._visitor.name,
            sent_at=now,
            received_at=now,
        )
        answers = self._answers
        reached = await self._state.reception.receive(self._property_id, "webchat", message)
        MESSAGES_INBOUND.labels("webchat", self._property_id, "accepted").inc()
        self._acknowledge(frame, message_id)
        sent_again = self._visitor.known and await self._is_settled(message_id)
        if reached and not sent_again and answers == self._answers and not self._with_staff:
            self._show_thinking()

    async def _is_settled(self, message_id: str) -> bool:
        """Whether a message was sent again after it had been answered. Without storage, it counts as new."""
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS):
                return await self._state.hub.log.is_settled(self._contact_key, message_id)
        except (StorageAway, TimeoutError):
            return False

    def _show_thinking(self) -> None:
        """Shows the guest that the AI is writing, at most for as long as an answer can take."""
        self._stop_thinking()
        self._connection.send(_thinking(typing=True))
        seconds = self._state.settings.routing.ai_timeout / 1000
        self._thinking = asyncio.get_running_loop().call_later(seconds, self._connection.send, _thinking(typing=False))

    def _stop_thinking(self) -> None:
        if self._thinking is not None:
            self._thinking.cancel()
            self._thinking = None

    async def _uploaded(self, media_ids: list[str]) -> list[Attachment]:
        """The files that a guest has uploaded. Raises Invalid for an unknown one."""
        found = [await self._state.media.find(each) if MEDIA_ID.fullmatch(each) else None for each in media_ids]
        if any(file is None or file.refused is not None or file.property_id != self._property_id for file in found):
            raise Invalid("attachments: must be ids of files uploaded to this chat", field="attachments")
        return [file.attachment for file in found if file is not None]

    async def _mark(self, frame: ClientFrame) -> None:
        """Records that the hotel's messages were shown on the guest's page (delivered) or read by the guest."""
        if frame.payload.message_id is None or self._conversation_id is None:
            raise Invalid("messageId: must name a message of this conversation", field="messageId")
        quota = await self._state.requests.take(f"marks:{self._visitor.id}")
        if quota.exceeded:
            raise TooManyRequests(f"Too many delivery and read marks; try again in {quota.reset_seconds} s")
        log = self._state.hub.log  # staff may have resolved it with the very message that the guest reads
        conversation = await log.newest_conversation(self._contact_key, message_id=frame.payload.message_id)
        if conversation is not None:
            moved = MessageDelivery(
                message_id=frame.payload.message_id, delivery=Delivery(state=DeliveryState(frame.type))
            )
            await self._state.publications.move_delivery(conversation, moved)
        self._acknowledge(frame, frame.payload.message_id)

    def _acknowledge(self, frame: ClientFrame, message_id: str | None) -> None:
        if frame.id is not None:
            self._connection.send(ServerFrame(type="ack", id=frame.id, payload=ServerPayload(message_id=message_id)))

    async def _pass_typing(self, typing: bool) -> None:
        if self._conversation_id is None or not self._typing.passes(typing):
            return
        entry = LogEntry(
            property_id=self._property_id,
            type="typing",
            contact_key=self._contact_key,
            conversation_id=self._conversation_id,
            channel_type="webchat",
            typing=Typing(author=Author.GUEST, typing=typing),
        )
        await self._state.live_stream.add([entry])


def _thinking(*, typing: bool) -> ServerFrame:
    return ServerFrame(type="typing", payload=ServerPayload(author=Author.AI, typing=typing))


def _said(content: str | None, attachments: list[str]) -> str:
    """A guest's text. Raises Invalid if it is too long, or empty without files."""
    content = content or ""
    if not content.strip() and not attachments:
        raise Invalid("content: must not be empty", field="content")
    if len(content) > CONTENT_LIMIT:
        raise Invalid(f"content: must have at most {CONTENT_LIMIT} characters, not {len(content)}", field="content")
    return content


def guest_message_id(visitor_id: str, frame_id: str, content: str) -> str:
    """A message id that is the same for repeats, and different for other content under the same frame id."""
    return hashlib.sha256("\x1f".join((visitor_id, frame_id, content)).encode()).hexdigest()[:32]
