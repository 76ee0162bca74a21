"""Compares an answer of the embedded engine with an activity that does nothing: `python -m bench.answers`."""

import statistics
import uuid
from itertools import pairwise
from pathlib import Path
from tempfile import mkdtemp

import uvloop
from temporalio.client import Client
from temporalio.worker import Worker

from activities.ai.embedded import EmbeddedEngine
from activities.ai.evaluation import evaluate, load_labelled
from activities.ai.library import Library
from bench.report import Line, report
from bench.ticking import Clock, Ticking
from embedded import TemporalServer
from settings import Property, Settings

MESSAGES = Path(__file__).parent.parent / "tests" / "data" / "messages-test.jsonl"
ROUND_TRIPS = 200
WARM_UP = 20
TASK_QUEUE = "bench-activities"


async def answers_against_activities(client: Client) -> list[Line]:
    """Compares the median and 99th percentile of answers with the median round trip of an activity."""
    clock = Clock()
    async with Worker(client, task_queue=TASK_QUEUE, workflows=[Ticking], activities=[clock.tick]):
        await client.execute_workflow(
            Ticking.run, WARM_UP + ROUND_TRIPS, id=f"ticking-{uuid.uuid4().hex}", task_queue=TASK_QUEUE
        )
    times = clock.ran_at[WARM_UP:]
    round_trip = statistics.median(after - before for before, after in pairwise(times))
    engine = EmbeddedEngine(Library(Settings(properties={"seaview": Property(name="Seaview Hotel")})))
    messages = load_labelled(MESSAGES)
    await evaluate(engine, messages[:WARM_UP], property_id="seaview", threshold=0.7)
    measured = await evaluate(engine, messages, property_id="seaview", threshold=0.7)
    return [
        Line.ratio("embedded answer p50 / activity", measured.seconds(0.5), round_trip, "ms"),
        Line.ratio("embedded answer p99 / activity", measured.seconds(0.99), round_trip, "ms", at_most=1),
    ]


async def main() -> str:
    async with TemporalServer(Path(mkdtemp(prefix="gateway-bench-")) / "temporal") as temporal:
        return report(await answers_against_activities(await Client.connect(temporal.address)))


if __name__ == "__main__":
    print(uvloop.run(main()))
