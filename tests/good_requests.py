"""A request that every operation accepts: its own example with ids that are there, or one of the table below.

A new operation needs a row here only where its example, with the ids of `World.ids` in place, is not enough.
"""

import copy
import json
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx

from activities.channels.body_signature import sign
from contracts.ai import Action, AIRequest, AIResponse
from tests.api import PASSWORD, Person
from tests.fakes.ai import confident
from tests.fakes.callback import SECRET
from tests.fakes.graph import VERIFY_TOKEN
from tests.live import guest as chat
from tests.mails import bring, mail_from
from tests.sms import number, sms
from tests.sms import post as post_sms
from tests.support import eventually
from tests.whatsapp import change, notification
from tests.whatsapp import post as post_whatsapp
from tests.world import Json, World, new_endpoint


def _with_ids(value: Any, ids: dict[str, str]) -> Any:
    """An example with ids that are there."""
    match value:
        case dict():
            return {
                key: ids[key] if isinstance(item, str) and key in ids else _with_ids(item, ids)
                for key, item in value.items()
            }
        case list():
            return [_with_ids(item, ids) for item in value]
    return value


async def by_example(world: World, method: str, path: str, operation: Json) -> httpx.Response:
    """Asks as the description shows."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            name = parameter["name"]
            value = world.ids.get(name, parameter["schema"].get("examples", ["missing"])[0])
            path = path.replace(f"{{{name}}}", str(value))
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    examples = list(content.get("examples", {}).values())
    body = _with_ids(copy.deepcopy(examples[0]["value"]), world.ids) if examples else None
    return await world.admin.http.request(method, path, json=body)


async def _login(world: World) -> httpx.Response:
    return await world.api.login((await world.api.hire(world.hotel)).email, PASSWORD)


async def _logout(world: World) -> httpx.Response:
    return await (await world.api.person(world.hotel)).http.post("/api/v1/auth/logout")


async def _me(world: World) -> httpx.Response:
    return await (await _hired(world)).http.get("/api/v1/auth/me")


async def _change_me(world: World) -> httpx.Response:
    return await (await _hired(world)).http.patch("/api/v1/auth/me", json={"mailKinds": ["mention"]})


async def _refresh(world: World) -> httpx.Response:
    return await (await _hired(world)).http.post("/api/v1/auth/refresh")


async def _hired(world: World) -> Person:
    return await world.api.signed_in(await world.api.hire(world.hotel, role="admin"))


async def _password(world: World) -> httpx.Response:
    body = {"currentPassword": PASSWORD, "newPassword": "another long password"}
    return await (await _hired(world)).http.post("/api/v1/auth/password", json=body)


async def _add_staff(world: World) -> httpx.Response:
    body = {
        "email": f"{uuid.uuid4().hex}@hotel.test",
        "name": "Marta Reis",
        "role": "agent",
        "properties": [world.hotel],
        "password": PASSWORD,
    }
    return await world.admin.http.post("/api/v1/staff", json=body)


async def _api_key(world: World) -> httpx.Response:
    return await world.admin.http.post("/api/v1/api-keys", json={"name": "Dashboard", "properties": [world.hotel]})


async def _revoke(world: World) -> httpx.Response:
    return await world.admin.http.delete(f"/api/v1/api-keys/{(await _api_key(world)).json()['id']}")


async def _update_staff(world: World) -> httpx.Response:
    return await world.admin.http.patch(f"/api/v1/staff/{world.ids['staffId']}", json={"name": "Marta Lima"})


async def _open(world: World) -> httpx.Response:
    body = {"propertyId": world.hotel, "channelType": "sms", "recipientId": number(), "content": "Welcome!"}
    return await world.admin.http.post("/api/v1/conversations", json=body)


async def _after_claim(world: World, command: str) -> httpx.Response:
    await world.admin.http.post(f"{world.talk}/claim")
    return await world.admin.http.post(f"{world.talk}/{command}")


async def _return(world: World) -> httpx.Response:
    return await _after_claim(world, "return")


async def _unassign(world: World) -> httpx.Response:
    return await _after_claim(world, "unassign")


async def _prioritise(world: World) -> httpx.Response:
    return await world.admin.http.post(f"{world.talk}/priority", json={"priority": "high"})


async def _snooze(world: World) -> httpx.Response:
    await world.admin.http.post(f"{world.talk}/escalate")
    until = datetime.now(UTC) + timedelta(hours=8)
    return await world.admin.http.post(f"{world.talk}/snooze", json={"until": until.isoformat()})


async def _decide(world: World) -> httpx.Response:
    action = Action(id="a", type="request_late_checkout", params={"until": "14:00"})

    def asking(request: AIRequest) -> AIResponse:
        return confident(request).model_copy(update={"actions": [action]})

    world.ai.respond = asking
    guest = world.stack.guest()
    await guest.ask("May I leave at two tomorrow?")
    world.ai.respond = confident
    conversation = await guest.conversation()
    (waiting,) = conversation.pending_actions
    path = f"/api/v1/conversations/{conversation.conversation_id}/actions/{waiting.id}"
    return await world.admin.http.post(path, json={"approve": True})


async def _undelivered(world: World) -> str:
    """A message that does not leave: its channel is away."""
    world.callback.status = lambda message: 503
    guest = world.stack.guest(adapter="messages", channel_type="sms", sender_id=number())
    await guest.outcome(await guest.write("I want to speak to a person"))
    talk = f"/api/v1/conversations/{(await guest.conversation()).conversation_id}"
    said = await world.admin.http.post(f"{talk}/messages", json={"content": "Good evening"})
    return f"{talk}/messages/{said.json()['id']}"


async def _retry(world: World) -> httpx.Response:
    answer = await world.admin.http.post(f"{await _undelivered(world)}/retry")
    world.callback.status = lambda message: 200
    return answer


async def _skip(world: World) -> httpx.Response:
    answer = await world.admin.http.post(f"{await _undelivered(world)}/skip")
    world.callback.status = lambda message: 200
    return answer


async def _upload(world: World) -> httpx.Response:
    file = {"file": ("menu.txt", b"Soup")}
    return await world.admin.http.post("/api/v1/media", data={"propertyId": world.hotel}, files=file)


async def _guest_upload(world: World) -> httpx.Response:
    async with chat(world.api.url, world.hotel) as client:
        token = next(frame["payload"]["token"] for frame in client.frames if frame["type"] == "session")
    file = {"file": ("room.txt", b"A leak")}
    return await world.api.http.post(f"/chat/{world.hotel}/media", data={"token": token}, files=file)


async def _linked(world: World) -> httpx.Response:
    kept = await world.api.state.media.put(world.hotel, b"Soup", name="a.txt", content_type="text/plain")
    return await world.api.http.get(world.api.state.links.signed([kept.attachment])[0].url)


async def _delete_article(world: World) -> httpx.Response:
    article = f"/api/v1/knowledge/{world.hotel}/articles/boats"
    await world.admin.http.put(article, json={"title": "Boats", "text": "At the jetty."})
    return await world.admin.http.delete(article)


async def _gap(world: World) -> httpx.Response:
    base = f"/api/v1/knowledge/{world.hotel}/gaps"
    world.ai.respond = world.ai.doubtful
    guest = world.stack.guest()
    await guest.ask("Do you lend kayaks?")
    world.ai.respond = confident
    await world.stack.stored(await guest.conversation())
    (gap, *_) = (await world.admin.http.get(base)).json()
    answers = [{key: each[key] for key in ("conversationId", "messageId")} for each in gap["questions"]]
    return await world.admin.http.post(base, json={"title": "Kayaks", "text": "At the jetty.", "answers": answers})


async def _save_reply(world: World) -> httpx.Response:
    said = await world.admin.http.post(f"{world.talk}/messages", json={"content": "From 7 to 10."})
    guest_free = {"conversationId": world.ids["conversationId"], "messageId": said.json()["id"], "title": "Breakfast"}

    async def look() -> bool:
        items = (await world.admin.http.get(f"{world.talk}/messages")).json()["items"]
        return said.json()["id"] in [each["id"] for each in items]

    await eventually(look, what="the reply to be stored")
    return await world.admin.http.post(f"/api/v1/knowledge/{world.hotel}/replies", json=guest_free)


async def _delete_endpoint(world: World) -> httpx.Response:
    return await world.admin.http.delete(f"/api/v1/webhook-endpoints/{(await new_endpoint(world)).json()['id']}")


async def _rule(world: World) -> str:
    """A rule of the hotel's; its path."""
    action = {"type": "notify_staff", "text": "Look here"}
    rule = {"id": "look", "name": "Look", "when": ["task.*"], "then": [action]}
    await world.admin.http.put("/api/v1/automations", json={"propertyId": world.hotel, "rules": [rule]})
    return f"/api/v1/automations/{world.hotel}/look"


async def _get_rule(world: World) -> httpx.Response:
    return await world.admin.http.get(await _rule(world))


async def _delete_rule(world: World) -> httpx.Response:
    return await world.admin.http.delete(await _rule(world))


async def _list_rules(world: World) -> httpx.Response:
    return await world.admin.http.get("/api/v1/automations", params={"property": world.hotel})


async def _known_guest(world: World) -> str:
    """A guest whose conversation storage has."""
    await world.renew()
    return world.ids["guestId"]


async def _merge(world: World) -> httpx.Response:
    one, other = await _known_guest(world), await _known_guest(world)
    return await world.admin.http.post(f"/api/v1/guests/{one}/merge", json={"into": other})


async def _unmerge(world: World) -> httpx.Response:
    one, other = await _known_guest(world), await _known_guest(world)
    await world.admin.http.post(f"/api/v1/guests/{one}/merge", json={"into": other})
    return await world.admin.http.post(f"/api/v1/guests/{one}/unmerge")


async def _erase(world: World) -> httpx.Response:
    guest = world.stack.guest()
    await guest.ask("What time is breakfast?")
    conversation = await guest.conversation()
    await world.stack.stored(conversation)
    await world.admin.http.post(f"/api/v1/conversations/{conversation.conversation_id}/resolve")
    await guest.handle.result()
    return await world.admin.http.delete(f"/api/v1/guests/{conversation.guest_id}")


async def _verify(world: World) -> httpx.Response:
    asked = {"hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN, "hub.challenge": "1158201444"}
    return await world.api.http.get(f"/webhooks/whatsapp/{world.hotel}", params=asked)


async def _whatsapp(world: World) -> httpx.Response:
    return await post_whatsapp(world.api, world.hotel, notification(change(messages=[])))


async def _twilio(world: World) -> httpx.Response:
    return await post_sms(world.api, f"/webhooks/twilio/{world.hotel}", sms(number(), "Hello"))


async def _twilio_status(world: World) -> httpx.Response:
    form = {**sms(number(), ""), "MessageStatus": "delivered"}
    path = f"/webhooks/twilio/{world.hotel}/status?{urlencode({'reference': 'x'})}"
    return await post_sms(world.api, path, form)


async def _mail(world: World) -> httpx.Response:
    return await bring(world.api, world.hotel, mail_from("ana@guest.test"))


async def _message(world: World) -> httpx.Response:
    message = {
        "channelId": "desk",
        "channelType": "sms",
        "senderId": number(),
        "content": "Hello",
        "timestamp": datetime.now(UTC).isoformat(),
    }
    body = json.dumps(message).encode()
    headers = {"X-Gateway-Signature": sign(body, SECRET), "Content-Type": "application/json"}
    return await world.api.http.post(f"/webhooks/messages/{world.hotel}", content=body, headers=headers)


GOOD: dict[str, Callable[[World], Awaitable[httpx.Response]]] = {
    "login": _login,
    "logout": _logout,
    "refresh": _refresh,
    "me": _me,
    "changeMe": _change_me,
    "changePassword": _password,
    "addStaff": _add_staff,
    "updateStaff": _update_staff,
    "createApiKey": _api_key,
    "revokeApiKey": _revoke,
    "openConversation": _open,
    "returnConversation": _return,
    "unassignConversation": _unassign,
    "prioritiseConversation": _prioritise,
    "snoozeConversation": _snooze,
    "decideAction": _decide,
    "retryMessage": _retry,
    "skipMessage": _skip,
    "uploadMedia": _upload,
    "uploadChatMedia": _guest_upload,
    "readLinkedMedia": _linked,
    "deleteArticle": _delete_article,
    "closeGap": _gap,
    "saveReply": _save_reply,
    "createWebhookEndpoint": new_endpoint,
    "deleteWebhookEndpoint": _delete_endpoint,
    "getAutomations": _list_rules,
    "getAutomation": _get_rule,
    "deleteAutomation": _delete_rule,
    "mergeGuest": _merge,
    "unmergeGuest": _unmerge,
    "eraseGuest": _erase,
    "verifyWhatsapp": _verify,
    "receiveWhatsapp": _whatsapp,
    "receiveTwilio": _twilio,
    "reportTwilio": _twilio_status,
    "receiveMail": _mail,
    "receiveMessage": _message,
}
"""By operation id: what a generated request cannot know, such as a signature, or a state to be reached first."""


async def ask(world: World, method: str, path: str, operation: Json) -> httpx.Response:
    """A request of the operation that is to succeed."""
    if "{conversationId}" in path:
        await world.renew()
    if (good := GOOD.get(operation["operationId"])) is not None:
        return await good(world)
    return await by_example(world, method, path, operation)
