"""A workflow that only repeats an activity that does nothing."""

import time
from datetime import timedelta

from temporalio import activity, workflow


class Clock:
    """An activity that records when it ran. The time between two runs is a round trip."""

    def __init__(self) -> None:
        self.ran_at: list[float] = []

    @activity.defn
    async def tick(self) -> None:
        self.ran_at.append(time.perf_counter())


@workflow.defn
class Ticking:
    @workflow.run
    async def run(self, times: int) -> None:
        for _ in range(times):
            await workflow.execute_activity_method(Clock.tick, start_to_close_timeout=timedelta(seconds=30))
