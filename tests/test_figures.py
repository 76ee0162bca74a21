"""What is counted for the day a conversation is resolved, row by row."""

from datetime import timedelta

import pytest

from contracts.conversations import Resolution
from contracts.messages import Author, DeliveryState
from tests.records import NOW, a_record
from workflows.figures import Figures

GUEST, AI, STAFF, SYSTEM = Author


def _figures(*said: tuple[Author, int]) -> Figures:
    """Who said something, and how many seconds after NOW."""
    record = a_record()
    for number, (author, seconds) in enumerate(said):
        at = NOW + timedelta(seconds=seconds)
        record.add_message(f"m-{number}", author, "Hello", at, delivery=DeliveryState.SENT)
    return record.figures


@pytest.mark.parametrize(
    ("said", "first_response", "first_person", "to_resolve"),
    [
        pytest.param([], None, None, None, id="nobody wrote"),
        pytest.param([(STAFF, 0)], None, None, None, id="staff wrote, the guest never did"),
        pytest.param([(GUEST, 10)], None, None, 90, id="nobody answered"),
        pytest.param([(GUEST, 10), (AI, 12)], 2, None, 90, id="the AI answered"),
        pytest.param([(GUEST, 10), (STAFF, 40)], 30, 30, 90, id="a person answered"),
        pytest.param([(GUEST, 10), (AI, 12), (STAFF, 40), (STAFF, 50)], 2, 30, 90, id="the AI, then a person"),
        pytest.param([(GUEST, 10), (SYSTEM, 11)], None, None, 90, id="a standing text is no response"),
        pytest.param([(GUEST, 10), (SYSTEM, 11), (STAFF, 40)], 30, 30, 90, id="a standing text, then a person"),
        pytest.param([(STAFF, 0), (GUEST, 10), (AI, 12)], 2, None, 90, id="staff wrote first: no response yet"),
        pytest.param([(GUEST, 10), (GUEST, 20), (AI, 22)], 12, None, 90, id="since the first message"),
        pytest.param([(GUEST, 10), (AI, 10)], 0, None, 90, id="at once"),
    ],
)
def test_durations(
    said: list[tuple[Author, int]],
    first_response: float | None,
    first_person: float | None,
    to_resolve: float | None,
) -> None:
    authors = [author for author, _ in said]
    assert _figures(*said).resolution(NOW + timedelta(seconds=100), "ana", "All well") == Resolution(
        reason="All well",
        by="ana",
        first_response_seconds=first_response,
        first_person_seconds=first_person,
        seconds_to_resolve=to_resolve,
        messages={author: authors.count(author) for author in authors},
    )


def test_notes_do_not_count() -> None:
    record = a_record()
    record.add_message("n-1", STAFF, "A nice guest", NOW, delivery=DeliveryState.SENT, private=True)
    assert record.figures == Figures()


def test_a_resolution_keeps_its_figures() -> None:
    figures = _figures((GUEST, 0))
    resolution = figures.resolution(NOW, None, "All well")
    figures.count(a_record().add_message("m", GUEST, "Hello", NOW, delivery=DeliveryState.SENT))
    assert (resolution.messages, figures.messages) == ({GUEST: 1}, {GUEST: 2})


def test_conversations_do_not_share_figures() -> None:
    _figures((GUEST, 0))
    assert a_record().figures.messages == {}
