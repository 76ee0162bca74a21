"""The summary that needs no model says what stands in the conversation, and nothing else."""

from datetime import UTC, datetime

from activities.ai.embedded import EmbeddedEngine
from activities.ai.library import Library
from activities.ai.summary import QUOTE_LENGTH, summary_of
from contracts.conversations import Conversation, ConversationState, Escalation, Resolution
from contracts.messages import AIInfo, Author, Delivery, DeliveryState, Message
from settings import Settings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_conversation(*, escalation: str | None = None, resolution: Resolution | None = None) -> Conversation:
    return Conversation(
        conversation_id="c",
        guest_id="g",
        property_id="seaview",
        state=ConversationState.RESOLVED,
        created_at=NOW,
        channel_type="webchat",
        escalation=Escalation(reason=escalation, at=NOW) if escalation else None,
        resolution=resolution,
        workflow_id="conversation-c",
    )


def said(author: Author, content: str, *, sources: list[str] | None = None, private: bool = False) -> Message:
    return Message(
        id=content,
        conversation_id="c",
        seq=1,
        author=author,
        author_name="Ana" if author is Author.STAFF else None,
        content=content,
        private=private,
        created_at=NOW,
        delivery=Delivery(state=DeliveryState.DELIVERED),
        ai=AIInfo(confidence=0.9, intent="breakfast", sources=sources) if sources is not None else None,
    )


def test_it_tells_who_asked_what_was_answered_and_what_a_person_did() -> None:
    messages = [
        said(Author.GUEST, "What time is breakfast?"),
        said(Author.AI, "From 7.", sources=["breakfast"]),
        said(Author.GUEST, "My booking is wrong"),
        said(Author.STAFF, "Do not tell: VIP", private=True),
        said(Author.STAFF, "I have corrected it."),
    ]
    assert summary_of(a_conversation(escalation="The AI is unsure."), messages) == (
        "The guest wrote 2 messages: “What time is breakfast?”, “My booking is wrong”. "
        "The AI answered once from the article breakfast. "
        "It was passed to the team: The AI is unsure. "
        "Ana replied: “I have corrected it.”."
    )


def test_unanswered_is_said() -> None:
    assert summary_of(a_conversation(), [said(Author.GUEST, "Hello?")]) == (
        "The guest wrote one message: “Hello?”. Nobody has answered yet."
    )


def test_where_no_guest_wrote_there_is_nothing_to_sum_up() -> None:
    assert summary_of(a_conversation(), [said(Author.STAFF, "Welcome")]) is None


def test_many_and_long_messages_stay_short_and_show_that_something_is_left_out() -> None:
    messages = [said(Author.GUEST, f"{number} {'word ' * 200}") for number in range(1, 10)]
    counted = Resolution(reason="done", messages={Author.GUEST: 40})
    summary = summary_of(a_conversation(resolution=counted), messages)
    assert summary is not None
    assert summary.startswith("The guest wrote 40 messages: “1 word")
    assert "…, “8 word" in summary
    assert "“3 word" not in summary
    assert len(summary) < 4 * QUOTE_LENGTH + 100


async def test_the_embedded_engine_gives_it() -> None:
    messages = [said(Author.GUEST, "Hello?")]
    assert await EmbeddedEngine(Library(Settings())).summarise(a_conversation(), messages) == (
        summary_of(a_conversation(), messages)
    )
