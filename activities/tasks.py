"""The activity of tasks. Storage is only imported for type checking, so that workflows can import the signature."""

from typing import TYPE_CHECKING

from temporalio import activity

from contracts.task_events import TaskPublication, TaskPublished

if TYPE_CHECKING:
    from activities.storage.tasks import Tasks


class TaskPublishing:
    def __init__(self, tasks: "Tasks") -> None:
        self._tasks = tasks

    @activity.defn
    async def publish_task(self, publication: TaskPublication) -> TaskPublished:
        """Stores and publishes new versions, once however often it is called. Raises StorageAway, to be retried."""
        return await self._tasks.publish(publication)
