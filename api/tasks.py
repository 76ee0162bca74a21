"""Tasks for the hotel's departments."""

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final
from uuid import UUID, uuid4, uuid5

from fastapi import APIRouter, Body, Query, Response, status
from pydantic import ConfigDict, Field, StringConstraints

import contracts.base
from activities.storage.paging import TimePosition
from activities.storage.tasks import TaskFilter, VersionedTask
from api.auth.permissions import require_property
from api.auth.sessions import Session
from api.changes import Changes, check_version, unchanged
from api.deps import (
    GatewayState,
    IdempotencyKey,
    IfMatch,
    ReadsTasks,
    WritesTasks,
    find_conversation,
    known_id,
)
from api.lists import Page, PageQuery, cursor_of
from api.openapi import SIGNED_IN, WITH_BODY, problems
from api.state import State
from contracts.base import Timestamp
from contracts.problems import Forbidden, Invalid, NotFound, StaleVersion
from contracts.rules import Priority
from contracts.tasks import Department, Task, TaskStatus

router = APIRouter(prefix="/tasks", tags=["tasks"], responses=SIGNED_IN)
ONE: Final = problems(NotFound)
VERSION: Final[dict[str, Any]] = {"ETag": {"description": "The task's version.", "schema": {"type": "string"}}}
KEYED_TASKS: Final = UUID("8f0d5f0c-2a3f-4f57-9b6e-6c1f0e9a7d42")
"""Namespace of the task ids that are made from idempotency keys."""

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), Field(pattern=r"\S")]
Description = Annotated[str, Field(max_length=4096)]
Reference = Annotated[str, Field(min_length=1, max_length=256)]


class TaskPage(Page[Task]):
    pass


class TaskQuery(PageQuery):
    property: Annotated[str | None, Field(max_length=256, description="Of one property only.")] = None
    status: TaskStatus | None = None
    department: Department | None = None
    assigned_to: Annotated[str | None, Field(max_length=256, description="A staff id, or `me`.")] = None
    conversation_id: Annotated[str | None, Field(max_length=256)] = None


class NewTask(contracts.base.Body):
    property_id: Reference
    conversation_id: Reference | None = None
    guest_id: Reference | None = None
    department: Department
    title: Title
    description: Description = ""
    priority: Priority = "normal"
    due_at: Timestamp | None = None
    assigned_to: Annotated[Reference | None, Field(description="A staff id.")] = None


class TaskChanges(Changes):
    CAN_BE_EMPTY: ClassVar[frozenset[str]] = frozenset({"due_at", "assigned_to"})
    model_config = ConfigDict(json_schema_extra=Changes.model_config.get("json_schema_extra"))

    department: Department = unchanged()
    title: Title = unchanged()
    description: Description = unchanged()
    priority: Priority = unchanged()
    status: TaskStatus = unchanged()
    due_at: Timestamp | None = None
    assigned_to: Annotated[Reference | None, Field(description="A staff id.")] = None


@router.get("", summary="List tasks")
async def list_tasks(session: ReadsTasks, state: GatewayState, query: Annotated[TaskQuery, Query()]) -> TaskPage:
    """Tasks of your properties, the newest first."""
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
    page = await state.tasks.list(wanted, limit=query.limit, after=query.position(TimePosition))
    return TaskPage(items=page.items, next_cursor=cursor_of(page.end))


@router.post(
    "",
    summary="Create a task",
    status_code=status.HTTP_201_CREATED,
    responses=WITH_BODY | {201: {"headers": VERSION, "description": "The task"}},
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
    require_property(session.staff, body.property_id)
    await _check_references(state, session, body)
    now = datetime.now(UTC)
    task_id = uuid4() if idempotency_key is None else uuid5(KEYED_TASKS, f"{session.staff.id} {idempotency_key}")
    task = Task(id=str(task_id), **body.model_dump(by_alias=False), created_at=now, updated_at=now)
    created = await state.tasks.create(task)
    response.headers["Location"] = f"/api/v1/tasks/{created.task.id}"
    response.headers["ETag"] = _etag(created)
    return created.task


@router.get("/{task_id}", summary="Get a task", responses=ONE | {200: {"headers": VERSION}})
async def get_task(session: ReadsTasks, state: GatewayState, task_id: str, response: Response) -> Task:
    found = await state.tasks.get(known_id("task", task_id))
    if found is None:
        raise _no_such(task_id)
    require_property(session.staff, found.task.property_id)
    response.headers["ETag"] = _etag(found)
    return found.task


@router.patch(
    "/{task_id}",
    summary="Change a task",
    responses=ONE | WITH_BODY | problems(StaleVersion) | {200: {"headers": VERSION}},
)
async def update_task(
    session: WritesTasks,
    state: GatewayState,
    task_id: str,
    body: Annotated[TaskChanges, Body(openapi_examples={"done": {"value": {"status": "done"}}})],
    response: Response,
    if_match: IfMatch = None,
) -> Task:
    """Changes what is sent and leaves the rest."""

    def allow(stored: VersionedTask) -> None:
        require_property(session.staff, stored.task.property_id)
        check_version(if_match, _etag(stored))

    if body.assigned_to is not None:
        await _check_assignee(state, body.assigned_to)
    changed = await state.tasks.update(known_id("task", task_id), body.sent(), allow)
    if changed is None:
        raise _no_such(task_id)
    response.headers["ETag"] = _etag(changed)
    return changed.task


async def _check_references(state: State, session: Session, task: NewTask) -> None:
    """Raises Invalid for a reference to what is not there or belongs to another property."""
    if task.conversation_id is not None:
        try:
            found = await find_conversation(state, session, task.conversation_id)
        except (NotFound, Forbidden):
            raise _unknown("conversationId", "a conversation") from None
        if found.conversation.property_id != task.property_id:
            raise _unknown("conversationId", "a conversation")
    if task.guest_id is not None:
        guest = await state.guests.get(task.guest_id)
        if guest is None or guest.property_id != task.property_id:
            raise _unknown("guestId", "a guest")
    if task.assigned_to is not None:
        await _check_assignee(state, task.assigned_to)


async def _check_assignee(state: State, staff_id: str) -> None:
    if await state.staff.get(staff_id) is None:
        raise Invalid("assignedTo: must be the id of a member of staff", field="assignedTo")


def _unknown(field: str, what: str) -> Invalid:
    return Invalid(f"{field}: must be {what} of the task's property", field=field)


def _etag(task: VersionedTask) -> str:
    return f'"{task.version}"'


def _no_such(task_id: str) -> NotFound:
    return NotFound(f"There is no task {task_id}")
