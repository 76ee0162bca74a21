"""Names fixed across processes: task queues, search attributes, limits of a wire."""

from enum import StrEnum


class TaskQueue(StrEnum):
    """One queue per kind of work, so that each scales alone."""

    GATEWAY = "gateway"
    AI = "gateway-ai"
    CHANNELS = "gateway-channels"


DEPLOYMENT = "gateway"
"""Name of the worker deployment, one for all queues."""

CONVERSATION_WORKFLOW = "Conversation"
TASK_WORKFLOW = "Task"

MEDIA_WORKFLOW = "Media"
WEBHOOK_WORKFLOW = "WebhookDelivery"
AUTOMATION_WORKFLOW = "Automation"

SEARCH_KEYWORDS = ("GatewayState", "GatewayProperty", "GatewayChannel", "GatewayAssignee", "GatewayIntent")
SEARCH_INT = "GatewayPriority"
SEARCH_BOOL = "GatewayNeedsReview"

BATCH_BYTES = 256 * 1024
"""Most JSON bytes of one publish."""

LARGEST_SEQ = 2**53 - 1
"""What every reader of JSON can tell from the number next to it."""
CONTENT_LIMIT = 4096
"""Most characters a client may send as one message, and the most of a delivered one that the AI reads."""

GUEST_CONTENT_LIMIT = 16_000
"""Most characters of one message of a guest's that are kept: a conversation carries many, and Temporal takes 2 MB."""


def workflow_id(contact_key: str) -> str:
    """The workflow of a contact: Temporal itself keeps it to one open conversation."""
    return f"conversation-{contact_key}"


def task_workflow_id(task_id: str) -> str:
    return f"task-{task_id}"


def contact_key_of(conversation_id: str) -> str:
    """The contact key inside a conversation id (`{contactKey}-{8 characters of a run id}`)."""
    return conversation_id.rpartition("-")[0]


def media_workflow_id(media_id: str) -> str:
    """The workflow that fetches a file."""
    return f"media-{media_id}"


def webhook_workflow_id(endpoint_id: str) -> str:
    """The workflow that brings an endpoint what it has not been told."""
    return f"webhook-{endpoint_id}"


def automation_workflow_id(property_id: str, position: int, rule_id: str) -> str:
    """One run of a rule for one event."""
    return f"automation-{property_id}-{position}-{rule_id}"
