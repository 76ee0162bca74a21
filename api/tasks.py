"""Tasks for the hotel's departments."""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Final
from uuid import UUID, uuid4, uuid5

from fastapi import Body, Depends, Response, status
from pydantic import ConfigDict, Field, StringConstraints

import contracts.base
from activities.storage.paging import TimePosition
from api.auth.permissions import require_property
from api.auth.sessions import Session
from api.changes import Changes, unchanged
from api.deps import (
    DEGRADED_HEADER,
    GatewayState,
    IdempotencyKey,
    IfMatch,
    ReadsTasks,
    WritesTasks,
    find_conversation,
    known_id,
)
from api.lists import Page, PageQuery, cursor_of
from api.openapi import MADE, VERSION, WITH_BODY, problems
from api.queries import QueryOf
from api.routers import rest_router
from api.state import State
from contracts.base import Moment, NotBlank
from contracts.problems import (
    Forbidden,
    Invalid,
    NotFound,
    OutcomeUnknown,
    StaleVersion,
    StorageAway,
    Unavailable,
)
from contracts.rules import Department, Priority
from contracts.task_events import TaskPublication
from contracts.tasks import ChangeTask, Task, TaskFilter, TaskStatus, VersionedTask
from contracts.tasks import TaskChanges as Change

router = rest_router("/tasks", "tasks")
ONE: Final = problems(NotFound, Unavailable)
KEYED_TASKS: Final = UUID("8f0d5f0c-2a3f-4f57-9b6e-6c1f0e9a7d42")
"""UUID namespace of task ids derived from idempotency keys."""
_ETAG: Final = re.compile(r'"([1-9][0-9]{0,17})"')

Title = Annotated[NotBlank, StringConstraints(max_length=200)]
Description = Annotated[str, Field(max_length=4096)]
Reference = Annotated[str, Field(min_length=1, max_length=255)]
"""An id of ours. Temporal's visibility stores no longer ones."""


class TaskPage(Page[Task]):
    pass


class TaskQuery(PageQuery):
    property: Annotated[str | None, Field(max_length=256, description="Only this property.")] = None
    status: TaskStatus | None = None
    department: Department | None = None
    assigned_to: Annotated[str | None, Field(max_length=256, description="A staff id, or `me`.")] = None
    conversation_id: Annotated[str | None, Field(max_length=256)] = None


class NewTask(contracts.base.Body):
    property_id: Reference
    conversation_id: Annotated[
        Reference | None,
        Field(
            description="Once the task is done, the guest of this conversation is told so, by its title, in this "
            "one or a newer one on the same channel, whichever is open."
        ),
    ] = None
    guest_id: Reference | None = None
    department: Department
    title: Title
    description: Description = ""
    priority: Priority = "normal"
    due_at: Moment | None = None
    assigned_to: Annotated[Reference | None, Field(description="A staff id.")] = None


class TaskChanges(Changes):
    CAN_BE_EMPTY: ClassVar[frozenset[str]] = frozenset({"due_at", "assigned_to"})
    model_config = ConfigDict(json_schema_extra=Changes.model_config.get("json_schema_extra"))

    department: Department = unchanged()
    title: Title = unchanged()
    description: Description = unchanged()
    priority: Priority = unchanged()
    status: TaskStatus = unchanged()
    due_at: Moment | None = None
    assigned_to: Annotated[Reference | None, Field(description="A staff id.")] = None

    def change(self) -> Change:
        sent = self.sent()
        cleared = [field for field in self.CAN_BE_EMPTY if field in sent and sent[field] is None]
        return Change.model_validate({**sent, "cleared": sorted(cleared)})


@dataclass(frozen=True, slots=True)
class Found:
    """A task that the caller may see. `degraded`: it was read from its workflow because storage is away."""

    current: VersionedTask
    degraded: bool

    @property
    def headers(self) -> dict[str, str]:
        degraded = {DEGRADED_HEADER: "storage"} if self.degraded else {}
        return {"ETag": self.current.etag, **degraded}


@router.get("", summary="List tasks", responses=problems(Unavailable))
async def list_tasks(
    session: ReadsTasks,
    state: GatewayState,
    query: Annotated[TaskQuery, Depends(QueryOf(TaskQuery))],
    response: Response,
) -> TaskPage:
    """Tasks of your properties, newest first.

    While storage is away, the list holds only tasks that are not done or cancelled and can be read, on a
    single page.
    """
    properties = session.staff.properties
    if query.property is not None:
        require_property(session.staff, query.property)
        properties = [query.property]
    wanted = TaskFilter(
        properties=properties,
        status=query.status,
        department=query.department,
        assigned_to=session.staff.id if query.assigned_to == "me" else query.assigned_to,
        conversation_id=query.conversation_id,
    )
    after = query.position(TimePosition)
    try:
        page = await state.tasks.list(wanted, limit=query.limit, after=after)
    except StorageAway:
        response.headers[DEGRADED_HEADER] = "storage"
        return TaskPage(items=await state.running_tasks.list_running(wanted, limit=query.limit))
    return TaskPage(items=page.items, next_cursor=cursor_of(page.end))


@router.post(
    "",
    summary="Create a task",
    status_code=status.HTTP_201_CREATED,
    responses=WITH_BODY | problems(Unavailable) | {201: {"headers": VERSION | MADE, "description": "The task"}},
)
async def create_task(
    session: WritesTasks,
    state: GatewayState,
    body: Annotated[
        NewTask,
        Body(
            openapi_examples={
                "towels": {
                    "value": {
                        "propertyId": "seaview",
                        "department": "housekeeping",
                        "title": "Two more towels for room 204",
                    }
                }
            }
        ),
    ],
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Task:
    """Creates a task for a department.

    Its assignee is notified. Staff are reminded before the due date; managers are told when it has passed.
    """
    require_property(session.staff, body.property_id)
    await _check_references(state, session, body)
    now = datetime.now(UTC)
    task_id = uuid4() if idempotency_key is None else uuid5(KEYED_TASKS, f"{session.staff.id} {idempotency_key}")
    task = Task(id=str(task_id), **body.model_dump(by_alias=False), created_at=now, updated_at=now)
    created = await state.running_tasks.create(task, session.actor)
    brought = TaskPublication(task_id=task.id, property_id=created.task.property_id, versions=[created])
    created = await _store(state, brought) or created
    response.headers["Location"] = f"/api/v1/tasks/{task.id}"
    response.headers["ETag"] = created.etag
    return created.task


@router.get("/{task_id}", summary="Get a task", responses=ONE | {200: {"headers": VERSION}})
async def get_task(session: ReadsTasks, state: GatewayState, task_id: str, response: Response) -> Task:
    found = await _find(state, session, task_id)
    response.headers.update(found.headers)
    return found.current.task


@router.patch(
    "/{task_id}",
    summary="Change a task",
    responses=ONE | WITH_BODY | problems(StaleVersion, OutcomeUnknown, Unavailable) | {200: {"headers": VERSION}},
)
async def update_task(
    session: WritesTasks,
    state: GatewayState,
    task_id: str,
    body: Annotated[TaskChanges, Body(openapi_examples={"done": {"value": {"status": "done"}}})],
    response: Response,
    if_match: IfMatch = None,
) -> Task:
    """Changes only the fields that are sent. A task that is done or cancelled can be reopened.

    A new assignee is notified.
    """

    async def read() -> VersionedTask:
        return (await _find(state, session, task_id)).current

    found = await read()
    if body.assigned_to is not None:
        await _check_assignee(state, found.task.property_id, body.assigned_to)
    command = ChangeTask(
        id=uuid4().hex,
        task_id=task_id,
        by=session.actor,
        changes=body.change(),
        expected_versions=_versions(if_match),
    )
    changed = await state.running_tasks.change(command, read)
    await _store(state, changed.publication)
    response.headers["ETag"] = changed.current.etag
    return changed.current.task


async def _find(state: State, session: Session, task_id: str) -> Found:
    """A task by id, from storage or, if that is away or does not have it yet, from its workflow.

    Raises NotFound for an unknown id and Forbidden if the caller has no access to its property.
    """
    stored, degraded = None, False
    try:
        stored = await state.tasks.get(known_id("task", task_id))
    except StorageAway:
        degraded = True
    current = stored or await state.running_tasks.get(task_id)
    require_property(session.staff, current.task.property_id)
    return Found(current, degraded)


async def _store(state: State, publication: TaskPublication) -> VersionedTask | None:
    """Writes a task to storage, so that lists show it at once. Returns the version in storage if that is newer.

    While storage is away, the workflow writes it later.
    """
    try:
        return (await state.tasks.publish(publication)).newer
    except StorageAway:
        return None


def _versions(if_match: str | None) -> list[int] | None:
    """The versions that `If-Match` allows; None if it allows any."""
    if if_match is None or if_match.strip() == "*":
        return None
    tags = (_ETAG.fullmatch(tag.strip()) for tag in if_match.split(","))
    return [int(tag[1]) for tag in tags if tag is not None]


async def _check_references(state: State, session: Session, task: NewTask) -> None:
    """Raises Invalid for a reference to something that does not exist or belongs to another property."""
    if task.conversation_id is not None:
        try:
            found = await find_conversation(state, session, task.conversation_id)
        except (NotFound, Forbidden):
            raise _unknown("conversationId", "a conversation") from None
        if found.conversation.property_id != task.property_id:
            raise _unknown("conversationId", "a conversation")
    if task.guest_id is not None:
        with suppress(StorageAway):
            guest = await state.guests.get(task.guest_id)
            if guest is None or guest.property_id != task.property_id:
                raise _unknown("guestId", "a guest")
    if task.assigned_to is not None:
        await _check_assignee(state, task.property_id, task.assigned_to)


async def _check_assignee(state: State, property_id: str, staff_id: str) -> None:
    """Raises Invalid for somebody who does not work at the property. While storage is away, any id is accepted."""
    with suppress(StorageAway):
        account = await state.staff.get(staff_id)
        if account is None or account.disabled or property_id not in account.staff.properties:
            raise _unknown("assignedTo", "somebody")


def _unknown(field: str, what: str) -> Invalid:
    return Invalid(f"{field}: must be {what} of the task's property", field=field)
