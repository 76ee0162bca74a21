"""Names and limits shared by all processes: task queues, workflow ids, search attributes, sizes."""

from enum import StrEnum


class TaskQueue(StrEnum):
    """One queue per kind of work, so that each scales on its own."""

    GATEWAY = "gateway"
    AI = "gateway-ai"
    CHANNELS = "gateway-channels"


DEPLOYMENT = "gateway"
"""Name of the worker deployment, the same for all queues."""

CONVERSATION_WORKFLOW = "Conversation"
TASK_WORKFLOW = "Task"

MEDIA_WORKFLOW = "Media"
WEBHOOK_WORKFLOW = "WebhookDelivery"
AUTOMATION_WORKFLOW = "Automation"

SEARCH_KEYWORDS = ("GatewayState", "GatewayProperty", "GatewayChannel", "GatewayAssignee", "GatewayIntent")
SEARCH_INT = "GatewayPriority"
SEARCH_BOOL = "GatewayNeedsReview"

BATCH_BYTES = 256 * 1024
"""The largest batch of one publish, in bytes of JSON."""

LARGEST_SEQ = 2**53 - 1
"""The largest integer that every JSON reader represents exactly."""
CONTENT_LIMIT = 4096
"""How many characters a client may send as one message, and how many of an incoming one the AI reads."""

GUEST_CONTENT_LIMIT = 16_000
"""How many characters of a guest message are kept: a conversation carries many, and Temporal's limit is 2 MB."""

TEMPLATE_ADAPTERS = frozenset({"whatsapp", "twilio"})
"""Adapters whose providers know templates. On others a template has no words."""


def workflow_id(contact_key: str) -> str:
    """The workflow id of a contact, by which Temporal itself allows only one open conversation."""
    return f"conversation-{contact_key}"


def task_workflow_id(task_id: str) -> str:
    return f"task-{task_id}"


def contact_key_of(conversation_id: str) -> str:
    """The contact key in a conversation id (`{contactKey}-{8 characters of a run id}`)."""
    return conversation_id.rpartition("-")[0]


def media_workflow_id(media_id: str) -> str:
    """The id of the workflow that fetches a file."""
    return f"media-{media_id}"


def webhook_workflow_id(endpoint_id: str) -> str:
    """The id of the workflow that sends an endpoint its pending events."""
    return f"webhook-{endpoint_id}"


def automation_workflow_id(property_id: str, position: int, rule_id: str) -> str:
    """The workflow id of one rule's run for one event."""
    return f"automation-{property_id}-{position}-{rule_id}"
