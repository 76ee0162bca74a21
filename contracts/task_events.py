"""What a task publishes, and the results."""

from contracts.base import Model
from contracts.events import Notification
from contracts.tasks import VersionedTask


class TaskPublication(Model):
    """Versions of a task, in order, that storage may not have yet. Publishing them again changes nothing."""

    task_id: str
    property_id: str
    versions: list[VersionedTask] = []
    notifications: list[Notification] = []


class TaskPublished(Model):
    """The result. `newer` is the version in storage if that is above every published one."""

    newer: VersionedTask | None = None


class TaskChanged(Model):
    """The task after a change, with everything that storage may not have yet."""

    current: VersionedTask
    publication: TaskPublication
