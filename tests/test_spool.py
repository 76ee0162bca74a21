"""While Temporal is away what channels bring waits in PostgreSQL, and goes on in its order when Temporal is back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from activities.storage.database import Database
from activities.storage.spool import Spool
from contracts.commands import DeliveryFailure
from contracts.media import own_media_id
from contracts.messages import Attachment, Author, DeliveryState, GuestMessage
from contracts.problems import Unavailable
from contracts.spool import WaitingMessage
from embedded import PostgresServer, TemporalServer
from settings import Settings
from tests.api import Api, problem, running_api
from tests.fakes.ai import FakeAI
from tests.fakes.callback import FakeCallback, signed_message
from tests.fakes.smtp import FakeSmtp
from tests.mails import HOTEL_ADDRESS
from tests.support import Guest, Stack, command, eventually, guest_message, reply, workers
from workflows.client import Conversations
from workflows.connection import connect

NOWHERE = "127.0.0.1:1"
PHOTO = Attachment(id="x", name="room.png", content_type="image/png", url="https://provider.test/x")


pytestmark = pytest.mark.usefixtures("spool_of_its_own")


@pytest.fixture
def without_temporal(settings: Settings, hotel: str) -> Settings:
    """Of a process that does not reach Temporal."""
    away = settings.model_copy(deep=True)
    away.temporal.address = NOWHERE
    return away


async def _post(api: Api, hotel: str, sender: str, message_id: str, content: str) -> httpx.Response:
    body, headers = signed_message(sender, message_id, content)
    return await api.http.post(f"/webhooks/messages/{hotel}", content=body, headers=headers)


async def _waiting(stack: Stack) -> int:
    return len(await stack.rows("SELECT id FROM spool"))


async def _left(stack: Stack, count: int) -> None:
    async def look() -> bool:
        return await _waiting(stack) == count

    await eventually(look, what=f"{count} to wait, and no more")


async def _said(guest: Guest) -> list[str]:
    return [each.content for each in await guest.messages() if each.author is Author.GUEST]


async def _says(guest: Guest, words: list[str]) -> None:
    async def look() -> bool:
        return await _said(guest) == words

    await eventually(look, what=f"{words} to have been said")


@asynccontextmanager
async def nobody_hands_over(database: Database) -> AsyncIterator[None]:
    """As while another process does."""
    async with database.begin() as connection:
        got = await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('gateway_spool'))"))
        assert got.rowcount == 1
        yield


async def test_what_storage_cannot_keep_of_a_mail_holds_nobody_up(
    without_temporal: Settings, smtp: FakeSmtp, hotel: str, stack: Stack
) -> None:
    without_temporal.channels.email = smtp_settings = stack.settings.channels.email
    assert smtp_settings.postmark_secret is not None
    async with running_api(without_temporal) as away:
        mail = await away.http.post(
            f"/webhooks/email/postmark/{hotel}",
            json={"From": "ana@guest.test", "To": HOTEL_ADDRESS, "TextBody": "a\0b", "Headers": []},
            auth=("gateway", smtp_settings.postmark_secret.get_secret_value()),
        )
        other = await _post(away, hotel, "ben", "m1", "Hello")
    assert (mail.status_code, other.status_code) == (200, 202)
    payloads = [str(row["payload"]) for row in await stack.rows("SELECT payload FROM spool ORDER BY position")]
    assert "ab" in payloads[0]


async def test_messages_are_taken_and_answered_in_their_order_when_temporal_is_back(
    without_temporal: Settings, stack: Stack, ai: FakeAI, callback: FakeCallback, hotel: str
) -> None:
    async with running_api(without_temporal) as away:
        for number in (1, 2, 2, 3):  # one comes twice
            answer = await _post(away, hotel, "guest-1", f"m-{number}", f"Question {number}?")
            assert (answer.status_code, answer.json()) == (202, {"messageId": f"m-{number}"})
        assert await _waiting(stack) == 3
    guest = stack.guest(adapter="messages", channel_type="sms", sender_id="guest-1")
    async with workers(stack.settings, stack.client), running_api(stack.settings) as back:
        await _left(stack, 0)
        assert (await _post(back, hotel, "guest-1", "m-4", "Question 4?")).status_code == 202
        for number in range(1, 5):
            assert (await guest.outcome(f"m-{number}")).outcome == "answered"
        assert await _said(guest) == [f"Question {number}?" for number in range(1, 5)]


async def test_what_comes_while_something_waits_is_put_behind_it(
    without_temporal: Settings, stack: Stack, database: Database, hotel: str
) -> None:
    first, second, later = (guest_message("ana", words) for words in ("First", "Second", "Later"))
    guest = stack.guest(sender_id="ana")
    async with running_api(stack.settings) as here:
        async with nobody_hands_over(database), running_api(without_temporal) as away:
            assert not await away.state.reception.receive(hotel, "webchat", first)

            async def has_heard() -> bool:
                return not await here.state.reception.receive(hotel, "webchat", guest_message("others", "Hello"))

            await eventually(has_heard, what="this process to hear that something waits")
            assert not await here.state.reception.receive(hotel, "webchat", second)
            assert await _waiting(stack) == 3
        await _left(stack, 0)

        async def goes_straight() -> bool:
            return await here.state.reception.receive(hotel, "webchat", later)

        await eventually(goes_straight, what="messages to go straight to their conversations again")
    async with workers(stack.settings, stack.client):
        await guest.outcome(later.id)
        assert await _said(guest) == ["First", "Second", "Later"]


async def test_with_postgresql_away_as_well_nothing_is_acknowledged(without_temporal: Settings, hotel: str) -> None:
    without_temporal.database.url = "postgresql://nobody@127.0.0.1:1/nothing"
    async with running_api(without_temporal) as away:
        refused = await _post(away, hotel, "guest-1", "m-1", "Hello?")
        assert problem(refused) == (503, "unavailable")
        assert int(refused.headers["retry-after"]) > 0


async def test_a_report_of_failure_waits_too(without_temporal: Settings, stack: Stack, ai: FakeAI, hotel: str) -> None:
    guest = stack.guest()
    async with workers(stack.settings, stack.client):
        await guest.ask("Hello?")
        conversation = await guest.conversation()
        sent = await stack.conversations.reply(reply(conversation, "Good evening"))
        failure = DeliveryFailure(
            conversation_id=conversation.conversation_id, message_id=sent.id, reason="the number is gone"
        )
        async with running_api(without_temporal) as away:
            await away.state.reception.delivery_failed(hotel, failure)
            assert await _waiting(stack) == 1
        async with running_api(stack.settings):

            async def failed() -> bool:
                states = {each.id: each.delivery.state for each in await guest.messages()}
                return states[sent.id] is DeliveryState.FAILED

            await eventually(failed, what="the conversation to know")


async def test_files_are_ordered_when_their_message_is_handed_over(
    without_temporal: Settings, stack: Stack, hotel: str
) -> None:
    message = guest_message("351910000001", "Look", adapter="whatsapp", attachments=[PHOTO])
    async with running_api(without_temporal) as away:
        assert not await away.state.reception.receive(hotel, "whatsapp", message)
    async with workers(stack.settings, stack.client), running_api(stack.settings):
        guest = stack.guest(adapter="whatsapp", channel_type="whatsapp", sender_id="351910000001")
        await _left(stack, 0)
        await guest.outcome(message.id)
        [said] = [each for each in await guest.messages() if each.author is Author.GUEST]
        assert [own_media_id(each.url) is not None for each in said.attachments] == [True]


@pytest.mark.parametrize("lasting", [False, True])
async def test_one_that_cannot_be_handed_over_holds_up_nobody_else(
    without_temporal: Settings, stack: Stack, hotel: str, monkeypatch: pytest.MonkeyPatch, lasting: bool
) -> None:
    """A fault of ours becomes a matter of staff; where Temporal refuses, it is tried again."""
    bad, also_bad, good = guest_message("ana", "One"), guest_message("ana", "Two"), guest_message("ben", "Three")
    async with running_api(without_temporal) as away:
        for each in (bad, also_bad, good):
            await away.state.reception.receive(hotel, "webchat", each)
    as_it_is, broken = Conversations.receive, True

    async def receive(
        self: Conversations, property_id: str, channel_type: str, message: GuestMessage, **key: str
    ) -> None:
        if broken and message.id == bad.id:
            if lasting:
                raise ZeroDivisionError
            raise Unavailable("too large, say")
        await as_it_is(self, property_id, channel_type, message, **key)  # type: ignore[arg-type]

    monkeypatch.setattr(Conversations, "receive", receive)
    ana, ben = (stack.guest(sender_id=sender) for sender in ("ana", "ben"))
    async with workers(stack.settings, stack.client), running_api(stack.settings) as back:
        await _left(stack, 0 if lasting else 2)
        await ben.outcome(good.id)
        if lasting:
            await ana.outcome(also_bad.id)
            person = await back.person(hotel, role="manager")
            [kept] = (await person.http.get("/api/v1/quarantine", params={"property": hotel})).json()["items"]
            assert (kept["adapter"], kept["reason"]) == (
                "spool",
                "This could not be given to a conversation: ZeroDivisionError",
            )
            broken = False
            retried = (await person.http.post(f"/api/v1/quarantine/{kept['id']}/retry")).json()
            assert retried["handledAt"] is not None
            await ana.outcome(bad.id)
        else:
            assert await _waiting(stack) == 2, "the second does not go before the first"
            broken = False
            await _left(stack, 0)
            await ana.outcome(also_bad.id)
            assert await _said(ana) == ["One", "Two"]


async def test_a_message_whose_process_died_as_it_was_handed_over_is_handled_once(
    without_temporal: Settings, stack: Stack, database: Database, ai: FakeAI, hotel: str
) -> None:
    message = guest_message("ana", "Is there a pool?")
    async with running_api(without_temporal) as away:
        await away.state.reception.receive(hotel, "webchat", message)
    guest = stack.guest(sender_id="ana")
    async with workers(stack.settings, stack.client):
        await stack.conversations.receive(hotel, "webchat", message)  # and then it died
        await guest.outcome(message.id)
        async with running_api(stack.settings):
            await _left(stack, 0)
        assert await _said(guest) == ["Is there a pool?"]
        assert len(ai.requests) == 1


async def test_a_server_of_temporals_that_is_killed_and_comes_back(
    settings: Settings, tmp_path: Path, database: Database, ai: FakeAI, callback: FakeCallback, hotel: str
) -> None:
    """The same processes go on; nobody starts anything but Temporal anew."""
    async with TemporalServer(tmp_path / "temporal") as temporal:
        settings.temporal.address = temporal.address
        client = await connect(settings, lazy=False)
        stack = Stack(settings, client, Conversations(client, settings), hotel, database)
        guest = stack.guest(adapter="messages", channel_type="sms", sender_id="guest-1")
        async with workers(settings, client), running_api(settings) as api:
            assert (await _post(api, hotel, "guest-1", "m-0", "Question 0?")).status_code == 202
            await guest.outcome("m-0")
            await temporal.kill()
            for number in range(1, 6):
                assert (await _post(api, hotel, "guest-1", f"m-{number}", f"Question {number}?")).status_code == 202
            assert await _waiting(stack) == 5
            await temporal.start()
            for number in range(1, 6):
                assert (await guest.outcome(f"m-{number}")).outcome == "answered"
            assert await _said(guest) == [f"Question {number}?" for number in range(6)]


async def test_what_waits_of_a_guest_is_exported_and_erased(
    working: None, stack: Stack, database: Database, api: Api, hotel: str
) -> None:
    guest = stack.guest(adapter="messages", channel_type="sms", sender_id="+15550001111")
    await guest.ask("Hello?")
    await stack.conversations.resolve(command(await guest.conversation()))
    await guest.handle.result()  # until then it may tell more, its summary for one
    await stack.stored(conversation := await guest.conversation())
    manager = await api.person(hotel, role="manager")
    path = f"/api/v1/guests/{conversation.guest_id}"
    message = guest_message(guest.sender_id, "I lost my umbrella", adapter="messages")
    waiting = WaitingMessage(property_id=hotel, channel_type="sms", contact_key=guest.contact_key, message=message)
    async with nobody_hands_over(database):
        await Spool(database, database).add(waiting)
        [kept] = (await manager.http.post(f"{path}/export")).json()["spool"]
        assert kept["payload"]["message"]["content"] == "I lost my umbrella"
        erased = await manager.http.delete(path)
        assert erased.status_code == 200, erased.text
        assert await _waiting(stack) == 0


async def test_what_a_newer_release_put_there_is_left_to_it_and_holds_up_nobody_else(
    without_temporal: Settings, stack: Stack, database: Database, hotel: str
) -> None:
    ana, ben = (stack.guest(sender_id=sender) for sender in ("ana", "ben"))
    async with database.begin() as connection:
        row = "INSERT INTO spool (id, contact_key, payload, at) VALUES ('x', :key, '{\"kind\": \"tomorrow\"}', now())"
        await connection.execute(text(row), {"key": ana.contact_key})
    async with running_api(without_temporal) as away:
        for sender in ("ana", "ben"):
            await away.state.reception.receive(hotel, "webchat", guest_message(sender, "Hello?"))
    async with workers(stack.settings, stack.client), running_api(stack.settings):
        await _left(stack, 2)
        await _says(ben, ["Hello?"])
        rows = await stack.rows("SELECT DISTINCT contact_key FROM spool")
        assert rows == [{"contact_key": ana.contact_key}], "her message goes after what came before it"


async def test_a_process_with_a_namespace_that_is_not_there_loses_nothing(stack: Stack, hotel: str) -> None:
    wrong = stack.settings.model_copy(deep=True)
    wrong.temporal.namespace = "nowhere"
    async with running_api(wrong) as away:
        assert not await away.state.reception.receive(hotel, "webchat", guest_message("ana", "Hello?"))
        key = stack.guest(sender_id="ana").contact_key
        failure = DeliveryFailure(conversation_id=f"{key}-00000000", message_id="m-1", reason="the number is gone")
        await away.state.reception.delivery_failed(hotel, failure)
        assert await _waiting(stack) == 2
    async with workers(stack.settings, stack.client), running_api(stack.settings):
        await _left(stack, 0)
        await _says(stack.guest(sender_id="ana"), ["Hello?"])


async def test_a_storage_that_only_reads_is_as_good_as_away(
    tmp_path: Path, without_temporal: Settings, hotel: str
) -> None:
    async with PostgresServer(tmp_path) as server:
        without_temporal.database.url = server.url
        database = Database(without_temporal.database)
        await database.migrate()
        async with running_api(without_temporal) as away:
            await _only_reads(database, away, "on")
            assert problem(await _post(away, hotel, "guest-1", "m-1", "Hello?")) == (503, "unavailable")
            await _only_reads(database, away, "off")

            async def taken() -> bool:  # after a moment in which nobody asks it
                return (await _post(away, hotel, "guest-1", "m-1", "Hello?")).status_code == 202

            await eventually(taken, what="the storage to be used again")
        await database.close()


async def _only_reads(database: Database, api: Api, setting: str) -> None:
    async with database.begin() as connection:
        await connection.execute(text("SET TRANSACTION READ WRITE"))
        await connection.execute(text(f"ALTER DATABASE postgres SET default_transaction_read_only = {setting}"))
    await api.state.database.close()  # it takes connections anew
