"""Asking a guest how the help was: who is asked, what is taken for an answer, and what becomes of a lost question."""

from datetime import timedelta

import pytest

from contracts.commands import DeliveryFailure, Opening
from contracts.conversations import ConversationState
from contracts.messages import Attachment, Author, DeliveryState, GuestMessage
from contracts.rules import ConversationPolicy, SurveyRules, SurveyWords
from tests.records import (
    ANA,
    CONVERSATION_ID,
    NOW,
    a_command,
    a_message,
    a_record,
    a_reply,
    a_result,
    an_answer,
    arrived,
    happened,
    outcomes,
)
from workflows import promises, surveys, transitions
from workflows.policy import after_answer
from workflows.record import Record
from workflows.transitions.sending import OVERTAKEN

NEW, ACTIVE, ESCALATED, RESOLVED = ConversationState
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
RULES = SurveyRules()
LATER = NOW + HOUR


def _answered(rules: SurveyRules | None = RULES, *, adapter: str = transitions.WEBCHAT) -> Record:
    """A conversation in which the AI has answered, and the answer has left."""
    record = a_record(adapter=adapter, policy=ConversationPolicy(survey=rules, summaries=False))
    queue = arrived(record, a_message(adapter=adapter))
    transitions.conclude(record, queue, after_answer(record.policy, an_answer()), "r-1", NOW)
    transitions.sent(record, record.sends[0], a_result("r-1"), NOW)
    return record


def _resolved(record: Record, reason: str | None = None) -> Record:
    transitions.resolve(record, a_command(reason=reason), NOW)
    if record.asking.due:
        transitions.ask_for_rating(record, NOW)
    return record


def _asked(rules: SurveyRules | None = RULES, *, adapter: str = transitions.WEBCHAT) -> Record:
    """The same, resolved; the question has left."""
    record = _resolved(_answered(rules, adapter=adapter))
    (question,) = record.sends
    transitions.attempt(record, question, NOW)
    transitions.sent(record, question, a_result(question.message.id), NOW)
    return record


def _says(
    record: Record, content: str, message_id: str = "g-2", *, after: timedelta = MINUTE, **more: object
) -> GuestMessage:
    message = a_message(message_id, content, adapter=record.route.adapter, sent_at=NOW + after, received_at=NOW + after)
    message = message.model_copy(update=more)
    transitions.receive(record, message, NOW + after)
    return message


def _last_words(record: Record) -> str:
    return record.window[-1].content


# --- who is asked ----------------------------------------------------------------------------------------------------


def test_a_guest_is_asked_once_when_the_conversation_is_resolved() -> None:
    record = _asked()
    asked = record.window[-1]
    assert (asked.author, asked.content) == (Author.SYSTEM, surveys.WORDS["en"][0])
    survey = record.conversation.survey
    assert survey is not None
    assert (survey.message_id, survey.asked_at, survey.until) == (asked.id, NOW, NOW + DAY)
    assert happened(record)[-3:] == ["resolved", "message", "surveyed"]
    assert not record.asking.due
    transitions.ask_for_rating(record, NOW)
    assert happened(record)[-1] == "surveyed"
    assert len([each for each in record.window if each.author is Author.SYSTEM]) == 1


@pytest.mark.parametrize(("asked_before", "due"), [(None, True), (timedelta(0), True), (MINUTE, False)])
def test_a_guest_is_asked_when_the_ais_conversation_closes_by_itself(asked_before: timedelta | None, due: bool) -> None:
    record = _answered()
    closes = NOW + record.policy.idle_timeout
    if asked_before is not None:
        record.asking.asked_before = closes - RULES.pause + asked_before
    promises.fall_due(record, closes)
    assert (record.state, record.asking.due) == (RESOLVED, due)


def _without_rules(record: Record) -> None:
    record.policy.survey = None


def _opted_out(record: Record) -> None:
    record.opted_out = True


def _window_closed(record: Record) -> None:
    record.route.free_text_until = NOW - MINUTE


def _written_again(record: Record) -> None:
    record.looked_up = False
    transitions.receive(record, a_message("g-2"), NOW)


def _asked_lately(record: Record) -> None:
    record.asking.asked_before = NOW - RULES.pause + MINUTE


@pytest.mark.parametrize("change", [_without_rules, _opted_out, _window_closed, _written_again, _asked_lately])
def test_who_is_not_asked(change: object) -> None:
    record = _answered()
    assert callable(change)
    change(record)
    assert not _resolved(record).sends
    assert record.conversation.survey is None


@pytest.mark.parametrize(
    ("reason", "asked"), [("Spam", False), ("this is SPAM again", False), ("junk", False), ("All well", True)]
)
def test_no_guest_is_not_asked(reason: str, asked: bool) -> None:
    assert bool(_resolved(_answered(), reason).sends) is asked


def test_a_guest_who_was_asked_long_ago_is_asked() -> None:
    record = _answered()
    record.asking.asked_before = NOW - RULES.pause
    assert _resolved(record).sends


def test_a_guest_whom_nobody_answered_is_not_asked() -> None:
    for said in ((), ("A note",)):
        record = a_record(policy=ConversationPolicy(survey=RULES))
        arrived(record, a_message())
        transitions.escalate(record, a_command(), NOW)
        for words in said:
            transitions.reply(record, a_reply(content=words, private=True), NOW)
        assert not _resolved(record).asking.due
        assert not record.sends


def test_a_guest_whom_a_person_answered_is_asked() -> None:
    record = a_record(policy=ConversationPolicy(survey=RULES))
    arrived(record, a_message())
    transitions.reply(record, a_reply(), NOW)
    assert [send.message.author for send in _resolved(record).sends] == [Author.STAFF, Author.SYSTEM]


def test_an_escalated_conversation_that_nobody_cares_for_asks_nothing() -> None:
    record = a_record(policy=ConversationPolicy(survey=RULES))
    arrived(record, a_message())
    transitions.reply(record, a_reply(), NOW)
    transitions.sent(record, record.sends[0], a_result("s-1"), NOW)
    promises.fall_due(record, NOW + record.policy.escalated_timeout)
    assert (record.state, record.asking.due) == (RESOLVED, False)


def test_a_message_that_waits_opens_the_conversation_instead() -> None:
    record = _answered()
    _says(record, "One more thing")
    transitions.resolve(record, a_command(), LATER)
    assert (record.state, record.asking.due) == (ACTIVE, False)


def test_who_writes_on_before_being_asked_is_not_asked() -> None:
    record = _answered()
    transitions.resolve(record, a_command(), NOW)
    assert record.asking.due
    _says(record, "One more thing")
    assert not record.asking.due
    transitions.ask_for_rating(record, LATER)
    assert record.conversation.survey is None


# --- words -----------------------------------------------------------------------------------------------------------

HOTEL = {"pt": SurveyWords(question="Gostou?"), "nl": SurveyWords(question="Hoe was het?", thanks="Dank u")}


@pytest.mark.parametrize(
    ("language", "rules", "question", "thanks"),
    [
        (None, RULES, *surveys.WORDS["en"]),
        ("de", RULES, *surveys.WORDS["de"]),
        ("pt-BR", RULES, *surveys.WORDS["pt"]),
        ("FR", RULES, *surveys.WORDS["fr"]),
        ("ja", RULES, *surveys.WORDS["en"]),
        ("ja", SurveyRules(language="it"), *surveys.WORDS["it"]),
        (None, SurveyRules(language="es"), *surveys.WORDS["es"]),
        ("pt", SurveyRules(words=HOTEL), "Gostou?", surveys.WORDS["pt"][1]),
        ("nl", SurveyRules(words=HOTEL), "Hoe was het?", "Dank u"),
        ("ja", SurveyRules(language="xx"), *surveys.WORDS["en"]),
    ],
)
def test_a_guest_is_asked_and_thanked_in_their_language(
    language: str | None, rules: SurveyRules, question: str, thanks: str
) -> None:
    record = _answered(rules)
    record.profile.language = language
    assert _resolved(record).sends[0].message.content == question
    transitions.attempt(record, record.sends[0], NOW)
    _says(record, "5")
    assert _last_words(record) == thanks


# --- answers ---------------------------------------------------------------------------------------------------------


def test_a_rating_is_kept_and_thanked_for_and_opens_nothing() -> None:
    record = _asked()
    unread = record.conversation.unread
    _says(record, "5/5")
    conversation = record.conversation
    assert (conversation.rating, conversation.rated_at, conversation.state) == (5, NOW + MINUTE, RESOLVED)
    assert (conversation.unread, record.queue) == (unread, [])
    assert happened(record)[-3:] == ["message", "rated", "message"]
    assert _last_words(record) == surveys.WORDS["en"][1]
    assert outcomes(record)["g-2"] == ("rated", record.window[-1].id)


def test_a_second_rating_replaces_the_first_quietly() -> None:
    record = _asked()
    _says(record, "2")
    _says(record, "4", "g-3", after=HOUR)
    assert (record.conversation.rating, record.conversation.rated_at) == (4, NOW + HOUR)
    assert happened(record)[-2:] == ["message", "rated"]
    assert outcomes(record)["g-3"] == ("rated", None)


def test_a_repeat_of_a_rating_changes_nothing() -> None:
    record = _asked()
    message = _says(record, "2")
    before = record.model_copy(deep=True)
    transitions.receive(record, message, LATER)
    assert record == before


@pytest.mark.parametrize("content", ["Thank you", "5 towels, please", "0", "6"])
def test_anything_else_opens_the_conversation_and_is_answered(content: str) -> None:
    record = _asked()
    _says(record, content)
    assert (record.state, record.conversation.rating, len(record.queue)) == (ACTIVE, None, 1)
    assert record.conversation.for_guest().survey is None


@pytest.mark.parametrize(("after", "rated"), [(DAY - timedelta(microseconds=1), True), (DAY, False)])
def test_a_rating_comes_within_the_window(after: timedelta, rated: bool) -> None:
    record = _asked()
    _says(record, "5", after=after)
    assert (record.conversation.rating == 5, record.state is RESOLVED) == (rated, rated)


def test_a_number_with_a_file_is_no_rating() -> None:
    record = _asked()
    _says(record, "5", attachments=[Attachment(id="a", name="a.png", content_type="image/png", url="/a")])
    assert (record.state, record.conversation.rating) == (ACTIVE, None)


@pytest.mark.parametrize(("before", "rated"), [(MINUTE, True), (MINUTE + timedelta(seconds=1), False)])
def test_a_number_from_before_the_question_is_no_answer_to_it(before: timedelta, rated: bool) -> None:
    record = _asked()
    _says(record, "2", sent_at=NOW - before)
    assert (record.conversation.rating == 2) is rated


@pytest.mark.parametrize(("under_way", "rated"), [(False, False), (True, True)])
def test_a_question_that_has_not_left_has_no_answer(under_way: bool, rated: bool) -> None:
    record = _resolved(_answered())
    if under_way:
        transitions.attempt(record, record.sends[0], NOW)
    _says(record, "5")
    assert (record.conversation.rating == 5) is rated


@pytest.mark.parametrize(("why", "value"), [("suppressed", "Automatic mail"), ("opts", "out")])
def test_what_nobody_may_answer_is_no_rating(why: str, value: str) -> None:
    record = _asked()
    _says(record, "5", **{why: value})  # type: ignore[arg-type]
    assert record.conversation.rating is None
    assert outcomes(record)["g-2"] == ("suppressed", None)


def test_a_rating_while_nobody_asked_is_an_ordinary_message() -> None:
    record = _resolved(_answered(None))
    _says(record, "5")
    assert (record.state, record.conversation.rating) == (ACTIVE, None)


def test_who_writes_on_may_rate_after_all_and_is_not_asked_again() -> None:
    record = _asked()
    _says(record, "One more thing")
    _says(record, "5", "g-3", after=2 * MINUTE)
    assert "rated" not in happened(record)  # a number in a conversation that goes on is no rating
    record.queue = []
    transitions.resolve(record, a_command(), LATER)
    assert not record.asking.due
    _says(record, "5", "g-4", after=2 * HOUR)
    assert (record.conversation.rating, record.state) == (5, RESOLVED)


def test_a_rating_stays_when_the_conversation_goes_on() -> None:
    record = _asked()
    _says(record, "5")
    _says(record, "Is the bar open?", "g-3", after=HOUR)
    assert (record.state, record.conversation.rating) == (ACTIVE, 5)


def test_the_conversation_waits_for_its_rating() -> None:
    record = _asked()
    deadline = promises.next_deadline(record, NOW)
    assert deadline is not None
    assert deadline.at == NOW + DAY
    assert not promises.window_is_over(record, NOW + DAY - timedelta(microseconds=1))
    assert promises.window_is_over(record, NOW + DAY)
    record.policy.resolved_window = 2 * DAY
    assert not promises.window_is_over(record, NOW + DAY)


# --- a question that is lost -----------------------------------------------------------------------------------------


def test_a_question_that_a_guest_was_faster_than_is_not_sent() -> None:
    record = _resolved(_answered())
    question = record.sends[0]
    _says(record, "One more thing")
    assert not transitions.may_send(record, question)
    transitions.withdraw(record, question, NOW + MINUTE)
    assert (record.sends, record.conversation.survey, record.state) == ([], None, ACTIVE)
    lost = record.message(question.message.id)
    assert lost is not None
    assert (lost.delivery.state, lost.delivery.reason) == (DeliveryState.FAILED, OVERTAKEN)


def test_a_question_that_the_channel_takes_no_more_is_given_up_quietly() -> None:
    record = _resolved(_answered(adapter="messages"))
    record.route.free_text_until = NOW - MINUTE
    assert transitions.hold_back(record, record.sends[0], NOW)
    assert (record.sends, record.conversation.survey) == ([], None)
    assert "delivery_failed" not in happened(record)


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_question_that_is_refused_brings_no_person(goes_on: bool) -> None:
    record = _resolved(_answered(adapter="messages"))
    question = record.sends[0]
    transitions.attempt(record, question, NOW)
    if goes_on:
        _says(record, "One more thing")
    transitions.sent(record, question, a_result(question.message.id, "failed", reason="unreachable"), NOW + MINUTE)
    assert record.conversation.survey is None
    assert record.state is (ACTIVE if goes_on else RESOLVED)


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_question_that_a_provider_lost_brings_no_person(goes_on: bool) -> None:
    record = _asked(adapter="messages")
    question = record.window[-1].id
    if goes_on:
        _says(record, "One more thing")
    failure = DeliveryFailure(conversation_id=CONVERSATION_ID, message_id=question, reason="unreachable")
    transitions.delivery_failed(record, failure, LATER)
    assert record.conversation.survey is None
    assert record.state is (ACTIVE if goes_on else RESOLVED)


def test_who_opts_out_is_not_asked_any_more() -> None:
    record = _resolved(_answered())
    _says(record, "STOP", opts="out")
    assert (record.sends, record.conversation.survey, record.state) == ([], None, RESOLVED)


# --- staff -----------------------------------------------------------------------------------------------------------


def test_staff_may_write_to_who_is_asked() -> None:
    record = _asked()
    opening = Opening(by=ANA, message_id="o-1", content="Your umbrella is here", guest_name="Somebody")
    for _ in range(2):
        transitions.open_conversation(record, opening, LATER)
    assert (record.state, record.conversation.assigned_to) == (ESCALATED, ANA.id)
    assert (record.conversation.guest_name, _last_words(record)) == (None, "Your umbrella is here")
    assert happened(record)[-4:] == ["reopened", "escalated", "claimed", "message"]
    assert record.wait is None
