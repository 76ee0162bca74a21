"""Makes unexpected errors fail the workflow task, which Temporal retries, instead of the whole workflow."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import FailureError

T = TypeVar("T")


@contextmanager
def failing_the_task_only() -> Iterator[None]:
    """Without it, Temporal fails a workflow that raises one of Temporal's own errors, and what it owes is lost."""
    try:
        yield
    except FailureError as error:
        raise RuntimeError("an unhandled Temporal error") from error


def read(signalled: RawValue, kind: type[T]) -> T:
    """Decodes a signal. The SDK would drop one it cannot decode; here it waits for a release that can."""
    value: T = workflow.payload_converter().from_payload(signalled.payload, kind)
    return value
