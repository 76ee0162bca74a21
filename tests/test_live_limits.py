"""Live views of readers that are slow, silent or too many."""

import uuid
from contextlib import AsyncExitStack

import pytest
from websockets.exceptions import ConnectionClosed

from activities.storage.publications import Publications
from api.live.rendering import Rendered, render
from contracts.frames import ServerFrame
from settings import Settings
from tests.api import Api, Person, running_api
from tests.live import Client, Story, guest, opened, staff
from tests.support import eventually
from workflows.client import contact_key


def _story(publications: Publications, hotel: str, visitor: Client | None = None) -> Story:
    sender = visitor.frames[0]["payload"]["visitorId"] if visitor is not None else uuid.uuid4().hex
    return Story(publications, hotel, contact_key("identity", hotel, "webchat", sender), sender)


async def test_a_slow_reader_is_closed_and_comes_back_by_its_cursor(
    api: Api, hotel: str, marta: Person, publications: Publications
) -> None:
    story = _story(publications, hotel)
    async with staff(api.url, marta.token, hotel) as quick, opened(api.url, "/ws", max_queue=1) as slow:
        await slow.send("auth", {"token": marta.token})
        await slow.ask("subscribe", {"propertyId": hotel})
        count = 0
        while count < 3000:
            for _ in range(200):
                story.message(f"{count} {'x' * 4000}")
                count += 1
            await story.publish()
            await quick.message(f"{count - 1} {'x' * 4000}")
        assert await slow.closed() == 4413
        async with staff(api.url, marta.token, hotel, after=slow.cursor) as again:
            await again.message(f"{count - 1} {'x' * 4000}")
    numbers = [int(content.split()[0]) for content in (*slow.contents(), *again.contents())]
    assert numbers == list(range(count))
    assert len(quick.contents()) == count


async def test_there_is_room_for_so_many_sockets(settings: Settings, hotel: str) -> None:
    settings.websocket.max_connections = 2
    async with running_api(settings) as small, guest(small.url, hotel):
        async with guest(small.url, hotel), opened(small.url, f"/chat/{hotel}") as third:
            assert await third.closed() == 4429

        async def room_again() -> bool:
            async with opened(small.url, f"/chat/{hotel}") as fourth:
                await fourth.send("auth")
                try:
                    return bool((await fourth.next())["type"] == "session")
                except ConnectionClosed:
                    return False

        await eventually(room_again, what="room for another")


async def test_who_does_not_answer_a_ping_is_closed(
    settings: Settings, hotel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.websocket.ping_interval, settings.websocket.ping_timeout = 200, 200
    async with running_api(settings) as api, guest(api.url, hotel) as lively, opened(api.url, f"/chat/{hotel}") as dead:
        await dead.send("auth")
        await dead.next()
        monkeypatch.setattr(dead.socket.protocol, "send_frame", lambda frame: None)
        assert await dead.closed() == 4408
        assert (await lively.ask("dance"))["type"] == "error"


async def test_an_event_is_rendered_once_for_each_audience(
    api: Api, hotel: str, marta: Person, publications: Publications, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[str] = []

    def noting(frame: ServerFrame) -> Rendered:
        told = render(frame)
        rendered.append(told.text)
        return told

    monkeypatch.setattr("api.live.rendering.render", noting)
    async with AsyncExitStack() as opening:
        visitor = await opening.enter_async_context(guest(api.url, hotel))
        token = visitor.frames[0]["payload"]["token"]
        tabs = [await opening.enter_async_context(guest(api.url, hotel, token)) for _ in range(4)]
        desks = [await opening.enter_async_context(staff(api.url, marta.token, hotel)) for _ in range(5)]
        await _story(publications, hotel, visitor).say("For ten")
        for client in (visitor, *tabs, *desks):
            await client.message("For ten")
    assert len([text for text in rendered if "For ten" in text]) == 2
