"""Typed client for media workflows."""

from datetime import timedelta

from temporalio.client import Client
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from contracts.clear_text import ClearText
from contracts.media import MEDIA_PATH, MediaOrder, media_id_of, own_media_id
from contracts.messages import Attachment, GuestMessage
from contracts.names import TaskQueue, media_workflow_id
from workflows.calls import reaching_temporal
from workflows.media import MediaWorkflow

START_SECONDS = 10


class MediaOrders:
    """Starts the fetching of guests' files. Raises Unavailable while Temporal is away."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def take_over(self, property_id: str, message: GuestMessage) -> GuestMessage:
        """Starts fetching the files of a message, and returns it with links to our copies. Durable once this returns.

        For channels whose files stay with the provider. Slow or failing downloads do not delay the message. Files that
        we have already stay as they are.
        """
        ours = [await self._order(property_id, message, number) for number in range(len(message.attachments))]
        return message.model_copy(update={"attachments": ours})

    async def _order(self, property_id: str, message: GuestMessage, number: int) -> Attachment:
        theirs = message.attachments[number]
        if own_media_id(theirs.url) is not None:
            return theirs
        media_id = media_id_of(property_id, message.route.adapter, message.id, str(number))
        order = MediaOrder(media_id=media_id, property_id=property_id, adapter=message.route.adapter, attachment=theirs)
        starting = self._client.start_workflow(
            MediaWorkflow.run,
            order,
            id=media_workflow_id(media_id),
            task_queue=TaskQueue.GATEWAY,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            static_summary=ClearText(f"{property_id} · a guest's file"),
            priority=Priority(fairness_key=property_id),
            rpc_timeout=timedelta(seconds=START_SECONDS),
        )
        await reaching_temporal(starting)
        return theirs.model_copy(update={"id": media_id, "url": f"{MEDIA_PATH}{media_id}"})
