"""What the parameters and headers of the API mean, by name, wherever they occur in its description."""

from typing import Any, Final

from api.examples import CONVERSATION_ID, ENDPOINT, MESSAGE, RULE
from api.names import KEY_HEADER, KEY_LENGTH, KEY_PATTERN, REPLAYED

PATH: Final[dict[str, tuple[str, str]]] = {
    "conversationId": ("The conversation's id.", CONVERSATION_ID),
    "messageId": ("The message's id.", MESSAGE.id),
    "guestId": ("The guest's id. That of a merged guest leads to the guest who remains.", "guest-9b1f"),
    "taskId": ("The task's id.", "0d1c5a52-6c0e-4b0e-8f0f-3b8f0a9d7e21"),
    "notificationId": ("The notification's id.", "7d0c2f8a"),
    "itemId": ("The quarantined item's id.", "5f0c2f7e5d0b4b57"),
    "actionId": ("The id of one of the conversation's `pendingActions`.", "late-checkout-1"),
    "articleId": ("The article's id, unique within its property.", "parking"),
    "mediaId": ("The file's id.", "0f3c9a1e5b7d4e6f8a90b1c2d3e4f506"),
    "propertyId": ("The property, by its key in `properties` of `gateway.yaml`.", "seaview"),
    "provider": ("Who posts the mail; `raw` for anything that posts the RFC 5322 message itself.", "raw"),
    "staffId": ("The id of the member of staff.", "6f9619ff"),
    "keyId": ("The API key's id, which is not the key.", "1f0e9d8c"),
    "endpointId": ("The webhook endpoint's id.", ENDPOINT.id),
    "ruleId": ("The rule's id, unique within its property.", RULE.id),
}
"""Path parameters, with an example of each."""

OTHERS: Final[dict[str, str]] = {
    "limit": "The maximum number of items.",
    "state": "Only those in this state.",
    "channel": "Only those of this channel.",
    "needsReview": "Only conversations that staff should review, or only the others.",
    "property": "The property.",
    "status": "Only tasks with this status.",
    "department": "Only tasks of this department.",
    "conversationId": "Only tasks of this conversation.",
    "signature": "The link's signature.",
    "hub.mode": "`subscribe`.",
    "hub.verify_token": "The setting `channels.whatsapp.verifyToken`.",
    "hub.challenge": "What to answer.",
    "X-Gateway-Secret": "The secret that the settings have for the provider; for `raw`, `channels.email.secret`.",
}
"""Query parameters and request headers that are not described where they are declared."""

KEY_PARAMETER: Final[dict[str, Any]] = {
    "name": KEY_HEADER,
    "in": "header",
    "required": False,
    "description": "Repeats under the same key within 24 hours have no further effect and get the same response.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": KEY_LENGTH,
        "pattern": KEY_PATTERN,
        "examples": ["5f0c2f7e-5d0b-4b57-9a5e-0c6a3a1d9a11"],
    },
}


def _header(description: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"description": description, "schema": schema or {"type": "string"}}


_COUNT: Final = {"type": "integer", "minimum": 0}
HEADERS: Final[dict[str, dict[str, Any]]] = {
    "RateLimit-Limit": _header("How many requests you may send in the window that `RateLimit-Policy` names.", _COUNT),
    "RateLimit-Remaining": _header("How many of them are left.", _COUNT),
    "RateLimit-Reset": _header("In how many seconds there are more.", _COUNT),
    "RateLimit-Policy": _header("The limit and its window in seconds, such as `100;w=60`."),
    "Retry-After": _header("When to try again, in seconds.", _COUNT),
    "WWW-Authenticate": _header("How to authenticate: `Bearer`."),
    "Session-Expires-At": _header(
        "When the session now ends, if this request has prolonged it. The access token stays the same.",
        {"type": "string", "format": "date-time"},
    ),
    "Gateway-Degraded": _header(
        "`storage` if storage is away, and the answer therefore comes from Temporal.",
        {"type": "string", "const": "storage"},
    ),
    "ETag": _header("The version, to be sent as `If-Match` with a change."),
    "Location": _header("The URL of what was made, without scheme and host."),
    REPLAYED: _header(
        "`true` if this request was answered before, under the same `Idempotency-Key`.",
        {"type": "string", "const": "true"},
    ),
    "Content-Disposition": _header("Whether browsers show or save the file, and its name."),
    "Content-Range": _header("Which bytes of the file these are, such as `bytes 0-1023/48211`."),
}
"""Headers of responses."""
QUOTA: Final = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "RateLimit-Policy")


def headers(*names: str) -> dict[str, Any]:
    """Refers a response to the descriptions of its headers."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
