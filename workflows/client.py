"""The typed way to conversations: signals for guests, updates for staff, queries for who reads."""

import asyncio
import base64
import hashlib
import hmac
import time
import uuid
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode

from contracts.clear_text import ClearText
from contracts.commands import Command, Reply
from contracts.conversations import Conversation, Outcome
from contracts.messages import ChannelType, GuestMessage, Message
from contracts.names import CONVERSATION_WORKFLOW, TaskQueue, contact_key_of, workflow_id
from contracts.problems import (
    GatewayError,
    HeldByOther,
    NotFound,
    OutcomeUnknown,
    Resolved,
    Unavailable,
    WrongState,
)
from contracts.rules import ConversationPolicy
from settings import Settings, SettingsError
from workflows.codec import data_converter
from workflows.conversation import ConversationStart, ConversationWorkflow
from workflows.search import initial

COMMAND_SECONDS = 5
"""How long a command waits for a worker before its outcome is called unknown."""
ATTEMPT_SECONDS = 1
PAUSE_SECONDS = 0.1
QUERY_SECONDS = 10
SIGNAL_SECONDS = 10

_REFUSALS: dict[str, type[GatewayError]] = {error.code: error for error in (Resolved, WrongState, HeldByOther)}
_AGAIN = frozenset({RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.ABORTED, RPCStatusCode.RESOURCE_EXHAUSTED})

T = TypeVar("T")


async def connect(settings: Settings, *, lazy: bool = True, runtime: Runtime | None = None) -> Client:
    """A client of Temporal. Lazy: it connects when first used, so that a process starts while Temporal is away.

    Raises SettingsError where the address or the codec's key is missing.
    """
    if settings.temporal.address is None:
        raise SettingsError("temporal.address: set GATEWAY_TEMPORAL__ADDRESS to host:port")
    return await Client.connect(
        settings.temporal.address,
        namespace=settings.temporal.namespace,
        data_converter=data_converter(settings.temporal),
        lazy=lazy,
        runtime=runtime,
    )


def contact_key(secret: str, property_id: str, channel_type: str, sender_id: str) -> str:
    """26 characters that stand for a contact everywhere, and from which nobody reads a number or an address."""
    message = "\x1f".join((property_id, channel_type, sender_id)).encode()
    digest = hmac.new(secret.encode(), message, hashlib.sha256).digest()
    return base64.b32encode(digest).decode().lower()[:26]


def conversation_policy(settings: Settings, property_id: str, channel_type: ChannelType) -> ConversationPolicy:
    """The rules a new conversation starts with."""
    hotel = settings.properties.get(property_id)
    words = {"fallback_text": hotel.fallback_text, "handover_text": hotel.handover_text} if hotel else {}
    return ConversationPolicy(
        escalation_threshold=settings.routing.escalation_threshold,
        ai_timeout=timedelta(milliseconds=settings.routing.ai_timeout),
        max_retries=settings.routing.max_retries,
        local_engine=settings.ai.engine == "embedded",
        debounce=timedelta(milliseconds=settings.conversation.debounce[channel_type]),
        idle_timeout=timedelta(milliseconds=settings.conversation.idle_timeout),
        resolved_window=timedelta(milliseconds=settings.conversation.resolved_window),
        message_age_limit=timedelta(milliseconds=settings.conversation.message_age_limit),
        history_limit=settings.conversation.history_limit,
        **{key: text for key, text in words.items() if text is not None},
    )


class Conversations:
    """All conversations. Every method raises Unavailable while Temporal is away.

    A command that is repeated under one `update_id` is the same command, and gives what it gave first.
    """

    def __init__(self, client: Client, settings: Settings) -> None:
        if settings.security.identity_secret is None:
            raise SettingsError("security.identitySecret: set GATEWAY_SECURITY__IDENTITY_SECRET to a long random text")
        self._client = client
        self._settings = settings
        self._identity_secret = settings.security.identity_secret.get_secret_value()

    def contact_key(self, property_id: str, channel_type: str, sender_id: str) -> str:
        return contact_key(self._identity_secret, property_id, channel_type, sender_id)

    async def receive(self, property_id: str, channel_type: ChannelType, message: GuestMessage) -> None:
        """Brings a guest message to its conversation, begun if need be. Durable once this returns, worker or not."""
        key = self.contact_key(property_id, channel_type, message.route.sender_id)
        start = ConversationStart(
            property_id=property_id,
            channel_type=channel_type,
            contact_key=key,
            route=message.route,
            policy=conversation_policy(self._settings, property_id, channel_type),
        )
        starting = self._client.start_workflow(
            ConversationWorkflow.run,
            start,
            id=workflow_id(key),
            task_queue=TaskQueue.GATEWAY,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            start_signal="receive",
            start_signal_args=[message],
            search_attributes=initial(property_id, channel_type),
            static_summary=ClearText(f"{property_id} · {channel_type}"),
            priority=Priority(fairness_key=property_id),
            rpc_timeout=timedelta(seconds=SIGNAL_SECONDS),
        )
        await _reaching_temporal(starting)

    async def reply(self, command: Reply) -> Message:
        """A staff message or note; the same `message_id` again gives the same message."""
        return await self._command(ConversationWorkflow.reply, command, Message, command.message_id)

    async def claim(self, command: Command, update_id: str | None = None) -> Conversation:
        return await self._command(ConversationWorkflow.claim, command, Conversation, update_id)

    async def escalate(self, command: Command, update_id: str | None = None) -> Conversation:
        return await self._command(ConversationWorkflow.escalate, command, Conversation, update_id)

    async def return_to_ai(self, command: Command, update_id: str | None = None) -> Conversation:
        return await self._command(ConversationWorkflow.return_to_ai, command, Conversation, update_id)

    async def resolve(self, command: Command, update_id: str | None = None) -> Conversation:
        return await self._command(ConversationWorkflow.resolve, command, Conversation, update_id)

    async def get(self, conversation_id: str) -> Conversation:
        """The conversation as its workflow knows it. Raises NotFound where the id names none that Temporal holds."""
        found: Conversation = await self._query(conversation_id, ConversationWorkflow.conversation)
        return _the_one_asked_for(found, conversation_id)

    async def messages(self, conversation_id: str) -> list[Message]:
        """The newest messages, at most 20. Raises NotFound."""
        await self.get(conversation_id)
        found: list[Message] = await self._query(conversation_id, ConversationWorkflow.messages)
        return found

    async def outcomes(self, conversation_id: str) -> list[Outcome]:
        """What became of the newest guest messages, at most 50. Raises NotFound."""
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
        """Running conversations by Temporal's visibility, newest first; what a list shows while storage is away."""
        if not property_ids:
            return []
        properties = ", ".join(_quoted(each) for each in property_ids)
        terms = [
            f"WorkflowType = {_quoted(CONVERSATION_WORKFLOW)}",
            "ExecutionStatus = 'Running'",
            f"GatewayProperty IN ({properties})",
        ]
        for name, value in (("GatewayState", state), ("GatewayChannel", channel), ("GatewayAssignee", assigned_to)):
            if value is not None:
                terms.append(f"{name} = {_quoted(value)}")
        if needs_review is not None:
            terms.append(f"GatewayNeedsReview = {str(needs_review).lower()}")
        return await _reaching_temporal(self._running(" AND ".join(terms), limit))

    async def _running(self, query: str, limit: int) -> list[Conversation]:
        ids = [each.id async for each in self._client.list_workflows(query, limit=limit)]
        found = await asyncio.gather(*(self._running_one(each) for each in ids))
        return [conversation for conversation in found if conversation is not None]

    async def _running_one(self, workflow: str) -> Conversation | None:
        """None for one that ended meanwhile."""
        handle = self._client.get_workflow_handle(workflow)
        try:
            return await handle.query(ConversationWorkflow.conversation, rpc_timeout=timedelta(seconds=QUERY_SECONDS))
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise

    def _handle(self, conversation_id: str) -> WorkflowHandle[ConversationWorkflow, None]:
        key = contact_key_of(conversation_id)
        return self._client.get_workflow_handle_for(ConversationWorkflow.run, workflow_id(key))

    async def _query(self, conversation_id: str, query: Any) -> Any:
        timeout = timedelta(seconds=QUERY_SECONDS)
        try:
            return await _reaching_temporal(self._handle(conversation_id).query(query, rpc_timeout=timeout))
        except WorkflowQueryFailedError as error:
            raise Unavailable("the conversation cannot be read right now; try again shortly") from error
        except _GoneError:
            raise _no_such(conversation_id) from None

    async def _command(self, update: Any, command: Command, result: type[T], update_id: str | None = None) -> T:
        """Sends a command, again under the same id until it is answered: nothing is done twice.

        A run that goes on in a new one gives up the updates it has not accepted; Temporal then backs off for
        seconds, where a fresh request finds the new run at once.
        """
        update_id = update_id or uuid.uuid4().hex
        gives_up = time.monotonic() + COMMAND_SECONDS
        while time.monotonic() < gives_up:
            try:
                return await self._send(update, command, result, update_id)
            except WorkflowUpdateRPCTimeoutOrCancelledError:
                # The client says the same of our own cancellation, which must not be swallowed.
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise asyncio.CancelledError from None
            except _AgainError:
                await asyncio.sleep(PAUSE_SECONDS)
        raise OutcomeUnknown(f"no worker answered within {COMMAND_SECONDS} s; the command may still be carried out")

    async def _send(self, update: Any, command: Command, result: type[T], update_id: str) -> T:
        sending = self._handle(command.conversation_id).execute_update(
            update, command, id=update_id, result_type=result, rpc_timeout=timedelta(seconds=ATTEMPT_SECONDS)
        )
        try:
            return await _reaching_temporal(sending, again=_AGAIN)
        except WorkflowUpdateFailedError as error:
            raise _refusal(error) from None
        except _GoneError:
            raise await self._why_gone(command.conversation_id) from None

    async def _why_gone(self, conversation_id: str) -> GatewayError:
        """A workflow that has closed is a resolved conversation, if it was this one."""
        try:
            described = await _reaching_temporal(self._handle(conversation_id).describe())
        except _GoneError:
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


class _GoneError(Exception):
    """Temporal has no such workflow, or none that still runs."""


class _AgainError(Exception):
    """The same command again, a moment later, will go through."""


async def _reaching_temporal(call: Awaitable[T], *, again: frozenset[RPCStatusCode] = frozenset()) -> T:
    """Awaits a call; Temporal's absence is told as Unavailable, a missing workflow as _GoneError."""
    try:
        return await call
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise _GoneError from error
        if error.status in again:
            raise _AgainError from error
        raise Unavailable(f"Temporal does not answer ({error.status.name}); try again shortly") from error
    except RuntimeError as error:  # a lazy client that cannot connect
        raise Unavailable("Temporal cannot be reached; try again shortly") from error


def _refusal(error: WorkflowUpdateFailedError) -> Exception:
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type == "AcceptedUpdateCompletedWorkflow":
        return _AgainError()  # accepted by a run that ended before it was carried out
    if isinstance(cause, ApplicationError) and cause.type in _REFUSALS:
        members = cause.details[0] if cause.details else {}
        return _REFUSALS[cause.type](cause.message, **members)
    return error


def _the_one_asked_for(found: Conversation, conversation_id: str) -> Conversation:
    if found.conversation_id != conversation_id:
        raise _no_such(conversation_id)
    return found


def _no_such(conversation_id: str) -> NotFound:
    return NotFound(f"there is no conversation {conversation_id}")


def _quoted(value: str) -> str:
    """A string of Temporal's list filter."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
