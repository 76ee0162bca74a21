"""Tasks for the hotel's departments, and the command that changes one."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from contracts.base import Model, Timestamp
from contracts.commands import Actor
from contracts.rules import Department, Priority

TaskStatus = Literal["open", "in_progress", "done", "cancelled"]
Clearable = Literal["due_at", "assigned_to"]


class Task(Model):
    id: str
    property_id: str
    conversation_id: str | None = None
    guest_id: str | None = None
    department: Department
    title: str
    description: str = ""
    priority: Priority = "normal"
    status: TaskStatus = "open"
    due_at: Timestamp | None = None
    assigned_to: str | None = None
    created_at: Timestamp
    updated_at: Timestamp


class VersionedTask(Model):
    """A task with the number of its version, by which writers notice each other."""

    task: Task
    version: int
    by: str | None = None
    """Who made this version, if somebody did and it is being published for the first time."""

    @property
    def etag(self) -> str:
        return f'"{self.version}"'


class TaskPolicy(Model):
    """The rules of one task. Its workflow reads no other configuration."""

    reminder_lead: Annotated[timedelta, Field(ge=timedelta(0))] = timedelta(minutes=30)
    """How long before the due date a reminder is sent. Zero means never."""
    raise_overdue: bool = True
    """Whether an overdue task becomes one step more urgent."""
    tells_guest: bool = True
    """Whether the guest of its conversation is told, by its title, when it is done."""
    history_limit: int = Field(default=1000, ge=20)
    """The number of history events after which the workflow continues as new."""


class TaskChanges(Model):
    """Changes to a task's fields: None leaves a field unchanged; the fields named in `cleared` are emptied."""

    department: Department | None = None
    title: str | None = None
    description: str | None = None
    priority: Priority | None = None
    status: TaskStatus | None = None
    due_at: Timestamp | None = None
    assigned_to: str | None = None
    cleared: list[Clearable] = []

    def applied_to(self, task: Task) -> Task:
        changes = self.model_dump(exclude={"cleared"}, exclude_none=True, by_alias=False)
        return task.model_copy(update={**dict.fromkeys(self.cleared), **changes})


class ChangeTask(Model):
    """A change to a task, sent as an update that the workflow validates. Repeats have the same `id`.

    If the task's version is not among `expected_versions`, the change is refused.
    """

    id: str
    task_id: str
    by: Actor
    changes: TaskChanges
    expected_versions: list[int] | None = None


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks of these properties to list. None matches everything."""

    properties: list[str]
    status: TaskStatus | None = None
    department: Department | None = None
    assigned_to: str | None = None
    conversation_id: str | None = None

    def lets_pass(self, task: Task) -> bool:
        return (
            task.property_id in self.properties
            and self.status in (None, task.status)
            and self.department in (None, task.department)
            and self.assigned_to in (None, task.assigned_to)
            and self.conversation_id in (None, task.conversation_id)
        )
