"""A hotel with one of everything, for requests that need something to be there."""

from dataclasses import dataclass
from typing import Any

import httpx

from tests.api import Api, Person, answered
from tests.fakes.ai import FakeAI
from tests.fakes.callback import FakeCallback
from tests.support import Stack, eventually
from tests.whatsapp import post as post_whatsapp

Json = dict[str, Any]


@dataclass
class World:
    """A hotel with one of everything. `ids` are by the names that paths, queries and bodies have for them."""

    api: Api
    stack: Stack
    ai: FakeAI
    callback: FakeCallback
    admin: Person
    ids: dict[str, str]

    @property
    def hotel(self) -> str:
        return self.stack.hotel

    @property
    def talk(self) -> str:
        return f"/api/v1/conversations/{self.ids['conversationId']}"

    async def renew(self) -> None:
        """Another conversation, in which the AI has answered."""
        talk = await answered(self.stack)
        conversation = (await self.admin.http.get(talk)).json()
        messages = (await self.admin.http.get(f"{talk}/messages")).json()["items"]
        self.ids |= {
            "conversationId": conversation["conversationId"],
            "guestId": conversation["guestId"],
            "messageId": messages[-1]["id"],
        }


async def new_world(api: Api, stack: Stack, ai: FakeAI, callback: FakeCallback) -> World:
    admin, colleague = await api.person(stack.hotel, role="admin"), await api.hire(stack.hotel)
    world = World(api, stack, ai, callback, admin, {"propertyId": stack.hotel, "staffId": colleague.id})
    await world.renew()
    task = await admin.http.post(
        "/api/v1/tasks", json={"propertyId": stack.hotel, "department": "housekeeping", "title": "Towels"}
    )
    article = {"title": "Parking", "text": "18 EUR a night."}
    await admin.http.put(f"/api/v1/knowledge/{stack.hotel}/articles/parking", json=article)
    file = await admin.http.post("/api/v1/media", data={"propertyId": stack.hotel}, files={"file": ("a.txt", b"Soup")})
    await admin.http.post(f"{world.talk}/escalate")

    async def told() -> list[Json]:
        items: list[Json] = (await admin.http.get("/api/v1/notifications")).json()["items"]
        return items

    (news, *_) = await eventually(told, what="a notification")
    await post_whatsapp(api, stack.hotel, b"{")
    (unread,) = (await admin.http.get("/api/v1/quarantine")).json()["items"]
    world.ids |= {
        "taskId": task.json()["id"],
        "articleId": "parking",
        "mediaId": file.json()["id"],
        "notificationId": news["id"],
        "itemId": unread["id"],
    }
    world.ids["endpointId"] = (await new_endpoint(world)).json()["id"]
    await world.renew()
    return world


async def new_endpoint(world: World) -> httpx.Response:
    body = {"propertyId": world.hotel, "url": "https://hotel.example/hooks", "eventTypes": ["task.*"]}
    return await world.admin.http.post("/api/v1/webhook-endpoints", json=body)
