"""Waiting with a limit, and what to call a failure."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutError

with workflow.unsafe.imports_passed_through():
    from contracts.clear_text import ClearText


async def wait(condition: Callable[[], bool], longest: timedelta, summary: str) -> None:
    """Until the condition holds, but no longer than `longest`; the summary names the timer to operators."""
    with suppress(asyncio.TimeoutError):
        await workflow.wait_condition(condition, timeout=longest, timeout_summary=ClearText(summary))


def cause_of(error: ActivityError) -> str:
    """Words for staff; what an engine or a channel said itself may hold a guest's words and stays out."""
    cause = error.cause
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, ApplicationError) and cause.type is not None:
        return f"error: {cause.type}"
    return type(cause).__name__ if cause is not None else "unknown"
