"""What tests do again and again: run workers, write as a guest, wait until something is so."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy import text
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

import worker
from activities.storage.database import Database
from contracts.commands import Actor, Command, Reply
from contracts.conversations import Conversation, Outcome
from contracts.messages import Attachment, ChannelType, GuestMessage, Message, Route
from contracts.names import TaskQueue, workflow_id
from settings import Settings
from tests.fakes.ai import FakeAI
from workflows.calls import query_answer
from workflows.client import Conversations
from workflows.conversation import ConversationWorkflow
from workflows.sandbox import Sandbox

PATIENCE_SECONDS = 60

T = TypeVar("T")


async def eventually(look: Callable[[], Awaitable[T | None]], *, what: str, seconds: float = PATIENCE_SECONDS) -> T:
    """Looks until there is something true to see."""
    deadline = time.monotonic() + seconds
    while True:
        seen = await look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for: {what}")
        await asyncio.sleep(0.02)


@asynccontextmanager
async def workers(
    settings: Settings, client: Client, queues: Iterable[TaskQueue] = tuple(TaskQueue)
) -> AsyncIterator[None]:
    """Worker processes' worth of workers, in this process."""
    async with worker.dependencies(settings, client) as activities, AsyncExitStack() as running:
        for queue in queues:
            await running.enter_async_context(worker.build_worker(client, queue, activities))
        await worker.make_current(client)
        yield


@asynccontextmanager
async def workers_without_deployment(
    settings: Settings, client: Client, *, max_cached_workflows: int = 1000
) -> AsyncIterator[None]:
    """The same for the time-skipping server, which knows no deployments.

    With nothing cached the workers may be followed by others: that server keeps a task for the worker that has its
    workflow cached, alive or not.
    """
    async with worker.dependencies(settings, client) as activities, AsyncExitStack() as running:
        for queue in TaskQueue:
            each = Worker(
                client,
                task_queue=queue,
                workflows=worker.served_workflows(queue),
                activities=worker.served_activities(queue, activities),
                workflow_runner=Sandbox(),
                max_cached_workflows=max_cached_workflows,
            )
            await running.enter_async_context(each)
        yield


@dataclass
class Guest:
    """A contact that writes; `handle` is its conversation's workflow."""

    stack: "Stack"
    adapter: str
    channel_type: ChannelType
    sender_id: str

    @property
    def contact_key(self) -> str:
        return self.stack.conversations.contact_key(self.stack.hotel, self.channel_type, self.sender_id)

    @property
    def handle(self) -> WorkflowHandle[ConversationWorkflow, None]:
        return self.stack.client.get_workflow_handle_for(ConversationWorkflow.run, workflow_id(self.contact_key))

    async def write(self, content: str, *, message_id: str | None = None, sent_at: datetime | None = None) -> str:
        message = guest_message(
            self.sender_id, content, adapter=self.adapter, channel_id=self.stack.hotel, id=message_id, sent_at=sent_at
        )
        await self.stack.conversations.receive(self.stack.hotel, self.channel_type, message)
        return message.id

    async def conversation(self) -> Conversation:
        return await query_answer(lambda: self.handle.query(ConversationWorkflow.conversation))

    async def messages(self) -> list[Message]:
        return await query_answer(lambda: self.handle.query(ConversationWorkflow.messages))

    async def outcomes(self) -> dict[str, Outcome]:
        outcomes = await query_answer(lambda: self.handle.query(ConversationWorkflow.outcomes))
        return {each.message_id: each for each in outcomes}

    async def outcome(self, message_id: str) -> Outcome:
        async def look() -> Outcome | None:
            return (await self.outcomes()).get(message_id)

        return await eventually(look, what=f"an outcome of {message_id}")

    async def ask(self, content: str) -> Outcome:
        """Writes and waits for what becomes of it."""
        return await self.outcome(await self.write(content))

    async def reaches(self, check: Callable[[Conversation], bool], what: str) -> Conversation:
        async def look() -> Conversation | None:
            conversation = await self.conversation()
            return conversation if check(conversation) else None

        return await eventually(look, what=what)


@dataclass
class Stack:
    settings: Settings
    client: Client
    conversations: Conversations
    hotel: str
    database: Database

    def guest(
        self, *, adapter: str = "webchat", channel_type: ChannelType = "webchat", sender_id: str | None = None
    ) -> Guest:
        return Guest(self, adapter, channel_type, sender_id or f"visitor-{uuid.uuid4().hex[:8]}")

    async def rows(self, query: str, **values: object) -> list[dict[str, object]]:
        async with self.database.begin() as connection:
            return [dict(row._mapping) for row in await connection.execute(text(query), values)]

    async def stored(self, conversation: Conversation) -> None:
        """Waits until storage has everything that the workflow told."""

        async def look() -> bool:
            rows = await self.rows(
                "SELECT max(seq) AS seq FROM log WHERE conversation_id = :id", id=conversation.conversation_id
            )
            return rows[0]["seq"] == conversation.seq

        await eventually(look, what="the projection to catch up")


def guest_message(
    sender_id: str,
    content: str,
    *,
    adapter: str = "webchat",
    channel_id: str = "x",
    attachments: Sequence[Attachment] = (),
    id: str | None = None,
    sent_at: datetime | None = None,
) -> GuestMessage:
    """A guest's message as its channel brings it now."""
    now = datetime.now(UTC)
    return GuestMessage(
        id=id or uuid.uuid4().hex,
        route=Route(adapter=adapter, channel_id=channel_id, sender_id=sender_id),
        content=content,
        attachments=list(attachments),
        sent_at=sent_at or now,
        received_at=now,
    )


async def asked(ai: FakeAI, count: int) -> None:
    """Waits until the AI was asked so often."""

    async def look() -> bool:
        return len(ai.requests) >= count

    await eventually(look, what=f"{count} requests to the AI")


ANA = Actor(id="ana", name="Ana")
BEN = Actor(id="ben", name="Ben")


def command(conversation: Conversation, by: Actor = ANA, reason: str | None = None) -> Command:
    return Command(conversation_id=conversation.conversation_id, by=by, reason=reason)


def reply(conversation: Conversation, content: str, by: Actor = ANA, *, private: bool = False, id: str = "") -> Reply:
    return Reply(
        conversation_id=conversation.conversation_id,
        by=by,
        content=content,
        private=private,
        message_id=id or uuid.uuid4().hex,
    )
