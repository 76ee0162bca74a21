"""Carries out the actions of rules, by the same commands as staff use."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from temporalio.exceptions import ApplicationError

from activities.storage.notices import Notices
from activities.storage.staff import StaffAccounts
from activities.storage.tasks import Tasks
from activities.storage.webhook_endpoints import WebhookEndpoints
from activities.webhooks.sender import WebhookSender, webhook_id
from contracts.automations import (
    AUTOMATION,
    Act,
    ActionRefused,
    AssignTo,
    CallWebhook,
    CreateTask,
    NotifyStaff,
    SendMessage,
    SetPriority,
)
from contracts.commands import Actor, Assign, Reply, SetConversationPriority
from contracts.conversations import Conversation
from contracts.events import Notification
from contracts.messages import Message
from contracts.staff import Staff
from contracts.task_events import TaskChanged
from contracts.tasks import ChangeTask, Task, TaskChanges, VersionedTask
from contracts.webhook_events import FiredData, FiredEvent

CALLS_AT_ONCE: Final = 4
"""Calls per endpoint and process, since calls waiting for a hanging endpoint take slots that guests' answers need."""


class ConversationCommands(Protocol):
    async def reply(self, command: Reply) -> Message: ...

    async def assign(self, command: Assign, update_id: str | None = None) -> Conversation: ...

    async def prioritise(self, command: SetConversationPriority, update_id: str | None = None) -> Conversation: ...


class TaskCommands(Protocol):
    async def create(self, task: Task, by: Actor | None = None) -> VersionedTask: ...

    async def change(self, command: ChangeTask, read: Callable[[], Awaitable[VersionedTask]]) -> TaskChanged: ...


class Actions:
    def __init__(
        self,
        conversations: ConversationCommands,
        running_tasks: TaskCommands,
        tasks: Tasks,
        staff: StaffAccounts,
        notices: Notices,
        endpoints: WebhookEndpoints,
        sender: WebhookSender,
    ) -> None:
        self._conversations = conversations
        self._running_tasks = running_tasks
        self._tasks = tasks
        self._staff = staff
        self._notices = notices
        self._endpoints = endpoints
        self._sender = sender
        self._calls: Counter[str] = Counter()

    async def run(self, act: Act) -> None:
        """Carries out an action. A repeat results in the same task, message or change.

        Raises GatewayError or ActionRefused if it cannot be done.
        """
        match act.action:
            case CreateTask():
                await self._create_task(act, act.action)
            case NotifyStaff():
                await self._notify(act, act.action)
            case SetPriority():
                await self._set_priority(act, act.action)
            case AssignTo():
                await self._assign(act, act.action)
            case CallWebhook():
                await self._call_webhook(act, act.action)
            case SendMessage():
                await self._send_message(act, act.action)

    async def _create_task(self, act: Act, action: CreateTask) -> None:
        happened = act.happening
        task = Task(
            id=act.id,
            property_id=happened.property_id,
            conversation_id=happened.conversation_id,
            department=action.department,
            title=action.title,
            description=action.description,
            priority=action.priority,
            due_at=happened.at + action.due_in if action.due_in is not None else None,
            assigned_to=await self._assignee(act, action.assigned_to),
            created_at=happened.at,
            updated_at=happened.at,
        )
        await self._running_tasks.create(task, AUTOMATION)

    async def _assignee(self, act: Act, staff_id: str | None) -> str | None:
        """None for somebody who has left: everyone is reminded of an unassigned task, but nobody of theirs."""
        try:
            return (await self._colleague(act, staff_id)).id if staff_id is not None else None
        except ActionRefused:
            return None

    async def _notify(self, act: Act, action: NotifyStaff) -> None:
        if action.staff_id is not None:
            await self._colleague(act, action.staff_id)
        notification = Notification(
            id=act.id,
            kind="system",
            text=action.text,
            conversation_id=act.happening.conversation_id,
            audience=action.audience,
            staff_id=action.staff_id,
            at=act.happening.at,
        )
        await self._notices.tell(act.happening.property_id, notification)

    async def _set_priority(self, act: Act, action: SetPriority) -> None:
        if act.happening.task_id is not None:
            await self._change_task(act, act.happening.task_id, TaskChanges(priority=action.priority))
            return
        command = SetConversationPriority(
            conversation_id=_conversation(act), by=AUTOMATION, reason=_reason(act), priority=action.priority
        )
        await self._conversations.prioritise(command, act.id)

    async def _assign(self, act: Act, action: AssignTo) -> None:
        staff = await self._colleague(act, action.staff_id)
        if act.happening.task_id is not None:
            await self._change_task(act, act.happening.task_id, TaskChanges(assigned_to=staff.id))
            return
        command = Assign(
            conversation_id=_conversation(act),
            by=AUTOMATION,
            reason=_reason(act),
            staff_id=staff.id,
            staff_name=staff.name,
        )
        await self._conversations.assign(command, act.id)

    async def _colleague(self, act: Act, staff_id: str) -> Staff:
        account = await self._staff.get(staff_id)
        if account is None or account.disabled:
            raise ActionRefused("there is no such member of staff")
        if act.happening.property_id not in account.staff.properties:
            raise ActionRefused("this member of staff does not work at the property")
        return account.staff

    async def _change_task(self, act: Act, task_id: str, changes: TaskChanges) -> None:
        async def read() -> VersionedTask:
            stored = await self._tasks.get(task_id)
            if stored is None:
                raise ActionRefused("there is no such task")
            return stored

        await self._running_tasks.change(ChangeTask(id=act.id, task_id=task_id, by=AUTOMATION, changes=changes), read)

    async def _call_webhook(self, act: Act, action: CallWebhook) -> None:
        happened = act.happening
        target = await self._endpoints.target(action.endpoint_id)
        if target is None or target.endpoint.property_id != happened.property_id:
            raise ActionRefused("there is no such webhook endpoint")
        if not target.endpoint.enabled:
            raise ActionRefused("the webhook endpoint is disabled")
        fired = FiredData(
            property_id=happened.property_id,
            rule_id=act.rule_id,
            event=happened.type,
            sequence=happened.position,
            conversation_id=happened.conversation_id,
            task_id=happened.task_id,
        )
        with self._calling(action.endpoint_id):
            sent = await self._sender.send(target, webhook_id(act.id), FiredEvent(timestamp=happened.at, data=fired))
        await self._endpoints.noted(action.endpoint_id, sent.attempt)
        if sent.is_gone:
            raise ActionRefused("the webhook endpoint answered 410 (gone)")
        if sent.attempt.reason is not None:
            raise ApplicationError("the endpoint did not accept it", type="webhook", next_retry_delay=sent.retry_after)

    @contextmanager
    def _calling(self, endpoint_id: str) -> Iterator[None]:
        """Counts a call to an endpoint. Raises ApplicationError, to be retried, if it has reached the limit."""
        if self._calls[endpoint_id] == CALLS_AT_ONCE:
            raise ApplicationError("the endpoint has not answered earlier calls yet", type="webhook")
        self._calls[endpoint_id] += 1
        try:
            yield
        finally:
            self._calls[endpoint_id] -= 1

    async def _send_message(self, act: Act, action: SendMessage) -> None:
        command = Reply(
            conversation_id=_conversation(act),
            by=AUTOMATION,
            message_id=act.id,
            content=action.content,
            template=action.template,
        )
        await self._conversations.reply(command)


def _conversation(act: Act) -> str:
    if act.happening.conversation_id is None:
        raise ActionRefused("the event does not belong to a conversation")
    return act.happening.conversation_id


def _reason(act: Act) -> str:
    return f"Automation {act.rule_id}"
