"""Waiting with a time limit, and describing activity failures."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutError

with workflow.unsafe.imports_passed_through():
    from contracts.clear_text import ClearText


async def wait(condition: Callable[[], bool], longest: timedelta, summary: str) -> None:
    """Waits until the condition holds, but no longer than `longest`. The summary names the timer for operators."""
    with suppress(asyncio.TimeoutError):
        await workflow.wait_condition(condition, timeout=longest, timeout_summary=ClearText(summary))


def cause_of(error: ActivityError) -> str:
    """The cause of a failure in words for staff, without an engine's or channel's text, which may quote a guest."""
    cause = error.cause
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, ApplicationError) and cause.type is not None:
        return f"error: {cause.type}"
    return type(cause).__name__ if cause is not None else "unknown"
