"""Notifications by e-mail: who is mailed, once, and what happens while the mail server is not there."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from activities.channels.notification_mails import NotificationMails
from activities.storage.database import Database
from activities.storage.log import Log
from activities.storage.log_writer import LiveStream
from activities.storage.mail_outbox import MailOutbox
from activities.storage.publications import Publications
from activities.storage.quarantine import Quarantine
from activities.storage.tasks import Tasks
from contracts.conversations import Conversation, ConversationState
from contracts.events import Audience, Event, Notification, NotificationKind, Publication
from contracts.messages import Route
from contracts.quarantine import Unreadable
from contracts.staff import Staff
from contracts.task_events import TaskPublication
from settings import Settings
from tests.api import Api, problem
from tests.fakes.smtp import TAKEN, FakeSmtp
from tests.support import Stack, eventually
from worker import mailing


@pytest.fixture
def mails(settings: Settings, database: Database) -> NotificationMails:
    return NotificationMails(settings, MailOutbox(database))


@pytest.fixture
async def publish(settings: Settings, database: Database, redis: Redis, hotel: str) -> "Told":
    return Told(Publications(database, LiveStream(redis), settings), hotel)


@pytest.fixture
async def another(settings: Settings, database: Database, redis: Redis) -> "Told":
    return Told(Publications(database, LiveStream(redis), settings), f"hotel-{uuid.uuid4().hex[:8]}")


class Told:
    """A conversation that tells staff something."""

    def __init__(self, publications: Publications, hotel: str) -> None:
        self._publications = publications
        self._now = datetime.now(UTC)
        key = uuid.uuid4().hex[:26]
        self.conversation = Conversation(
            conversation_id=f"{key}-00000000",
            guest_id=key,
            property_id=hotel,
            state=ConversationState.ACTIVE,
            created_at=self._now,
            channel_type="email",
            workflow_id=key,
        )

    async def tell(
        self, kind: NotificationKind, *, audience: Audience = "everyone", staff_id: str | None = None, repeats: int = 1
    ) -> None:
        self.conversation.seq += 1
        notification = Notification(
            id=uuid.uuid4().hex,
            kind=kind,
            text="A guest waits",
            conversation_id=self.conversation.conversation_id,
            audience=audience,
            staff_id=staff_id,
            at=self._now,
        )
        publication = Publication(
            conversation=self.conversation,
            contact_key=self.conversation.workflow_id,
            route=Route(adapter="email", channel_id="x", sender_id="x"),
            events=[Event(seq=self.conversation.seq, at=self._now, notification=notification)],
        )
        for _ in range(repeats):
            assert (await self._publications.publish(publication))[0].stored


async def _hired(api: Api, hotel: str, *kinds: str, role: str = "agent") -> Staff:
    staff = await api.hire(hotel, role="manager" if role == "manager" else "agent")
    person = await api.signed_in(staff)
    changed = await person.http.patch("/api/v1/auth/me", json={"mailKinds": list(kinds)})
    assert changed.json()["mailKinds"] == list(kinds)
    assert (await person.http.get("/api/v1/auth/me")).json() == changed.json()
    return staff


async def test_who_wants_it_is_mailed_once(
    smtp: FakeSmtp, api: Api, settings: Settings, mails: NotificationMails, publish: Told, hotel: str
) -> None:
    settings.server.public_url = "https://chat.hotel.test/"
    wants = await _hired(api, hotel, "escalation", "mention")
    await _hired(api, hotel, "sla")
    await _hired(api, "another-hotel", "escalation")
    await publish.tell("escalation", repeats=3)
    await mails.drain()
    await mails.drain()
    assert smtp.recipients == [wants.email]
    [mail] = smtp.attempts
    assert mail["Subject"] == "Test Hotel: a guest needs a person"
    assert mail["Auto-Submitted"] == "auto-generated"
    text = mail.get_body(("plain",))
    assert text is not None
    assert text.get_content().split("\r\n")[0] == "A guest waits"
    assert f"https://chat.hotel.test/staff?conversation={publish.conversation.conversation_id}" in text.get_content()


async def test_what_is_for_one_person_or_for_managers_goes_to_them_alone(
    smtp: FakeSmtp, api: Api, mails: NotificationMails, publish: Told, hotel: str
) -> None:
    agent = await _hired(api, hotel, "mention", "sla")
    manager = await _hired(api, hotel, "mention", "sla", role="manager")
    await publish.tell("mention", staff_id=agent.id)
    await mails.drain()
    assert smtp.recipients == [agent.email]
    await publish.tell("sla", audience="managers")
    await mails.drain()
    assert smtp.recipients == [agent.email, manager.email]


async def test_what_is_told_of_quarantine_and_tasks_is_mailed_too(
    smtp: FakeSmtp, api: Api, settings: Settings, database: Database, redis: Redis, mails: NotificationMails, hotel: str
) -> None:
    manager = await _hired(api, hotel, "system", "sla", role="manager")
    live, now = LiveStream(redis), datetime.now(UTC)
    await Quarantine(database, live, settings).keep(hotel, "whatsapp", [Unreadable(reason="no text", payload=b"{}")])
    overdue = Notification(id=str(uuid.uuid4()), kind="sla", text="A task is overdue", audience="managers", at=now)
    await Tasks(database, live, settings).publish(
        TaskPublication(task_id="t", property_id=hotel, notifications=[overdue])
    )
    await mails.drain()
    assert smtp.recipients == [manager.email, manager.email]


async def test_without_a_mail_server_nothing_is_queued(api: Api, stack: Stack, publish: Told, hotel: str) -> None:
    await _hired(api, hotel, "escalation")
    await publish.tell("escalation")
    assert await stack.rows("SELECT * FROM mail_outbox WHERE property_id = :hotel", hotel=hotel) == []


async def test_what_is_refused_for_now_is_tried_again_and_given_up_after_a_day(
    smtp: FakeSmtp, api: Api, stack: Stack, mails: NotificationMails, publish: Told, hotel: str
) -> None:
    await _hired(api, hotel, "escalation")
    await publish.tell("escalation")
    smtp.answer_data = lambda mail: "451 later"
    for attempts in (1, 2):
        await mails.drain()
        [row] = await stack.rows("SELECT attempts, next_at FROM mail_outbox WHERE property_id = :hotel", hotel=hotel)
        assert row["attempts"] == attempts
        assert isinstance(row["next_at"], datetime)
        assert row["next_at"] > datetime.now(UTC) + timedelta(seconds=25)
        await stack.rows("UPDATE mail_outbox SET next_at = now() WHERE property_id = :hotel RETURNING 1", hotel=hotel)
    old = "UPDATE mail_outbox SET queued_at = now() - interval '25 hours' WHERE property_id = :hotel RETURNING 1"
    await stack.rows(old, hotel=hotel)
    await mails.drain()
    assert await stack.rows("SELECT * FROM mail_outbox WHERE property_id = :hotel", hotel=hotel) == []
    assert len(smtp.attempts) == 2


async def test_a_mail_server_that_puts_us_off_does_not_keep_others_waiting(
    smtp: FakeSmtp, api: Api, stack: Stack, mails: NotificationMails, publish: Told, another: Told, hotel: str
) -> None:
    """One that hangs takes its time with each mail, and there may be hundreds."""
    for _ in range(3):
        await _hired(api, hotel, "escalation")
    await publish.tell("escalation")
    staff = await _hired(api, another.conversation.property_id, "escalation")
    await another.tell("escalation")
    smtp.answer_data = lambda mail: "451 later" if mail["Subject"].startswith("Test Hotel") else TAKEN
    await mails.drain()
    rows = await stack.rows("SELECT attempts FROM mail_outbox WHERE property_id = :hotel ORDER BY 1", hotel=hotel)
    assert [row["attempts"] for row in rows] == [0, 0, 1]
    assert smtp.recipients == [staff.email]
    smtp.answer_data = lambda mail: TAKEN
    await mails.drain()
    assert len(smtp.recipients) == 3  # the one that was put off comes later


async def test_what_is_refused_for_good_is_not_tried_again(
    smtp: FakeSmtp, api: Api, mails: NotificationMails, publish: Told, hotel: str
) -> None:
    await _hired(api, hotel, "escalation")
    await publish.tell("escalation")
    smtp.answer_recipient = lambda address: "550 5.1.1 nobody"
    await mails.drain()
    smtp.answer_recipient = lambda address: "250 Ok"
    await mails.drain()
    assert smtp.attempts == []


async def test_a_worker_of_the_channels_mails_by_itself(
    smtp: FakeSmtp, api: Api, settings: Settings, publish: Told, hotel: str
) -> None:
    staff = await _hired(api, hotel, "system")
    async with mailing(settings):
        await publish.tell("system")

        async def look() -> bool:
            return smtp.recipients == [staff.email]

        await eventually(look, what="the mail")


async def test_a_wish_is_of_kinds_that_are(api: Api, hotel: str) -> None:
    person = await api.signed_in(await api.hire(hotel))
    assert problem(await person.http.patch("/api/v1/auth/me", json={"mailKinds": ["gossip"]})) == (422, "invalid")
    assert problem(await person.http.patch("/api/v1/auth/me", json={"mailKinds": None})) == (422, "invalid")
    assert problem(await api.http.patch("/api/v1/auth/me", json={"mailKinds": []})) == (401, "unauthenticated")


@pytest.mark.parametrize("whose", ["of somebody", "of who has left", "of a program"])
async def test_what_reminds_who_has_left_reminds_everyone(
    smtp: FakeSmtp,
    api: Api,
    settings: Settings,
    database: Database,
    redis: Redis,
    mails: NotificationMails,
    publish: Told,
    hotel: str,
    whose: str,
) -> None:
    """Of a conversation as of a task: told to them alone, it would be seen by nobody who can do it."""
    holder, colleague = await _hired(api, hotel, "sla"), await _hired(api, hotel, "sla")
    if whose == "of who has left":
        await api.state.staff.update(holder.id, {"disabled": True}, lambda _: None)
    staff_id = "a-program" if whose == "of a program" else holder.id
    await publish.tell("sla", staff_id=staff_id)
    reminder = Notification(
        id=uuid.uuid4().hex, kind="sla", text="A task is due", staff_id=staff_id, at=datetime.now(UTC)
    )
    await Tasks(database, LiveStream(redis), settings).publish(
        TaskPublication(task_id="t", property_id=hotel, notifications=[reminder])
    )
    await mails.drain()
    reached = {
        "of somebody": {holder.email},
        "of who has left": {colleague.email},
        "of a program": {holder.email, colleague.email},
    }[whose]
    assert (len(smtp.recipients), set(smtp.recipients)) == (2 * len(reached), reached)
    told = [entry.notification for entry in await Log(database).read(hotel, after=0) if entry.notification is not None]
    assert [each.staff_id for each in told] == [staff_id if whose == "of somebody" else None] * 2
