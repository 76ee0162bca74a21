"""The baseline: signal-with-start, one activity instead of the AI and one instead of delivery, both without work."""

import asyncio
import signal
import socket
import sys
from datetime import timedelta

import uvloop
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

TASK_QUEUE, AI_QUEUE, DELIVERY_QUEUE = "bare", "bare-ai", "bare-delivery"
READY = "worker ready"


@activity.defn
async def bare_answer(text: str) -> str:
    return text


class Delivery:
    """Tells the bench which message was delivered, by a datagram, which is the cheapest way."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.connect(address)

    @activity.defn
    async def bare_delivery(self, text: str) -> None:
        self._socket.send(text.split(" ", 1)[0].encode())


@workflow.defn
class BareConversation:
    def __init__(self) -> None:
        self._queue: list[str] = []

    @workflow.run
    async def run(self, apart: bool) -> None:
        """`apart`: each activity has its own task queue, like the product's slow engines and channels."""
        ai_queue, delivery_queue = (AI_QUEUE, DELIVERY_QUEUE) if apart else (TASK_QUEUE, TASK_QUEUE)
        timeout = timedelta(seconds=30)
        while True:
            await workflow.wait_condition(lambda: bool(self._queue))
            text = self._queue.pop(0)
            answer = await workflow.execute_activity(
                bare_answer, text, task_queue=ai_queue, start_to_close_timeout=timeout
            )
            await workflow.execute_activity_method(
                Delivery.bare_delivery, answer, task_queue=delivery_queue, start_to_close_timeout=timeout
            )

    @workflow.signal
    def receive(self, text: str) -> None:
        self._queue.append(text)


async def serve(address: str, datagrams: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = await Client.connect(address)
    delivery = Delivery(datagrams).bare_delivery
    async with (
        Worker(client, task_queue=TASK_QUEUE, workflows=[BareConversation], activities=[bare_answer, delivery]),
        Worker(client, task_queue=AI_QUEUE, activities=[bare_answer]),
        Worker(client, task_queue=DELIVERY_QUEUE, activities=[delivery]),
    ):
        print(READY, flush=True)
        await stop.wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], sys.argv[2]))
