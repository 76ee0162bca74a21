"""Calling Temporal: time limits, retries, and the translation of its errors into ours."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.client import (
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from contracts.problems import (
    AlreadyOpen,
    GatewayError,
    HeldByOther,
    Invalid,
    MissedMessages,
    NotFound,
    OptedOut,
    OutcomeUnknown,
    Resolved,
    StaleVersion,
    Unavailable,
    Unreachable,
    WindowClosed,
    WrongState,
)

logger = logging.getLogger(__name__)

COMMAND_SECONDS = 5
"""How long a command waits for a worker before its outcome counts as unknown."""
ATTEMPT_SECONDS = 1
PAUSE_SECONDS = 0.1
QUERY_SECONDS = 10

AGAIN = frozenset({RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.ABORTED, RPCStatusCode.RESOURCE_EXHAUSTED})
"""Errors of Temporal after which the same command succeeds a moment later."""
_UNREACHABLE = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.NOT_FOUND,  # of the namespace
        RPCStatusCode.PERMISSION_DENIED,
        RPCStatusCode.UNAUTHENTICATED,
    }
)
_REFUSALS: dict[str, type[GatewayError]] = {
    error.code: error
    for error in (
        AlreadyOpen,
        HeldByOther,
        Invalid,
        MissedMessages,
        NotFound,
        OptedOut,
        Resolved,
        StaleVersion,
        WindowClosed,
        WrongState,
    )
}

T = TypeVar("T")


class GoneError(Exception):
    """Temporal has no such workflow, or it is no longer running."""


class AgainError(Exception):
    """The same command will succeed if repeated a moment later."""


async def reaching_temporal(call: Awaitable[T], *, again: frozenset[RPCStatusCode] = frozenset()) -> T:
    """Awaits a call. Raises Unavailable if Temporal is away, and GoneError for a missing workflow."""
    try:
        return await call
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND and not _lacks_namespace(error):
            raise GoneError from error
        if error.status in again:
            raise AgainError from error
        kind = Unreachable if error.status in _UNREACHABLE else Unavailable
        raise kind(f"Temporal does not answer ({error.status.name}); try again shortly") from error
    except RuntimeError as error:  # a lazy client that cannot connect
        raise Unreachable("Temporal cannot be reached; try again shortly") from error


def _lacks_namespace(error: RPCError) -> bool:
    return any(detail.Is(NamespaceNotFoundFailure.DESCRIPTOR) for detail in error.grpc_status.details)


async def until_answered(send: Callable[[], Awaitable[T]]) -> T:
    """Repeats a command, an update under one id, until it is answered. Raises OutcomeUnknown after 5 s.

    A run that continues as new drops updates it has not accepted. Temporal's client would then back off for seconds,
    while a fresh request finds the new run at once.
    """
    gives_up = time.monotonic() + COMMAND_SECONDS
    while time.monotonic() < gives_up:
        try:
            return await send()
        except WorkflowUpdateRPCTimeoutOrCancelledError:
            # The client also raises this when we are cancelled ourselves, which must not be swallowed.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError from None
        except AgainError:
            await asyncio.sleep(PAUSE_SECONDS)
    raise OutcomeUnknown(f"no worker answered within {COMMAND_SECONDS} s; the command may still be carried out")


async def query_answer(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer to a query, which is asked again once if a worker fails it. Raises WorkflowQueryFailedError.

    The SDK fails whatever a workflow was asked while its thread did not run for two seconds, on a busy machine too. It
    then replays the workflow, so that the next query is answered.
    """
    try:
        return await ask()
    except WorkflowQueryFailedError:
        return await ask()


async def listed_answer(workflow: str, ask: Callable[[], Awaitable[T]]) -> T | None:
    """The answer to a query of a listed workflow; None if it has ended meanwhile.

    None too if its worker cannot answer, so that a stuck workflow does not hide the others of its list.
    """
    try:
        return await query_answer(ask)
    except WorkflowQueryFailedError:
        logger.warning("%s cannot be read, and is left out of a list", workflow)
        return None
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise


def refusal(error: WorkflowUpdateFailedError) -> Exception:
    """The error with which a workflow refused an update."""
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type == "AcceptedUpdateCompletedWorkflow":
        return AgainError()  # accepted by a run that ended before it was carried out
    if isinstance(cause, ApplicationError) and cause.type in _REFUSALS:
        members = cause.details[0] if cause.details else {}
        return _REFUSALS[cause.type](cause.message, **members)
    return error


def quoted(value: str) -> str:
    """A string literal for Temporal's list filters."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
