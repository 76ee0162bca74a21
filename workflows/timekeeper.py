"""Watches deadlines with one timer, which sleeps once and looks again. Only an earlier deadline wakes it sooner."""

import functools
from collections.abc import Callable
from datetime import datetime

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows import promises
    from workflows.record import Record
    from workflows.waiting import wait


class Timekeeper:
    """Calls `changed` after a deadline has changed the record."""

    def __init__(self, record: Record, *, changed: Callable[[], object]) -> None:
        self._record = record
        self._changed = changed

    async def run(self) -> None:
        while True:
            await workflow.wait_condition(lambda: self._next() is not None)
            deadline = self._next()
            if deadline is None:
                continue
            now = workflow.now()
            if deadline.at <= now:
                # This does everything that is due, so that the same deadline does not come up again.
                promises.fall_due(self._record, now)
                self._changed()
            else:
                # If the deadline moves to later, the timer is not cancelled: it fires once and finds nothing due.
                sooner = functools.partial(self._has_one_before, deadline.at)
                await wait(sooner, deadline.at - now, f"Until: {deadline.what}")

    def _next(self) -> promises.Deadline | None:
        return promises.next_deadline(self._record, workflow.now())

    def _has_one_before(self, moment: datetime) -> bool:
        deadline = self._next()
        return deadline is not None and deadline.at < moment
