"""What goes wrong unforeseen fails a workflow's task, which is tried again, and not the workflow."""

from collections.abc import Iterator
from contextlib import contextmanager

from temporalio.exceptions import FailureError


@contextmanager
def failing_the_task_only() -> Iterator[None]:
    """Temporal ends a workflow that lets one of its own errors escape, and with it whatever is still owed."""
    try:
        yield
    except FailureError as error:
        raise RuntimeError("an error of Temporal's that nobody has handled") from error
