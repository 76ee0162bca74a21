"""The media workflow: fetches one guest file from its provider, trying for up to a day."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy, VersioningBehavior
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.media.fetching import MediaFetching
    from contracts.media import MediaOrder
    from contracts.names import MEDIA_WORKFLOW, TaskQueue

FETCH_TIMEOUT = timedelta(minutes=5)
HEARTBEAT_TIMEOUT = timedelta(seconds=60)
GIVES_UP = timedelta(days=1)
"""Providers keep files only for a while; after a day a link is dead."""
RETRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=10))
NOTE_TIMEOUT = timedelta(seconds=30)


@workflow.defn(name=MEDIA_WORKFLOW, versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class MediaWorkflow:
    @workflow.run
    async def run(self, order: MediaOrder) -> None:
        try:
            await workflow.execute_activity_method(
                MediaFetching.fetch_media,
                order,
                task_queue=TaskQueue.CHANNELS,
                start_to_close_timeout=FETCH_TIMEOUT,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                schedule_to_close_timeout=GIVES_UP,
                retry_policy=RETRIES,
            )
        except ActivityError:
            await workflow.execute_activity_method(
                MediaFetching.give_media_up,
                order,
                task_queue=TaskQueue.CHANNELS,
                start_to_close_timeout=NOTE_TIMEOUT,
                retry_policy=RETRIES,
            )
