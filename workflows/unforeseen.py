"""What goes wrong unforeseen fails a workflow's task, which is tried again, and not the workflow."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import FailureError

T = TypeVar("T")


@contextmanager
def failing_the_task_only() -> Iterator[None]:
    """Temporal ends a workflow that lets one of its own errors escape, and with it whatever is still owed."""
    try:
        yield
    except FailureError as error:
        raise RuntimeError("an error of Temporal's that nobody has handled") from error


def read(signalled: RawValue, kind: type[T]) -> T:
    """What a signal says. The SDK drops a signal that it cannot read; here it waits for a release that can."""
    value: T = workflow.payload_converter().from_payload(signalled.payload, kind)
    return value
