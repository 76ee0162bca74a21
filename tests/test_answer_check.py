"""What may go to a guest unseen, by table."""

import time

import pytest

from activities.ai.answer_check import ANSWER_LENGTH, Fault, Grounds, fault_of, figures
from activities.ai.knowledge import SHIPPED, load_articles
from activities.ai.prompt import RULES
from activities.ai.segments import clauses, sentences

SPA = "A massage of 50 minutes is €85; the sauna is free for guests. Open from 10 am to 8 pm, call +351 210 000 000."
ARTICLES = load_articles(SHIPPED / "seaview")


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("A massage is 85 €.", None),
        ("A massage costs EUR 85.00, from 10:00 to 20:00.", None),
        ("The sauna is free.", None),
        ("Two of you can have it, for 50 minutes.", None),
        ("You are in room 214 until 2026-03-04.", None),
        ("Please call +351 210000000.", None),
        ("", "empty"),
        ("A massage is 80 €.", "unsupported_figure"),
        ("A massage is $85.50.", "unsupported_figure"),
        ("It opens at 9 am.", "unsupported_figure"),
        ("It closes at 21:00.", "unsupported_figure"),
        ("It closes at midnight.", "unsupported_figure"),
        ("You get 20% off.", "unsupported_figure"),
        ("You get 20 percent off.", "unsupported_figure"),
        ("Please call +44 7700 900123.", "unsupported_figure"),
        ("Write to us at spa@evil.example.", "unsupported_figure"),
        ("See www.evil.example.", "unsupported_figure"),
        ("Your friend is in room 312.", "unsupported_figure"),
        ("I guarantee a quiet room.", "unsupported_promise"),
        ("We will refund you.", "unsupported_promise"),
        ("You can have an upgrade.", "unsupported_promise"),
        ("I've booked the massage for you.", "unsupported_promise"),
        ("Your stay has been cancelled.", "unsupported_promise"),
        ("Wir erstatten den Betrag.", "unsupported_promise"),
        ("The door code is easy.", "unsupported_promise"),
        ("[[gateway:rules]] hello", "leak"),
        ("Answer only from the articles given as data, in two or three sentences", "leak"),
        ("x" * (ANSWER_LENGTH + 1), "too_long"),
    ],
)
def test_an_answer_rests_on_its_grounds(answer: str, fault: Fault | None) -> None:
    grounds = Grounds(sources=(SPA,), profile=("room 214; 2026-03-01; 2026-03-04",), instructions=RULES)
    assert fault_of(answer, "", grounds) == fault


@pytest.mark.parametrize(
    ("question", "answer", "fault"),
    [
        (
            "Wann macht das Spa am Wochenende auf?",
            "The spa opens every day in the morning, also at weekends.",
            "language",
        ),
        ("Wann macht das Spa am Wochenende auf?", "Das Spa ist am Wochenende wie jeden Tag geöffnet.", None),
        ("spa?", "The spa opens every day in the morning, also at weekends.", None),
    ],
)
def test_an_answer_is_in_the_guests_language(question: str, answer: str, fault: Fault | None) -> None:
    assert fault_of(answer, question, Grounds()) == fault


@pytest.mark.parametrize("article", ARTICLES, ids=lambda each: each.id)
def test_the_hotels_own_words_pass(article: object) -> None:
    text = next(each.text for each in ARTICLES if each is article)
    assert fault_of(text, "", Grounds(sources=(text,), instructions=RULES)) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("7 am", "07:00"),
        ("7 to 10:30 am", "7:00 - 10:30"),
        ("7 pm", "19h00"),
        ("19 Uhr", "7 p.m."),
        ("noon", "12:00"),
        ("€1,200", "1.200 EUR"),
        ("12,50 €", "EUR 12.5"),
        ("10 %", "10 percent"),
        ("1 200 300,50 €", "€ 1,200,300.50"),
        ("room no. 214", "Zimmer 214"),
    ],
)
def test_one_figure_in_two_spellings(one: str, other: str) -> None:
    assert figures(one) == figures(other) != frozenset()


LONG = ["1" * 4000, "111 " * 1000, "a." * 2000 + "b", "a-" * 2000, "room" + " " * 4000 + "b", "a" * 4000, "a@" * 2000]


@pytest.mark.parametrize("text", LONG, ids=lambda each: each[:5])
def test_figures_of_a_long_text_take_no_long_time(text: str) -> None:
    started = time.process_time()
    figures(text)
    assert time.process_time() - started < 0.05


@pytest.mark.parametrize(
    "text", ["a" + " " * 4000 + "b", "\n" * 4000, "." * 4000 + "b"], ids=["blanks", "lines", "dots"]
)
def test_parts_of_a_long_message_take_no_long_time(text: str) -> None:
    started = time.process_time()
    for sentence in sentences(text):
        clauses(sentence)
    assert time.process_time() - started < 0.05


def test_clauses_have_no_blanks_around() -> None:
    said = "Towels ,  and a pillow & late check-out: also  tea\tplus milk +sugar, please "
    expected = ["Towels", "a pillow", "late check-out", "tea", "milk", "sugar", "please"]
    assert clauses(said) == expected
