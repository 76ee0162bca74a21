"""Errors with a stable code and an HTTP status (RFC 9457), raised anywhere and reported the same way everywhere."""

from typing import Final

from pydantic import ConfigDict, JsonValue

from contracts.base import Model


class Problem(Model):
    """The body of an error response, `application/problem+json`. A code may add its own members."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    field: str | None = None


class GatewayError(Exception):
    """Base of every error reported to a caller. `detail` names what is wrong and what would be right."""

    status = 500
    code = "internal"
    title = "Internal error"

    def __init__(self, detail: str, *, field: str | None = None, **members: JsonValue) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.members = members

    def problem(self) -> Problem:
        return Problem(
            title=self.title, status=self.status, code=self.code, detail=self.detail, field=self.field, **self.members
        )


class Invalid(GatewayError):
    status, code, title = 422, "invalid", "The request is not valid"


NO_TEMPLATES: Final = "template: the guest's channel has no templates; send content"
"""The detail of Invalid for a template, without content, on a channel whose provider knows none."""


class Malformed(GatewayError):
    status, code, title = 400, "malformed", "The request cannot be read"


class TooLarge(GatewayError):
    status, code, title = 413, "too_large", "Too large"


class Unauthenticated(GatewayError):
    status, code, title = 401, "unauthenticated", "Sign in first"


class BadCredentials(GatewayError):
    status, code, title = 401, "bad_credentials", "The e-mail address or the password is wrong"


class BadSignature(GatewayError):
    status, code, title = 401, "bad_signature", "The signature does not match"


class Forbidden(GatewayError):
    status, code, title = 403, "forbidden", "Not allowed"


class NotFound(GatewayError):
    status, code, title = 404, "not_found", "Not found"


class WrongState(GatewayError):
    """The command does not fit the conversation's `state`."""

    status, code, title = 409, "wrong_state", "Not possible in the current state"


class HeldByOther(GatewayError):
    """The conversation is assigned to somebody else, named by `assignedTo`."""

    status, code, title = 409, "held_by_other", "The conversation is assigned to somebody else"


class Resolved(GatewayError):
    status, code, title = 409, "resolved", "The conversation is resolved"


class MissedMessages(GatewayError):
    """There are messages that the writer has not seen; `missed` holds them."""

    status, code, title = 409, "missed_messages", "There are newer messages"


class AlreadyOpen(GatewayError):
    """The contact already has an open conversation, named by `conversationId`."""

    status, code, title = 409, "already_open", "The guest already has an open conversation"


class GuestBusy(GatewayError):
    """Workflows of the guest are still running and may write to storage; `workflows` names them."""

    status, code, title = 409, "guest_busy", "The guest still has open conversations or tasks"


class OptedOut(GatewayError):
    status, code, title = 409, "opted_out", "The guest has opted out of this channel"


class WindowClosed(GatewayError):
    """The channel accepts free text only for a limited time after the guest's last message. Send a template instead."""

    status, code, title = 409, "window_closed", "The channel accepts only templates now"


class KeyInFlight(GatewayError):
    """The first request with this `Idempotency-Key` is still running. Try again after `retryAfter` seconds."""

    status, code, title = 409, "idempotency_key_in_flight", "The first request with this key is still in progress"


class KeyReused(GatewayError):
    """This `Idempotency-Key` was used for a different request. Use a new key for a new request."""

    status, code, title = 422, "idempotency_key_reused", "The key was used for a different request"


class StaleVersion(GatewayError):
    status, code, title = 412, "stale", "It has been changed in the meantime"


class TooManyRequests(GatewayError):
    """The caller's rate limit is exceeded. `retryAfter` is in seconds."""

    status, code, title = 429, "too_many_requests", "Too many requests"


class Unavailable(GatewayError):
    """A dependency is away. Trying again later is safe."""

    status, code, title = 503, "unavailable", "Not available right now"


class Unreachable(Unavailable):
    """A dependency is away for everybody, not only for this request."""


class OutcomeUnknown(GatewayError):
    """No worker answered in time, so the command may still be carried out. Repeat it with `clientMessageId`."""

    status, code, title = 503, "outcome_unknown", "The outcome is not known yet"


class StorageAway(GatewayError):
    status, code, title = 503, "storage_away", "Storage is not available right now"
