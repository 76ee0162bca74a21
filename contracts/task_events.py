"""What a task publishes, and what comes of it."""

from contracts.base import Model
from contracts.events import Notification
from contracts.tasks import VersionedTask


class TaskPublication(Model):
    """What storage is not known to have of a task, its versions in order. Bringing it again changes nothing."""

    task_id: str
    property_id: str
    versions: list[VersionedTask] = []
    notifications: list[Notification] = []


class TaskPublished(Model):
    """`newer` is what storage holds, where that is above every version that was brought."""

    newer: VersionedTask | None = None


class TaskChanged(Model):
    """The task after a change, with all that storage may not have yet."""

    current: VersionedTask
    publication: TaskPublication
