"""Erasing a guest: afterwards nothing of theirs is anywhere, and what Temporal keeps is told."""

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from temporalio.client import WorkflowExecutionStatus

from activities.media.store import MediaAway
from activities.storage.contacts import Contacts
from activities.storage.database import Database
from contracts.events import ContactLookup
from contracts.messages import Attachment, GuestMessage, Route
from contracts.names import task_workflow_id
from contracts.problems import Unavailable
from contracts.quarantine import Unreadable
from tests.api import Api, Person, problem
from tests.fakes.ai import FakeAI
from tests.fakes.callback import FakeCallback
from tests.guests import add_guest
from tests.support import Guest, Stack, command, eventually, reply

GUESTS = "/api/v1/guests"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\0" * 20


def _word() -> str:
    """A word that nobody else has said, in any test. Without digits, which an engine's answer may not make up."""
    return "Q" + uuid.uuid4().hex.translate(str.maketrans("0123456789", "ghijklmnop"))


def _number() -> str:
    return f"+1555{uuid.uuid4().int % 10**10:010}"


@dataclass
class Story:
    """A guest of whom something stands in every place that there is."""

    guest: Guest
    name: str
    said: str
    asked: str
    answered: str
    liked: str
    guest_id: str
    conversation_id: str
    task_id: str
    media_id: str
    brochure_id: str


@pytest.fixture
async def manager(api: Api, hotel: str) -> Person:
    return await api.person(hotel, role="manager")


@pytest.fixture
async def story(
    working: None, ai: FakeAI, callback: FakeCallback, stack: Stack, api: Api, manager: Person, hotel: str
) -> Story:
    name, lost, asked, answered, liked = (_word() for _ in range(5))
    guest = stack.guest(adapter="messages", channel_type="sms", sender_id=_number())
    photo = await api.state.media.put(hotel, PNG + lost.encode(), name=f"{lost}.png", content_type="image/png")
    brochure = await api.state.media.put(hotel, PNG, name="brochure.png", content_type="image/png")
    await _write(guest, name, f"I am {name} and I found my {lost}", photo.attachment)
    ai.respond = ai.doubtful
    question = await _write(guest, name, f"Who sells {asked} here?")
    conversation = await guest.reaches(lambda each: each.draft is not None, "a draft")
    for words, private in ((f"Dear {name}, ask for {answered}", False), (f"{name} is fond of {answered}", True)):
        said = reply(conversation, words, private=private)
        said.attachments = [] if private else [brochure.attachment]
        await stack.conversations.reply(said)
    other = stack.guest(adapter="messages", channel_type="sms", sender_id=_number())
    await other.ask("Hello")
    said = reply(await other.conversation(), "Our brochure")
    said.attachments = [brochure.attachment]
    await stack.conversations.reply(said)
    task = {"propertyId": hotel, "department": "concierge", "title": f"{answered} for {name}"}
    created = await manager.http.post(
        "/api/v1/tasks",
        json={**task, "description": f"{liked} too", "conversationId": conversation.conversation_id},
    )
    assert created.status_code == 201, created.text
    conversation = await guest.conversation()
    await manager.http.patch(f"{GUESTS}/{conversation.guest_id}", json={"preferences": {"likes": liked}})
    await _learn(stack, hotel, conversation.conversation_id, question, asked)
    digits = guest.sender_id.lstrip("+")
    for payload in (f'{{"from": "{digits}"}}', f'{{"from": "9{digits}"}}', f"From=%2B{digits}&Body=Hello+again"):
        await api.state.quarantine.keep(hotel, "messages", [Unreadable(reason="?", payload=payload.encode())])
    await stack.stored(await guest.conversation())
    await stack.stored(await other.conversation())
    return Story(
        guest=guest,
        name=name,
        said=lost,
        asked=asked,
        answered=answered,
        liked=liked,
        guest_id=conversation.guest_id,
        conversation_id=conversation.conversation_id,
        task_id=created.json()["id"],
        media_id=photo.id,
        brochure_id=brochure.id,
    )


async def _write(guest: Guest, name: str, content: str, *attachments: Attachment) -> str:
    now = datetime.now(UTC)
    message = GuestMessage(
        id=uuid.uuid4().hex,
        route=Route(adapter=guest.adapter, channel_id=guest.stack.hotel, sender_id=guest.sender_id),
        content=content,
        attachments=list(attachments),
        guest_name=name,
        sent_at=now,
        received_at=now,
    )
    await guest.stack.conversations.receive(guest.stack.hotel, guest.channel_type, message)
    await guest.outcome(message.id)
    return message.id


async def _learn(stack: Stack, hotel: str, conversation_id: str, message_id: str, asked: str) -> None:
    """An article that was made for the guest's question, as storage keeps it."""
    questions = [f"Who sells {asked} here?", "Who sells stamps?"]
    async with stack.database.begin() as connection:
        values = {"hotel": hotel, "questions": questions, "conversation": conversation_id, "message": message_id}
        for statement in (
            "INSERT INTO knowledge (property_id, id, title, questions, text, version, deleted, updated_at, updated_by)"
            " VALUES (:hotel, 'shops', 'Shops', :questions, 'Ask us', 1, false, now(), 'ana')",
            "INSERT INTO knowledge_versions (property_id, article_id, version, article)"
            " VALUES (:hotel, 'shops', 1, jsonb_build_object('questions', to_jsonb(CAST(:questions AS text[]))))",
            "INSERT INTO knowledge_heads (property_id, version) VALUES (:hotel, 1)",
            "INSERT INTO knowledge_closed_gaps (conversation_id, message_id, article_id)"
            " VALUES (:conversation, :message, 'shops')",
        ):
            used = {key: value for key, value in values.items() if f":{key}" in statement}
            await connection.execute(text(statement), used)


async def _end(story: Story, stack: Stack, manager: Person) -> None:
    """Closes all that goes on."""
    await manager.http.patch(f"/api/v1/tasks/{story.task_id}", json={"status": "done"})
    task = stack.client.get_workflow_handle(task_workflow_id(story.task_id))
    await task.result()
    conversation = await story.guest.conversation()
    await stack.conversations.resolve(command(conversation, reason=f"{story.name} has it"))
    await story.guest.handle.result()


async def _everything(database: Database, redis: Redis, media: Path) -> dict[str, str]:
    """Every table, every key of Redis and every file, as text."""
    found: dict[str, str] = {}
    async with database.begin() as connection:
        tables = await connection.execute(
            text("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        )
        for table in tables.scalars().all():
            rows = await connection.execute(text(f'SELECT * FROM "{table}" AS each'))
            found[f"table {table}"] = "\n".join(str(dict(row._mapping)) for row in rows)
    async for key in redis.scan_iter():
        kind = await redis.type(key)
        content: Any = key
        if kind == "stream":
            content = await redis.xrange(key)
        elif kind == "string":
            content = await redis.get(key)
        elif kind == "hash":
            content = await redis.hgetall(key)
        elif kind == "zset":
            content = await redis.zrange(key, 0, -1)
        found[f"key {key}"] = f"{key} {content}"
    return found | _files(media)


def _files(folder: Path) -> dict[str, str]:
    return {f"file {path}": f"{path} {path.read_bytes()!r}" for path in folder.rglob("*") if path.is_file()}


def _where(story: Story, everything: dict[str, str]) -> set[str]:
    """The kinds of places in which something of the guest stands."""
    digits = re.compile(rf"(?<!\d){story.guest.sender_id.lstrip('+')}")
    words = (story.name, story.said, story.asked, story.answered, story.liked)
    return {
        place if place.startswith("table") else place.split()[0]
        for place, content in everything.items()
        if any(word in content for word in words) or digits.search(content)
    }


async def test_nothing_of_an_erased_guest_is_left(
    story: Story, stack: Stack, manager: Person, api: Api, hotel: str, database: Database, redis: Redis
) -> None:
    media = stack.settings.data_dir / "media"
    await _end(story, stack, manager)

    async def published() -> bool:
        rows = await stack.rows("SELECT state FROM conversations WHERE id = :id", id=story.conversation_id)
        return rows[0]["state"] == "resolved"

    await eventually(published, what="the end to be stored")
    places = {"knowledge", "knowledge_versions", "guests", "contacts", "conversations", "messages", "log", "tasks"}
    before = _where(story, await _everything(database, redis, media))
    assert before >= {*(f"table {each}" for each in places), "key", "file"}

    answer = await manager.http.delete(f"{GUESTS}/{story.guest_id}")
    assert answer.status_code == 200, answer.text
    assert _where(story, await _everything(database, redis, media)) == set()
    left = await stack.rows("SELECT payload FROM quarantine WHERE property_id = :hotel", hotel=hotel)
    assert left == [{"payload": f'{{"from": "9{story.guest.sender_id[1:]}"}}'.encode()}]
    erased = answer.json()
    assert erased["guestIds"] == [story.guest_id]
    counts = erased["erased"]
    assert {key: counts[key] for key in ("guests", "contacts", "conversations", "tasks", "files", "quarantine")} == {
        "guests": 1,
        "contacts": 1,
        "conversations": 1,
        "tasks": 1,
        "files": 1,
        "quarantine": 2,
    }
    assert counts["messages"] >= 5

    # What others have stays.
    assert await api.state.media.find(story.brochure_id) is not None
    assert await api.state.media.find(story.media_id) is None
    task = (await manager.http.get(f"/api/v1/tasks/{story.task_id}")).json()
    assert (task["title"], task["description"], task["status"]) == ("Erased", "", "done")
    rows = await stack.rows("SELECT questions FROM knowledge WHERE property_id = :hotel", hotel=hotel)
    assert rows == [{"questions": ["Who sells stamps?"]}]
    assert len((await manager.http.get(GUESTS)).json()["items"]) == 1

    # It is told what Temporal keeps, and saying it again says the same.
    assert erased["payloads"] == "encrypted"
    assert {each["workflowId"] for each in erased["histories"]} == {
        story.guest.handle.id,
        task_workflow_id(story.task_id),
    }
    for each in erased["histories"]:
        described = await stack.client.get_workflow_handle(each["workflowId"], run_id=each["runId"]).describe()
        assert described.status is WorkflowExecutionStatus.COMPLETED
        assert described.close_time is not None
        assert datetime.fromisoformat(each["keptUntil"]) > described.close_time + timedelta(hours=1)
    again = (await manager.http.delete(f"{GUESTS}/{story.guest_id}")).json()
    assert again == erased
    assert problem(await manager.http.get(f"{GUESTS}/{story.guest_id}")) == (404, "not_found")
    assert problem(await manager.http.post(f"{GUESTS}/{story.guest_id}/export")) == (404, "not_found")
    stranger = await api.person("elsewhere", role="admin")
    assert problem(await stranger.http.delete(f"{GUESTS}/{story.guest_id}")) == (403, "forbidden")

    # Figures go on counting.
    report = (await manager.http.get("/api/v1/reports/conversations", params={"property": hotel})).json()["items"][0]
    assert (report["started"], report["resolved"], report["messages"]["guest"]) == (2, 1, 2)


async def test_a_guest_of_whom_something_goes_on_is_not_erased(story: Story, stack: Stack, manager: Person) -> None:
    refused = await manager.http.delete(f"{GUESTS}/{story.guest_id}")
    assert problem(refused) == (409, "guest_busy")
    assert refused.json()["conversations"] == [story.conversation_id]
    assert refused.json()["tasks"] == [story.task_id]
    assert set(refused.json()["workflows"]) == {story.guest.handle.id, task_workflow_id(story.task_id)}
    assert (await manager.http.get(f"{GUESTS}/{story.guest_id}")).json()["name"] == story.name


async def test_all_that_is_held_is_exported(story: Story, stack: Stack, manager: Person) -> None:
    answer = await manager.http.post(f"{GUESTS}/{story.guest_id}/export")
    assert answer.headers["content-disposition"].startswith("attachment")
    export = answer.json()
    assert export["guestIds"] == [story.guest_id]
    assert [each["name"] for each in export["profiles"]] == [story.name]
    assert export["profiles"][0]["preferences"] == {"likes": story.liked}
    contacts = [(each["senderId"], each["optedOut"]) for each in export["contacts"]]
    assert contacts == [(story.guest.sender_id, False)]
    assert [each["id"] for each in export["conversations"]] == [story.conversation_id]
    said = [each["content"] for each in export["messages"]]
    assert f"I am {story.name} and I found my {story.said}" in said
    assert f"{story.name} is fond of {story.answered}" in said
    assert len(export["outcomes"]) == 2
    question = f"Who sells {story.asked} here?"
    drafted = [each["draft"]["content"] for each in export["drafts"]]
    assert drafted == [f"Answer to {question}"]
    assert "escalated" in {each["change"] for each in export["events"]}
    assert [each["title"] for each in export["tasks"]] == [f"{story.answered} for {story.name}"]
    assert [each["name"] for each in export["media"]] == [f"{story.said}.png"]
    assert [each["question"] for each in export["learned"]] == [question]
    quarantined = [each["payload"] for each in export["quarantine"]]
    digits = story.guest.sender_id[1:]
    assert quarantined == [f'{{"from": "{digits}"}}', f"From=%2B{digits}&Body=Hello+again"]
    assert export["notifications"]


async def test_an_erasure_that_was_cut_off_is_finished_by_the_next(
    story: Story, stack: Stack, manager: Person, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _end(story, stack, manager)

    async def fails(*_: object) -> None:
        raise MediaAway("File storage does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(type(api.state.media), "delete", fails)
        assert problem(await manager.http.delete(f"{GUESTS}/{story.guest_id}")) == (503, "media_away")
    assert await api.state.media.find(story.media_id) is not None
    assert (await manager.http.delete(f"{GUESTS}/{story.guest_id}")).status_code == 200
    assert await api.state.media.find(story.media_id) is None


async def test_nothing_is_erased_while_temporal_cannot_say_what_runs(
    api: Api, manager: Person, hotel: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest_id = await add_guest(database, hotel, name="Ana")

    async def fails(*_: object) -> None:
        raise Unavailable("Temporal does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(type(api.state.executions), "running", fails)
        assert problem(await manager.http.delete(f"{GUESTS}/{guest_id}")) == (503, "unavailable")
    assert (await manager.http.get(f"{GUESTS}/{guest_id}")).json()["name"] == "Ana"


async def test_that_a_contact_wants_no_messages_outlives_the_erasure(
    api: Api, manager: Person, hotel: str, database: Database, stack: Stack
) -> None:
    address = _number()[:12]
    guest_id = await add_guest(database, hotel, sender_id=address)
    key = stack.conversations.contact_key(hotel, "sms", address)
    async with database.begin() as connection:
        await connection.execute(
            text("UPDATE contacts SET opted_out = true, contact_key = :key WHERE guest_id = :id"),
            {"key": key, "id": guest_id},
        )
    assert (await manager.http.delete(f"{GUESTS}/{guest_id}")).status_code == 200
    lookup = ContactLookup(
        property_id=hotel,
        channel_type="sms",
        sender_id=address,
        contact_key=key,
        conversation_id=f"{key}-00000000",
        message_ids=[],
    )
    assert (await Contacts(database).facts(lookup)).opted_out
    opening = {"propertyId": hotel, "channelType": "sms", "recipientId": address, "content": "Welcome!"}
    assert problem(await manager.http.post("/api/v1/conversations", json=opening)) == (409, "opted_out")


async def test_who_is_merged_is_erased_with_the_one_person(
    manager: Person, hotel: str, database: Database, stack: Stack
) -> None:
    one, two = await add_guest(database, hotel, name="Ana"), await add_guest(database, hotel)
    await manager.http.post(f"{GUESTS}/{one}/merge", json={"into": two})
    answer = await manager.http.delete(f"{GUESTS}/{one}")
    assert set(answer.json()["guestIds"]) == {one, two}
    assert await stack.rows("SELECT id FROM guests WHERE property_id = :hotel", hotel=hotel) == []
    assert await stack.rows("SELECT guest_id FROM guest_merges WHERE guest_id = :id", id=one) == []
    for guest_id in (one, two):
        assert (await manager.http.delete(f"{GUESTS}/{guest_id}")).json() == answer.json()
    assert problem(await manager.http.delete(f"{GUESTS}/nobody")) == (404, "not_found")
