"""Typed client for conversations: signals for guests, updates for staff, queries for readers."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import uuid
from datetime import timedelta
from typing import Any, TypedDict, TypeVar

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.common import Priority, TypedSearchAttributes, WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from contracts.base import without_nul
from contracts.clear_text import ClearText
from contracts.commands import (
    Assign,
    ChangePolicy,
    Command,
    DecideAction,
    DeliveryFailure,
    Opening,
    Redeliver,
    Reply,
    SetConversationPriority,
    Snooze,
)
from contracts.conversations import Conversation, Outcome
from contracts.messages import ChannelType, GuestMessage, Message, Route
from contracts.names import CONVERSATION_WORKFLOW, GUEST_CONTENT_LIMIT, TaskQueue, contact_key_of, workflow_id
from contracts.problems import (
    GatewayError,
    NotFound,
    Resolved,
    Unavailable,
)
from settings import Settings, SettingsError
from workflows.calls import (
    AGAIN,
    ATTEMPT_SECONDS,
    QUERY_SECONDS,
    GoneError,
    listed_answer,
    query_answer,
    quoted,
    reaching_temporal,
    refusal,
    until_answered,
)
from workflows.conversation import ConversationStart, ConversationWorkflow
from workflows.rules import conversation_policy
from workflows.search import initial

SIGNAL_SECONDS = 10

T = TypeVar("T")


def contact_key(secret: str, property_id: str, channel_type: str, sender_id: str) -> str:
    """The 26 characters that identify a contact everywhere, without revealing a number or an address."""
    message = "\x1f".join((property_id, channel_type, sender_id)).encode()
    digest = hmac.new(secret.encode(), message, hashlib.sha256).digest()
    return base64.b32encode(digest).decode().lower()[:26]


class Conversations:
    """Access to all conversations. Every method raises Unavailable while Temporal is away.

    A command repeated under the same `update_id` is carried out once, and gives the same result again.
    """

    def __init__(self, client: Client, settings: Settings) -> None:
        if settings.security.identity_secret is None:
            raise SettingsError(
                "security.identitySecret: set GATEWAY_SECURITY__IDENTITY_SECRET to a long random string"
            )
        self._client = client
        self._settings = settings
        self._identity_secret = settings.security.identity_secret.get_secret_value()

    def contact_key(self, property_id: str, channel_type: str, sender_id: str) -> str:
        return contact_key(self._identity_secret, property_id, channel_type, sender_id)

    async def receive(
        self, property_id: str, channel_type: ChannelType, message: GuestMessage, contact_key: str | None = None
    ) -> None:
        """Brings a guest message to its conversation, which is started if need be. Durable once this returns.

        With `contact_key` it goes to that contact's conversation, whoever sent it. Content over GUEST_CONTENT_LIMIT is
        cut here; adapters should refuse it or keep it as a file.
        """
        if len(message.content) > GUEST_CONTENT_LIMIT:
            message = message.model_copy(update={"content": message.content[:GUEST_CONTENT_LIMIT]})
        if "\\u0000" in message.model_dump_json():  # storage would refuse everything that the conversation publishes
            message = GuestMessage.model_validate(without_nul(message.model_dump(by_alias=False)))
        key = contact_key or self.contact_key(property_id, channel_type, message.route.sender_id)
        starting = self._client.start_workflow(
            ConversationWorkflow.run,
            self._start(property_id, channel_type, key, message.route),
            start_signal="receive",
            start_signal_args=[message],
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            rpc_timeout=timedelta(seconds=SIGNAL_SECONDS),
            **_how_to_start(property_id, channel_type, key),
        )
        await reaching_temporal(starting)

    async def is_open(self, contact_key: str) -> bool:
        """Whether the contact is in a conversation."""
        try:
            described = await reaching_temporal(
                self._client.get_workflow_handle(workflow_id(contact_key)).describe(
                    rpc_timeout=timedelta(seconds=SIGNAL_SECONDS)
                )
            )
        except GoneError:
            return False
        return described.status is WorkflowExecutionStatus.RUNNING

    async def open(self, property_id: str, channel_type: ChannelType, route: Route, opening: Opening) -> Conversation:
        """Starts a conversation with a message to a contact. Repeats with the same `message_id` do it once.

        Raises AlreadyOpen if the contact is in a conversation, and OutcomeUnknown if no worker answers in time.
        """
        key = self.contact_key(property_id, channel_type, route.sender_id)

        async def send() -> Conversation:
            starting = WithStartWorkflowOperation(
                ConversationWorkflow.run,
                self._start(property_id, channel_type, key, route),
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                **_how_to_start(property_id, channel_type, key),
            )
            updating = self._client.execute_update_with_start_workflow(
                ConversationWorkflow.open,
                opening,
                start_workflow_operation=starting,
                id=_update_id("open", opening.message_id),
                rpc_timeout=timedelta(seconds=ATTEMPT_SECONDS),
            )
            try:
                return await reaching_temporal(updating, again=AGAIN)
            except WorkflowUpdateFailedError as error:
                raise refusal(error) from None

        return await until_answered(send)

    async def delivery_failed(self, failure: DeliveryFailure) -> None:
        """Tells a conversation that a message was not delivered after all. Does nothing if it has ended."""
        signalling = self._handle(failure.conversation_id).signal(
            "delivery_failed", failure, rpc_timeout=timedelta(seconds=SIGNAL_SECONDS)
        )
        with contextlib.suppress(GoneError):
            await reaching_temporal(signalling)

    async def reply(self, command: Reply) -> Message:
        """Sends a staff message or note. Repeats with the same `message_id` return the same message."""
        update_id = _update_id("reply", command.message_id)
        return await self._command(ConversationWorkflow.reply, command, Message, update_id)

    async def redeliver(self, command: Redeliver, update_id: str | None = None) -> Message:
        """Retries, skips or resends an undelivered message. Raises NotFound if there is none."""
        return await self._command(ConversationWorkflow.redeliver, command, Message, update_id)

    async def claim(self, command: Command, update_id: str | None = None) -> Conversation:
        return await self._command(ConversationWorkflow.claim, command, Conversation, update_id)

    async def assign(self, command: Assign, update_id: str | None = None) -> Conversation:
        return await self._command(ConversationWorkflow.assign, command, Conversation, update_id)

    async def unassign(self, command: Command, update_id: str | None = None) -> Conversation:
        return await self._command(ConversationWorkflow.unassign, command, Conversation, update_id)

    async def escalate(self, command: Command, update_id: str | None = None) -> Conversation:
        return await self._command(ConversationWorkflow.escalate, command, Conversation, update_id)

    async def return_to_ai(self, command: Command, update_id: str | None = None) -> Conversation:
        return await self._command(ConversationWorkflow.return_to_ai, command, Conversation, update_id)

    async def prioritise(self, command: SetConversationPriority, update_id: str | None = None) -> Conversation:
        return await self._command(ConversationWorkflow.prioritise, command, Conversation, update_id)

    async def snooze(self, command: Snooze, update_id: str | None = None) -> Conversation:
        return await self._command(ConversationWorkflow.snooze, command, Conversation, update_id)

    async def resolve(self, command: Command, update_id: str | None = None) -> Conversation:
        return await self._command(ConversationWorkflow.resolve, command, Conversation, update_id)

    async def read(self, command: Command, update_id: str | None = None) -> Conversation:
        return await self._command(ConversationWorkflow.read, command, Conversation, update_id)

    async def reviewed(self, command: Command, update_id: str | None = None) -> Conversation:
        return await self._command(ConversationWorkflow.reviewed, command, Conversation, update_id)

    async def change_policy(self, command: ChangePolicy, update_id: str | None = None) -> Conversation:
        return await self._command(ConversationWorkflow.change_policy, command, Conversation, update_id)

    async def decide(self, command: DecideAction, update_id: str | None = None) -> Conversation:
        """Approves or refuses an action. Raises NotFound if no such action is pending."""
        return await self._command(ConversationWorkflow.decide, command, Conversation, update_id)

    async def get(self, conversation_id: str) -> Conversation:
        """The conversation as its workflow knows it. Raises NotFound for an id that Temporal does not know."""
        found: Conversation = await self._query(conversation_id, ConversationWorkflow.conversation)
        return _the_one_asked_for(found, conversation_id)

    async def messages(self, conversation_id: str) -> list[Message]:
        """The newest messages, at most 20, in order. Raises NotFound."""
        await self.get(conversation_id)
        found: list[Message] = await self._query(conversation_id, ConversationWorkflow.messages)
        return found

    async def outcomes(self, conversation_id: str) -> list[Outcome]:
        """The newest outcomes of guest messages, at most 50. Raises NotFound."""
        await self.get(conversation_id)
        found: list[Outcome] = await self._query(conversation_id, ConversationWorkflow.outcomes)
        return found

    async def list_open(
        self,
        property_ids: list[str],
        *,
        state: str | None = None,
        channel: str | None = None,
        assigned_to: str | None = None,
        needs_review: bool | None = None,
        limit: int = 50,
    ) -> list[Conversation]:
        """Running conversations from Temporal's visibility, newest first: the list to show while storage is away.

        Those that cannot be read right now are left out.
        """
        if not property_ids:
            return []
        properties = ", ".join(quoted(each) for each in property_ids)
        terms = [
            f"WorkflowType = {quoted(CONVERSATION_WORKFLOW)}",
            "ExecutionStatus = 'Running'",
            f"GatewayProperty IN ({properties})",
        ]
        for name, value in (("GatewayState", state), ("GatewayChannel", channel), ("GatewayAssignee", assigned_to)):
            if value is not None:
                terms.append(f"{name} = {quoted(value)}")
        if needs_review is not None:
            terms.append(f"GatewayNeedsReview = {str(needs_review).lower()}")
        return await reaching_temporal(self._running(" AND ".join(terms), limit))

    async def _running(self, query: str, limit: int) -> list[Conversation]:
        ids = [each.id async for each in self._client.list_workflows(query, limit=limit)]
        found = await asyncio.gather(*(self._running_one(each) for each in ids))
        return [conversation for conversation in found if conversation is not None]

    async def _running_one(self, workflow: str) -> Conversation | None:
        """A listed conversation; None if it has ended meanwhile or cannot be read."""
        handle = self._client.get_workflow_handle(workflow)
        timeout = timedelta(seconds=QUERY_SECONDS)
        return await listed_answer(
            workflow, lambda: handle.query(ConversationWorkflow.conversation, rpc_timeout=timeout)
        )

    def _start(self, property_id: str, channel_type: ChannelType, contact_key: str, route: Route) -> ConversationStart:
        return ConversationStart(
            property_id=property_id,
            channel_type=channel_type,
            contact_key=contact_key,
            route=route,
            policy=conversation_policy(self._settings, property_id, channel_type),
        )

    def _handle(self, conversation_id: str) -> WorkflowHandle[ConversationWorkflow, None]:
        key = contact_key_of(conversation_id)
        return self._client.get_workflow_handle_for(ConversationWorkflow.run, workflow_id(key))

    async def _query(self, conversation_id: str, query: Any) -> Any:
        handle, timeout = self._handle(conversation_id), timedelta(seconds=QUERY_SECONDS)
        try:
            return await reaching_temporal(query_answer(lambda: handle.query(query, rpc_timeout=timeout)))
        except WorkflowQueryFailedError as error:
            raise Unavailable("the conversation cannot be read right now; try again shortly") from error
        except GoneError:
            raise _no_such(conversation_id) from None

    async def _command(self, update: Any, command: Command, result: type[T], update_id: str | None = None) -> T:
        """Sends a command, repeated under the same id until it is answered, so that nothing is done twice."""
        update_id = update_id or uuid.uuid4().hex
        return await until_answered(lambda: self._send(update, command, result, update_id))

    async def _send(self, update: Any, command: Command, result: type[T], update_id: str) -> T:
        sending = self._handle(command.conversation_id).execute_update(
            update, command, id=update_id, result_type=result, rpc_timeout=timedelta(seconds=ATTEMPT_SECONDS)
        )
        try:
            return await reaching_temporal(sending, again=AGAIN)
        except WorkflowUpdateFailedError as error:
            raise refusal(error) from None
        except GoneError:
            raise await self._why_gone(command.conversation_id) from None

    async def _why_gone(self, conversation_id: str) -> GatewayError:
        """The error for a closed workflow: Resolved if it was this conversation's, otherwise NotFound."""
        try:
            described = await reaching_temporal(self._handle(conversation_id).describe())
        except GoneError:
            return _no_such(conversation_id)
        closed = described.status is not WorkflowExecutionStatus.RUNNING
        try:
            await self.get(conversation_id)
        except NotFound as error:
            return error
        return (
            Resolved(f"conversation {conversation_id} is resolved", state="resolved")
            if closed
            else _no_such(conversation_id)
        )


class _HowToStart(TypedDict):
    id: str
    task_queue: str
    id_reuse_policy: WorkflowIDReusePolicy
    search_attributes: TypedSearchAttributes
    static_summary: str
    priority: Priority


def _how_to_start(property_id: str, channel_type: ChannelType, contact_key: str) -> _HowToStart:
    return _HowToStart(
        id=workflow_id(contact_key),
        task_queue=TaskQueue.GATEWAY,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        search_attributes=initial(property_id, channel_type),
        static_summary=ClearText(f"{property_id} · {channel_type}"),
        priority=Priority(fairness_key=property_id),
    )


def _the_one_asked_for(found: Conversation, conversation_id: str) -> Conversation:
    if found.conversation_id != conversation_id:
        raise _no_such(conversation_id)
    return found


def _update_id(command: str, message_id: str) -> str:
    """An update id with the command's name: Temporal would answer another command under the same id as the first."""
    return f"{command}-{message_id}"


def _no_such(conversation_id: str) -> NotFound:
    return NotFound(f"there is no conversation {conversation_id}")
