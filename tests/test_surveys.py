"""Guests are asked how the help was, on real servers: workflow, REST, sockets, reports, exports."""

from datetime import timedelta
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from contracts.conversations import Conversation, ConversationState
from contracts.messages import Author, ChannelType, DeliveryState, GuestMessage, Message, Route
from settings import Property, Settings, Survey
from tests.api import Api, Person, problem
from tests.fakes.ai import FakeAI
from tests.fakes.callback import FakeCallback
from tests.live import guest as chatting
from tests.live import of_type, staff
from tests.support import Guest, Stack, command, eventually, workers
from workflows.rules import conversation_policy
from workflows.surveys import WORDS

Skipping = tuple[Stack, WorkflowEnvironment]
QUESTION, THANKS = WORDS["en"]
RESOLVED = ConversationState.RESOLVED
HOUR = timedelta(hours=1)


@pytest.fixture
def asking(skipping: Skipping) -> Skipping:
    """The stack on a server whose time is skipped; its hotel asks for ratings."""
    skipping[0].settings.properties[skipping[0].hotel].survey.enabled = True
    return skipping


async def _question_has_left(guest: Guest) -> None:
    async def left() -> bool:
        sent = DeliveryState.SENT
        return any(each.content == QUESTION and each.delivery.state is sent for each in await guest.messages())

    await eventually(left, what="the question to leave")


class Writer:
    """A guest whose messages carry the time of the server, which is skipped."""

    def __init__(self, asking: Skipping, adapter: str = "webchat", channel: ChannelType = "webchat") -> None:
        self.stack, self._environment = asking
        self.guest: Guest = self.stack.guest(adapter=adapter, channel_type=channel)
        self._written = 0

    async def says(self, content: str, **more: Any) -> tuple[str, str | None]:
        """What became of it, and the reply's id."""
        now = await self._environment.get_current_time()
        self._written += 1
        route = Route(
            adapter=self.guest.adapter,
            channel_id=self.stack.hotel,
            sender_id=self.guest.sender_id,
            free_text_until=more.pop("free_text_until", None),
        )
        message = GuestMessage(
            id=f"{self.guest.sender_id}-{self._written}",
            route=route,
            content=content,
            sent_at=now,
            received_at=now,
            **more,
        )
        await self.stack.conversations.receive(self.stack.hotel, self.guest.channel_type, message)
        outcome = await self.guest.outcome(message.id)
        return outcome.outcome, outcome.reply_id

    async def resolved(self) -> Conversation:
        conversation = await self.guest.conversation()
        await self.stack.conversations.resolve(command(conversation))
        return conversation

    async def asked(self) -> Conversation:
        """Resolved, and the question has left."""
        await self.resolved()
        await _question_has_left(self.guest)
        return await self.guest.conversation()

    async def messages(self) -> list[Message]:
        return await self.guest.messages()

    async def questions(self) -> int:
        """How often the contact was asked, in all its conversations."""
        rows = await self.stack.rows(
            "SELECT count(*) AS n FROM messages WHERE contact_key = :key AND content = :question",
            key=self.guest.contact_key,
            question=QUESTION,
        )
        (count,) = (row["n"] for row in rows)
        assert isinstance(count, int)
        return count


async def test_a_guest_is_asked_and_rates_and_the_conversation_ends_with_its_window(asking: Skipping) -> None:
    guest = Writer(asking)
    await guest.says("Hello?")
    asked = await guest.asked()
    assert (asked.state, asked.rating) == (RESOLVED, None)
    outcome, reply_id = await guest.says("5")
    assert outcome == "rated"
    assert reply_id is not None
    assert (await guest.says("four stars")) == ("rated", None)
    conversation = await guest.guest.conversation()
    assert (conversation.conversation_id, conversation.state) == (asked.conversation_id, RESOLVED)
    assert conversation.rating == 4
    said = [(each.author, each.content) for each in await guest.messages()]
    assert said[-4:] == [
        (Author.SYSTEM, QUESTION),
        (Author.GUEST, "5"),
        (Author.SYSTEM, THANKS),
        (Author.GUEST, "four stars"),
    ]
    await asking[1].sleep(timedelta(hours=25))
    await guest.guest.handle.result()
    assert await guest.questions() == 1


async def test_a_rating_after_the_window_is_an_ordinary_message_of_a_new_conversation(asking: Skipping) -> None:
    guest = Writer(asking)
    await guest.says("Hello?")
    before = await guest.asked()
    await asking[1].sleep(timedelta(hours=25))
    await guest.guest.handle.result()
    assert (await guest.says("5"))[0] == "answered"
    after = await guest.guest.conversation()
    assert (after.rating, after.previous_conversation_id) == (None, before.conversation_id)


async def test_other_words_open_the_conversation_again_and_nobody_is_asked_twice(asking: Skipping) -> None:
    guest = Writer(asking)
    await guest.says("Hello?")
    asked = await guest.asked()
    await asking[1].sleep(HOUR)
    assert (await guest.says("One more thing"))[0] == "answered"
    again = await guest.guest.conversation()
    assert (again.conversation_id, again.state) == (asked.conversation_id, ConversationState.ACTIVE)
    await guest.resolved()
    assert (await guest.says("3"))[0] == "rated"
    await asking[1].sleep(timedelta(hours=25))
    await guest.guest.handle.result()
    assert await guest.questions() == 1


async def test_a_contact_is_asked_again_after_a_while(asking: Skipping) -> None:
    guest = Writer(asking)
    for days, questions in ((2, 1), (6, 1), (0, 2)):
        await guest.says("Hello?")
        await guest.resolved()
        await asking[1].sleep(timedelta(hours=25))
        await guest.guest.handle.result()
        assert await guest.questions() == questions
        await asking[1].sleep(timedelta(days=days))


async def test_the_ais_conversation_asks_when_it_closes_by_itself(asking: Skipping) -> None:
    guest = Writer(asking)
    await guest.says("Hello?")
    await asking[1].sleep(timedelta(hours=25))
    await _question_has_left(guest.guest)
    assert (await guest.guest.conversation()).state is RESOLVED
    assert (await guest.says("2"))[0] == "rated"


async def test_who_has_opted_out_is_not_asked(asking: Skipping) -> None:
    guest = Writer(asking, "messages", "sms")
    await guest.says("Hello?")
    await guest.says("STOP", opts="out")
    await guest.resolved()
    await guest.guest.handle.result()
    assert await guest.questions() == 0


async def test_nobody_is_asked_whom_the_channel_takes_no_free_text_for(
    asking: Skipping, callback: FakeCallback
) -> None:
    guest = Writer(asking, "messages", "whatsapp")
    now = await asking[1].get_current_time()
    await guest.says("Hello?", free_text_until=now + timedelta(hours=6))
    await asking[1].sleep(timedelta(hours=25))
    await guest.guest.handle.result()
    assert await guest.questions() == 0
    assert [each.content for each in callback.received.values()] == ["Answer to Hello?"]


async def test_a_guest_is_asked_before_the_channel_takes_no_free_text_any_more(
    asking: Skipping, callback: FakeCallback
) -> None:
    """As WhatsApp does: a day after the guest wrote last, which is when the conversation would be idle."""
    guest = Writer(asking, "messages", "whatsapp")
    now = await asking[1].get_current_time()
    await guest.says("Hello?", free_text_until=now + timedelta(hours=24))
    await guest.asked()
    assert await asking[1].get_current_time() < now + timedelta(hours=24)
    assert [each.content for each in callback.received.values()] == ["Answer to Hello?", QUESTION]


async def test_a_question_waits_for_its_channel_like_any_reply(asking: Skipping, callback: FakeCallback) -> None:
    guest = Writer(asking, "messages", "sms")
    callback.status = lambda message: 503 if len(callback.attempts) in (2, 3) else 200
    await guest.says("Hello?")
    asked = await guest.asked()
    assert [each.content for each in callback.received.values()] == ["Answer to Hello?", QUESTION]
    assert asked.state is RESOLVED
    assert (await guest.says("5"))[0] == "rated"


# --- without the question, and rules of properties -------------------------------------------------------------------


async def test_nobody_is_asked_unless_the_hotel_wants_it(working: None, stack: Stack, guest: Guest) -> None:
    await guest.ask("Hello?")
    await stack.conversations.resolve(command(await guest.conversation()))
    await guest.handle.result()
    contents = await stack.rows("SELECT content FROM messages WHERE contact_key = :key", key=guest.contact_key)
    assert len(contents) == 2


def test_a_property_sets_its_own_over_the_shared_settings() -> None:
    settings = Settings()
    settings.conversation.survey = Survey(enabled=True, window=3_600_000, language="pt")
    settings.properties = {
        "quiet": Property(name="Quiet", survey=Survey(enabled=False)),
        "own": Property.model_validate({"name": "Own", "survey": {"words": {"pt": {"question": "Gostou?"}}}}),
    }
    assert conversation_policy(settings, "quiet", "sms").survey is None
    for hotel, question in (("own", "Gostou?"), ("another", None)):
        rules = conversation_policy(settings, hotel, "sms").survey
        assert rules is not None
        assert (rules.window, rules.pause, rules.language) == (HOUR, timedelta(days=7), "pt")
        assert (rules.words["pt"].question if question else None) == question


# --- what others see -------------------------------------------------------------------------------------------------


@pytest.fixture
async def rated(settings: Settings, hotel: str, stack: Stack, ai: FakeAI, api: Api) -> tuple[Guest, str]:
    """A guest whose conversation is over and rated, and its id."""
    settings.properties[hotel].survey = Survey(enabled=True)
    settings.properties[hotel].survey.window = 5_000
    guest = stack.guest()
    async with workers(stack.settings, stack.client):
        await guest.ask("When is breakfast?")
        conversation = await guest.conversation()
        await stack.conversations.resolve(command(conversation))
        await _question_has_left(guest)
        assert (await guest.ask("5")).outcome == "rated"
        await guest.handle.result()
    return guest, conversation.conversation_id


async def test_a_rating_stands_in_rest_reports_export_and_outlives_an_erasure_as_a_figure(
    rated: tuple[Guest, str], api: Api, hotel: str, stack: Stack
) -> None:
    _, conversation_id = rated
    manager = await api.person(hotel, role="manager")
    told = (await manager.http.get(f"/api/v1/conversations/{conversation_id}")).json()
    assert (told["rating"], told["state"]) == (5, "resolved")
    assert told["survey"]["askedAt"] < told["ratedAt"] < told["survey"]["until"]
    listed = (await manager.http.get("/api/v1/conversations")).json()["items"]
    assert [(each["conversationId"], each["rating"]) for each in listed] == [(conversation_id, 5)]
    outcomes = (await manager.http.get(f"/api/v1/conversations/{conversation_id}/outcomes")).json()["items"]
    assert [each["outcome"] for each in outcomes] == ["answered", "rated"]
    await _reported(manager)
    export = (await manager.http.post(f"/api/v1/guests/{told['guestId']}/export")).json()
    assert [each["snapshot"]["rating"] for each in export["conversations"]] == [5]
    assert "rated" in [each["change"] for each in export["events"]]
    erased = await manager.http.delete(f"/api/v1/guests/{told['guestId']}")
    assert erased.status_code == 200, erased.text
    for table in ("conversations", "messages", "outcomes", "log"):
        held = f"SELECT count(*) AS n FROM {table} WHERE CAST({table} AS text) LIKE :id"
        rows = await stack.rows(held, id=f"%{conversation_id}%")
        assert rows == [{"n": 0}], table
    await _reported(manager)


async def _reported(manager: Person) -> None:
    (row,) = (await manager.http.get("/api/v1/reports/conversations", params={"by": "channel"})).json()["items"]
    assert row["satisfaction"] == {"ratings": 1, "average": 5.0, "satisfied": 1.0}


async def test_staff_may_write_to_a_guest_who_is_asked(
    settings: Settings, hotel: str, working: None, stack: Stack, api: Api, guest: Guest
) -> None:
    settings.properties[hotel].survey = Survey(enabled=True)
    agent = await api.person(hotel)
    await guest.ask("Hello?")
    conversation = await guest.conversation()
    await stack.stored(conversation)
    body = {
        "propertyId": hotel,
        "channelType": "webchat",
        "recipientId": guest.sender_id,
        "content": "Your umbrella is here",
    }
    assert problem(await agent.http.post("/api/v1/conversations", json=body)) == (409, "already_open")
    await stack.conversations.resolve(command(conversation))
    await guest.reaches(lambda each: each.survey is not None, "the question")
    opened = await agent.http.post("/api/v1/conversations", json=body)
    assert opened.status_code == 201, opened.text
    told = opened.json()
    assert (told["conversationId"], told["state"]) == (conversation.conversation_id, "escalated")
    assert [each.content for each in await guest.messages()][-1] == "Your umbrella is here"


async def test_sockets_tell_of_the_question_and_of_the_rating(
    settings: Settings, hotel: str, working: None, stack: Stack, api: Api
) -> None:
    """With what the guest's page shows its buttons by: the question's id and until when, while nothing follows it."""
    settings.properties[hotel].survey = Survey(enabled=True)
    agent = await api.person(hotel)
    async with chatting(api.url, hotel) as visitor, staff(api.url, agent.token, hotel) as desk:
        await visitor.ask("send_message", {"content": "Hello?"})
        answer = await visitor.message("Answer to Hello?")
        conversation_id = answer["payload"]["conversationId"]
        await agent.http.post(f"/api/v1/conversations/{conversation_id}/resolve")
        question = await visitor.message(QUESTION)
        shown = await visitor.until(lambda frame: "survey" in frame["payload"].get("conversation", {}))
        assert shown["payload"]["conversation"]["survey"]["messageId"] == question["payload"]["message"]["id"]
        await visitor.ask("send_message", {"content": "4"})
        told = await visitor.until(lambda frame: "rating" in frame["payload"].get("conversation", {}))
        assert (told["payload"]["conversation"]["rating"], told["payload"]["conversation"]["state"]) == (4, "resolved")
        await visitor.message(THANKS)
        seen = await desk.until(lambda frame: "rating" in frame["payload"].get("conversation", {}))
        assert seen["payload"]["conversation"]["rating"] == 4
        await visitor.ask("send_message", {"content": "One more thing"})
        await visitor.message("Answer to One more thing")
        last = [frame for frame in visitor.frames if of_type("conversation_update")(frame)][-1]
        assert "survey" not in last["payload"]["conversation"]
