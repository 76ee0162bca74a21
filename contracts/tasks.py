"""Work for the hotel's departments, and what tells a task to change."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from contracts.base import Model, Timestamp
from contracts.commands import Actor
from contracts.rules import Priority

Department = Literal[
    "housekeeping", "maintenance", "concierge", "front_desk", "food_and_beverage", "security", "management"
]
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
    """A task, and how often it was changed; the number that tells one writer of another."""

    task: Task
    version: int
    by: str | None = None
    """Who made the version, where somebody did and it is told for the first time."""

    @property
    def etag(self) -> str:
        return f'"{self.version}"'


class TaskPolicy(Model):
    """The times of one task; its workflow reads nothing else."""

    reminder_lead: Annotated[timedelta, Field(ge=timedelta(0))] = timedelta(minutes=30)
    """How long before it is due a task is called to mind; zero is never."""
    raise_overdue: bool = True
    """A task that is overdue becomes one step more urgent."""
    tells_guest: bool = True
    """The guest of its conversation hears when it is done, by its title."""
    history_limit: int = Field(default=1000, ge=20)
    """Events after which the workflow goes on in a new run."""


class TaskChanges(Model):
    """What becomes of a task's fields: None leaves one as it is, `cleared` empties those that it names."""

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
    """A change, an update that the workflow validates. The same `id` again is the same change.

    `expected_versions` are those that its writer may have read: a task of another version is not changed.
    """

    id: str
    task_id: str
    by: Actor
    changes: TaskChanges
    expected_versions: list[int] | None = None


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks to list, of these properties; None lets all pass."""

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
