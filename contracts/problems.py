"""Errors with a stable code and an HTTP status (RFC 9457), raised anywhere and told the same way everywhere."""

from pydantic import ConfigDict, JsonValue

from contracts.base import Model


class Problem(Model):
    """The body of an error answer, `application/problem+json`; a code may add members of its own."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    field: str | None = None


class GatewayError(Exception):
    """Base of every error that a caller is told. `detail` names the thing and what would be right."""

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


class Malformed(GatewayError):
    status, code, title = 400, "malformed", "The request cannot be read"


class TooLarge(GatewayError):
    status, code, title = 413, "too_large", "The request is too large"


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
    """The command does not fit the state the conversation is in; `state` says which."""

    status, code, title = 409, "wrong_state", "The conversation is in another state"


class HeldByOther(GatewayError):
    """Somebody else holds the conversation; `assignedTo` says who."""

    status, code, title = 409, "held_by_other", "Somebody else holds the conversation"


class Resolved(GatewayError):
    status, code, title = 409, "resolved", "The conversation is resolved"


class MissedMessages(GatewayError):
    """Something was said that the writer has not seen; `missed` holds those messages."""

    status, code, title = 409, "missed_messages", "There is something newer"


class AlreadyOpen(GatewayError):
    """The contact is in a conversation already; `conversationId` says which."""

    status, code, title = 409, "already_open", "The guest is in a conversation already"


class GuestBusy(GatewayError):
    """Something of the guest still goes on and may tell storage more; `workflows` says what."""

    status, code, title = 409, "guest_busy", "Something of the guest is still open"


class OptedOut(GatewayError):
    status, code, title = 409, "opted_out", "The guest wants no messages on this channel"


class WindowClosed(GatewayError):
    """The channel takes free text only for a while after the guest's last message; send a template."""

    status, code, title = 409, "window_closed", "The channel takes only templates now"


class KeyInFlight(GatewayError):
    """The first request under this `Idempotency-Key` is not answered yet; ask again after `retryAfter` seconds."""

    status, code, title = 409, "idempotency_key_in_flight", "The first request under this key is still under way"


class KeyReused(GatewayError):
    """The `Idempotency-Key` stands for another request already; a new request takes a new key."""

    status, code, title = 422, "idempotency_key_reused", "The key stands for another request already"


class StaleVersion(GatewayError):
    status, code, title = 412, "stale", "It was changed meanwhile"


class TooManyRequests(GatewayError):
    """`retryAfter` is in seconds."""

    status, code, title = 429, "too_many_requests", "Too many requests"


class Unavailable(GatewayError):
    """Something we depend on is away; trying again later is safe."""

    status, code, title = 503, "unavailable", "Not available right now"


class Unreachable(Unavailable):
    """What we depend on is away for everybody, and not only for this request."""


class OutcomeUnknown(GatewayError):
    """No worker answered in time: the command may still happen. Repeat it with `clientMessageId` to be sure."""

    status, code, title = 503, "outcome_unknown", "The outcome is not known yet"


class StorageAway(GatewayError):
    status, code, title = 503, "storage_away", "Storage is not available right now"
