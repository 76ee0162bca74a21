"""The staff socket: subscriptions, messages and presence of one person."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from pydantic import ValidationError

from api.auth.permissions import Permission, may, require_permission, require_property
from api.auth.sessions import Session, authenticate
from api.deps import find_conversation
from api.live.connection import TRY_AGAIN_LATER, Connection, Ended, refusal
from api.live.cursors import decode, encode
from api.live.rendering import Rendered, Rendition
from api.live.replay import Missed
from api.live.tail import Subscription, Tail
from api.live.typing_pace import TypingPace
from api.sending import NewMessage, send_message
from api.state import State
from contracts.conversations import Conversation
from contracts.events import LOG_TYPES, LogEntry, Typing, Viewer
from contracts.frames import ClientFrame, ClientPayload, CloseCode, ServerFrame, ServerPayload
from contracts.messages import Author, ChannelType
from contracts.names import contact_key_of
from contracts.problems import GatewayError, Invalid, StorageAway, TooManyRequests, Unauthenticated

SUBSCRIPTIONS: Final = 200
"""How many subscriptions one socket may have."""
NEEDED: Final = {"task_update": Permission.READ_TASKS, "notification": Permission.READ_NOTIFICATIONS}
"""The permissions needed for frames that are not about a conversation."""

Key = tuple[str, str | None, ChannelType | None]
"""A subscription's subject: the property, a conversation or None for all, a channel or None for all."""


async def serve_staff(connection: Connection, state: State) -> "StaffSocket":
    """Authenticates one person; their socket lasts until it or their session ends. Raises Ended without a session."""
    hello = await connection.receive_auth()
    token = hello.payload.token or ""
    try:
        session = await authenticate(state, token)
    except Unauthenticated as problem:
        raise Ended(CloseCode.SESSION_ENDED, "not signed in", problem) from None
    except StorageAway as problem:
        raise Ended(TRY_AGAIN_LATER, "the key cannot be looked up right now", problem) from None
    if not await state.hub.standing.stands(session.staff):
        changed = Unauthenticated("What you may do has changed; sign in again")
        raise Ended(CloseCode.SESSION_ENDED, "permissions have changed", changed)
    connection.send(ServerFrame(type="session", id=hello.id, payload=ServerPayload(staff=session.staff)))
    socket = StaffSocket(connection, state, token, session)
    await socket.watch_session()
    return socket


class StaffSocket:
    def __init__(self, connection: Connection, state: State, token: str, session: Session) -> None:
        self._connection = connection
        self._state = state
        self._token = token
        self._go_on_with(session)
        self._tails: dict[str, Tail] = {}
        self._subscriptions: dict[Key, Subscription] = {}
        self._last_delivered: Rendition | None = None
        self._typing = TypingPace()
        self._id = uuid.uuid4().hex
        self._looks: dict[str, tuple[str, Viewer]] = {}
        """Conversations that the person is viewing, by id: the property, and the viewer shown to others."""
        self._next_check: asyncio.TimerHandle | None = None

    def closed(self) -> None:
        if self._next_check is not None:
            self._next_check.cancel()
        for key in list(self._subscriptions):
            self._leave(key)
        self._connection.spawn(self._look_away)
        for tail in self._tails.values():
            self._state.hub.close(tail)

    # --- to the person ---------------------------------------------------------------------------------------------

    def deliver(self, rendition: Rendition) -> None:
        """Sends an entry once, however many subscriptions want it, but never somebody's own typing."""
        entry = rendition.entry
        if rendition is self._last_delivered or entry.type not in self._delivered_types:
            return
        own = entry.typing is not None and entry.typing.author_id == self._session.staff.id
        frame = rendition.frame("staff")
        if own or frame is None:
            return
        self._last_delivered = rendition
        self._connection.send_rendered(frame, in_order=entry.position is not None)

    def notice(self, frame: Rendered) -> None:
        self._connection.send_rendered(frame, in_order=False)

    def abandon(self) -> None:
        self._connection.abandon()

    # --- the session -----------------------------------------------------------------------------------------------

    def _go_on_with(self, session: Session) -> None:
        self._session = session
        self._delivered_types = tuple(
            each for each in LOG_TYPES if may(session, NEEDED.get(each, Permission.READ_CONVERSATIONS))
        )

    async def watch_session(self) -> None:
        """Closes the socket when the session ends, by signing out anywhere or by expiring."""
        self._connection.at_end(self._state.sessions.watch(self._session.id, self._end_session))
        self._connection.at_end(self._state.hub.standing.watch(self._session.staff, self._end_session))
        await self._check_session()

    async def _check_session(self) -> None:
        try:
            self._go_on_with(await authenticate(self._state, self._token))
        except Unauthenticated:
            self._end_session()
            return
        except StorageAway:
            self.abandon()
            return
        # A second later, so that checking does not itself renew a session that is about to end.
        left = self._session.expires_at - datetime.now(UTC) + timedelta(seconds=1)
        self._next_check = asyncio.get_running_loop().call_later(left.total_seconds(), self._check_soon)

    def _check_soon(self) -> None:
        self._connection.spawn(self._check_session)

    def _end_session(self) -> None:
        self._connection.end(Ended(CloseCode.SESSION_ENDED, "the session has ended"))

    async def _keep_session(self) -> None:
        """Renews the session, as a request would, because the person is active on the socket."""
        threshold = timedelta(seconds=self._state.settings.session.renewal_threshold)
        if self._session.expires_at - datetime.now(UTC) < threshold:
            self._go_on_with(await authenticate(self._state, self._token))

    # --- from the person -------------------------------------------------------------------------------------------

    async def handle(self, frame: ClientFrame) -> None:
        try:
            await self._keep_session()
            match frame.type:
                case "subscribe":
                    await self._subscribe(frame)
                case "unsubscribe":
                    await self._unsubscribe(frame)
                case "send_message":
                    await self._send_message(frame)
                case "typing":
                    await self._pass_typing(frame)
                    self._acknowledge(frame)
                case "auth":
                    raise Invalid("type: this socket is already signed in", field="type")
                case "delivered" | "read":
                    raise Invalid(f"type: only guests send {frame.type}", field="type")
        except GatewayError as problem:
            self._connection.send_problem(problem, frame.id)

    async def _subscribe(self, frame: ClientFrame) -> None:
        """Subscribes to what the frame names, then sends what was missed since its cursor `after`."""
        require_permission(self._session, Permission.READ_CONVERSATIONS)
        keys = await self._keys(frame.payload)
        if len(self._subscriptions.keys() | keys) > SUBSCRIPTIONS:
            raise Invalid(f"A socket can have at most {SUBSCRIPTIONS} subscriptions; unsubscribe from some first")
        for property_id, _, _ in keys:
            await self._tail(property_id).ready.wait()
        # No awaits from here on, so that nothing falls between what was missed and what is live.
        for key in keys:
            self._join(key)
        after = frame.payload.after
        self._acknowledge(frame, cursor=self._cursor(keys[0]) if after is None and len(keys) == 1 else None)
        for key in keys:
            tail, subscription = self._tails[key[0]], self._subscriptions[key]
            if after is not None or subscription.start is None:
                others = partial(self._others, key)
                self._connection.replay(Missed(tail, subscription, decode(after or "", key[0]), others))
            for rendition in tail.viewers(subscription):
                self.deliver(rendition)
        await self._look_at(keys)

    async def _look_at(self, keys: list[Key]) -> None:
        """Announces the person as a viewer of individually subscribed conversations. Programs are not announced."""
        if self._session.staff.role == "service":
            return
        for property_id, conversation_id, _ in keys:
            if conversation_id is not None and conversation_id not in self._looks:
                staff = self._session.staff
                viewer = Viewer(conversation_id=conversation_id, socket_id=self._id, staff_id=staff.id, name=staff.name)
                self._looks[conversation_id] = (property_id, viewer)
                self._deliver_here(property_id, await self._state.hub.presence.begin(property_id, viewer))

    async def _look_away(self) -> None:
        """Announces that the person no longer views conversations without a subscription."""
        subscribed = {conversation_id for _, conversation_id, _ in self._subscriptions}
        for conversation_id in [each for each in self._looks if each not in subscribed]:
            property_id, viewer = self._looks.pop(conversation_id)
            self._deliver_here(property_id, await self._state.hub.presence.end(property_id, viewer))

    def _deliver_here(self, property_id: str, entry: LogEntry | None) -> None:
        if entry is not None and property_id in self._tails:
            self._tails[property_id].deliver_unstored(entry)

    async def _unsubscribe(self, frame: ClientFrame) -> None:
        """Ends every subscription that matches what the frame names; without a name, all."""
        wanted = frame.payload
        for key in list(self._subscriptions):
            asked = (wanted.property_id, wanted.conversation_id, wanted.channel)
            if all(part is None or part == own for part, own in zip(asked, key, strict=True)):
                self._leave(key)
        self._acknowledge(frame)
        await self._look_away()

    async def _send_message(self, frame: ClientFrame) -> None:
        """Sends a message by the same command as REST."""
        payload, staff = frame.payload, self._session.staff
        require_permission(self._session, Permission.WRITE_CONVERSATIONS)
        quota = await self._state.requests.take(f"staff:{staff.id}")
        if quota.exceeded:
            raise TooManyRequests(f"Too many messages; try again in {quota.reset_seconds} s")
        conversation = await self._conversation(payload.conversation_id)
        if payload.channel not in (None, conversation.channel_type):
            raise Invalid(f"channel: the conversation's channel is {conversation.channel_type}", field="channel")
        try:
            body = NewMessage(
                content=payload.content or "", client_message_id=payload.client_message_id, private=payload.private
            )
        except ValidationError as error:
            raise refusal(error) from None
        message = await send_message(self._session, self._state, conversation.conversation_id, body)
        self._acknowledge(frame, message_id=message.id)

    async def _pass_typing(self, frame: ClientFrame) -> None:
        staff = self._session.staff
        require_permission(self._session, Permission.WRITE_CONVERSATIONS)
        if not self._typing.passes(frame.payload.typing):
            return
        conversation = await self._conversation(frame.payload.conversation_id)
        entry = LogEntry(
            property_id=conversation.property_id,
            type="typing",
            contact_key=contact_key_of(conversation.conversation_id),
            conversation_id=conversation.conversation_id,
            channel_type=conversation.channel_type,
            typing=Typing(author=Author.STAFF, author_id=staff.id, author_name=staff.name, typing=frame.payload.typing),
        )
        await self._state.live_stream.add([entry])

    def _acknowledge(self, frame: ClientFrame, *, message_id: str | None = None, cursor: str | None = None) -> None:
        if frame.id is not None:
            payload = ServerPayload(
                property_id=frame.payload.property_id,
                conversation_id=frame.payload.conversation_id,
                message_id=message_id,
            )
            self._connection.send(ServerFrame(type="ack", id=frame.id, payload=payload, cursor=cursor))

    # --- subscriptions ---------------------------------------------------------------------------------------------

    async def _keys(self, wanted: ClientPayload) -> list[Key]:
        """The subjects of a `subscribe`: a conversation, a property, or everything the person may see."""
        if wanted.conversation_id is not None:
            conversation = await self._conversation(wanted.conversation_id)
            if wanted.property_id not in (None, conversation.property_id):
                raise Invalid("propertyId: the conversation belongs to another property", field="propertyId")
            return [(conversation.property_id, conversation.conversation_id, wanted.channel)]
        if wanted.property_id is not None:
            require_property(self._session.staff, wanted.property_id)
            return [(wanted.property_id, None, wanted.channel)]
        return [(property_id, None, wanted.channel) for property_id in self._session.staff.properties]

    async def _conversation(self, conversation_id: str | None) -> Conversation:
        """A conversation that this person may see. Raises NotFound or Forbidden."""
        if conversation_id is None:
            raise Invalid("conversationId: is required", field="conversationId")
        return (await find_conversation(self._state, self._session, conversation_id)).conversation

    def _tail(self, property_id: str) -> Tail:
        """The tail of a property, kept until the socket ends."""
        if property_id not in self._tails:
            self._tails[property_id] = self._state.hub.open(property_id)
        return self._tails[property_id]

    def _join(self, key: Key) -> None:
        self._leave(key)
        property_id, conversation_id, channel = key
        contact_key = contact_key_of(conversation_id) if conversation_id is not None else None
        self._subscriptions[key] = Subscription(
            "staff", self, contact_key, conversation_id, channel, staff=self._session.staff
        )
        self._tails[property_id].join(self._subscriptions[key])

    def _leave(self, key: Key) -> None:
        subscription = self._subscriptions.pop(key, None)
        if subscription is not None:
            self._tails[key[0]].leave(subscription)

    def _others(self, key: Key) -> list[Subscription]:
        """The other subscriptions to the same property."""
        return [each for other, each in self._subscriptions.items() if other[0] == key[0] and other != key]

    def _cursor(self, key: Key) -> str | None:
        start = self._subscriptions[key].start
        return encode(key[0], start) if start is not None else None
