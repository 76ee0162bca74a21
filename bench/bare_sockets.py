"""The baseline of `bench.sockets`: a server that broadcasts whatever a client sends."""

import asyncio

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

READY = "listening on"
PING_SECONDS = 3600
"""Longer than the bench takes, because its listeners do not answer pings."""
connected: set[ServerConnection] = set()


async def handle(connection: ServerConnection) -> None:
    connected.add(connection)
    try:
        async for message in connection:
            broadcast(connected, message)
    finally:
        connected.discard(connection)


async def main() -> None:
    async with serve(handle, "127.0.0.1", 0, compression=None, ping_interval=PING_SECONDS) as server:
        print(READY, server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    uvloop.run(main())
