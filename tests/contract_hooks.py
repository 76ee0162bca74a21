"""What Schemathesis loads: how mails are sent, and which refusals of valid requests no schema can tell beforehand."""

import json
from typing import Any

import schemathesis
from schemathesis import HookContext
from schemathesis.openapi.checks import EnsureResourceAvailability, RejectedPositiveData

from api.names import REPLAYED

CODES = {"idempotency_key_reused", "stale", "media_refused", "mail_unreadable", "too_large"}
"""They depend on what was sent before, or on what a file or a text holds."""
FIELDS = {
    "answers",
    "assignedTo",
    "content",
    "conversationId",
    "cursor",
    "file",
    "guestId",
    "endpointId",
    "expiresAt",
    "id",
    "into",
    "names",
    "propertyId",
    "recipientId",
    "staffId",
    "until",
    "url",
}
"""They name things that must be there, moments to come, or what only we can read."""
RELATIONS = {("GET", "from"), ("GET", "to"), ("POST", "private")}
"""A report's days are too many together or too long ago; a note with a draft or a template."""
DURATIONS = {"aiTimeout", "debounce", "dueIn", "escalatedTimeout", "idleTimeout", "resolvedWindow", "serviceLevels"}
"""No schema bounds a duration."""


_made_before: set[str] = set()
"""What answers named that were given again under a key: it may be gone since."""


@schemathesis.hook
def after_call(context: HookContext, case: Any, response: Any) -> None:
    if REPLAYED.lower() in response.headers:
        made = json.loads(response.content or "{}")
        values = made.values() if isinstance(made, dict) else made  # an import answers a list
        _made_before.update(value for value in values if isinstance(value, str))


@schemathesis.hook
def filter_failure(context: HookContext, failure: Any, case: Any, response: Any) -> bool:
    """Whether it is one. A refusal of valid data is none where it says what no schema could."""
    if isinstance(failure, EnsureResourceAvailability):
        return _made_before.isdisjoint(map(str, case.path_parameters.values()))
    if not isinstance(failure, RejectedPositiveData):
        return True
    problem = json.loads(response.content)
    if problem["code"] in CODES:
        return False
    if (case.method.upper(), problem.get("field")) in RELATIONS:
        return False
    named = set(str(problem.get("field")).split("."))
    return problem["code"] != "invalid" or not (named & (FIELDS | DURATIONS) or "NUL" in problem["detail"])


@schemathesis.serializer("message/rfc822")
def mail(context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
