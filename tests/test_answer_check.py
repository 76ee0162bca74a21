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
        *(
            (informal, "The spa opens every day in the morning, also at weekends.", None)
            for informal in (
                "what happens if i dont show up",
                "where can i drop my bags til my flight tonight",
                "till what time do they pour beers downstairs",
                "do u guys serve dinner? what time till",
                "cn non guests use da pool",
                "yo when r u guys open til 2nite",
                "i dont want a wake up call",
            )
        ),
        *(
            (foreign, "The spa opens every day in the morning, also at weekends.", "language")
            for foreign in (
                "il bar del hotel a che ora apre",
                "de un taxi al hotel a las 5 am",
                "non ho la chiave, come entro in hotel?",
                "hat das hotel einen pool und eine bar",
                "är spa gratis i hotellet",
            )
        ),
    ],
)
def test_an_answer_is_in_the_guests_language(question: str, answer: str, fault: Fault | None) -> None:
    assert fault_of(answer, question, Grounds()) == fault


@pytest.mark.parametrize("article", ARTICLES, ids=lambda each: each.id)
def test_the_hotels_own_words_pass(article: object) -> None:
    text = next(each.text for each in ARTICLES if each is article)
    assert fault_of(text, "", Grounds(sources=(text,), instructions=RULES)) is None


@pytest.mark.parametrize(
    ("article", "question", "answer"),
    [
        ("breakfast", "", "Breakfast is served from 7 to 10:30 am, and until 11 am at weekends."),
        ("breakfast", "", "Breakfast: 7–10:30, at weekends 7 to 11."),
        ("breakfast", "", "On Saturdays we serve from 7 to 11 am."),
        ("breakfast", "my kids are 5 and 8", "For your 5 and 8 year old it is 9 EUR each; from 4 to 12 years."),
        ("breakfast", "Wann ist Frühstück?", "Frühstück gibt es von 7 bis 10:30 Uhr, am Wochenende bis 11 Uhr."),
        ("breakfast", "", "El desayuno es de 7 a 10:30, y hasta las 11 los fines de semana."),
        ("breakfast", "", "Le petit déjeuner est servi de 7h à 10h30."),
        ("breakfast", "", "O pequeno-almoço é das 7 às 10:30."),
        ("pool", "", "The pools on level 1 are open 7 am - 9 pm and have 28 degrees."),
        ("pool", "", "Der Pool ist von 7 bis 21 Uhr geöffnet, das Wasser hat 28 Grad."),
        ("pool", "", "La piscina abre de 7 a 21 h."),
        ("bar", "", "The bar is open from 4 pm to 1 am, Fridays until 2 am."),
        ("bar", "", "Die Bar ist von 16 bis 1 Uhr geöffnet."),
        ("housekeeping_hours", "two towels please", "I've asked our team to bring 2 towels."),
        ("parking", "", "There are 60 places at 18 EUR a night, height limit 2.1 m."),
        ("checkin", "", "Check-in is from 3 pm, and reception is there 24 hours a day."),
        ("checkin", "", "Reception is open 24/7, check-in from 15:00."),
        ("airport_transfer", "we are 5 people", "For 5 people the transfer is 65 EUR, about 30 minutes."),
        (
            "airport_transfer",
            "",
            "Please book 12 hours ahead; the driver waits for you. Your booking is confirmed once reception writes.",
        ),
        ("children", "", "Children up to 12 stay free in their parents' bed room."),
        ("children", "my son is 14", "Children up to 12 stay free; a 14-year-old pays."),
        ("early_checkin", "", "It is possible from 10 am for 25 EUR, once a room is free."),
        ("early_checkin", "", "We can only tell you in the morning whether it is confirmed."),
        (
            "late_checkout",
            "",
            "Until 2 pm it is 30 EUR; until 6 pm half the rate. Please wait until it is confirmed.",
        ),
        ("late_checkout", "", "Bis 14 Uhr kostet es 30 EUR."),
        ("laundry", "", "1. Put it in the bag before 9 am.\n2. It is back by 7 pm."),
        ("deposit", "3 nights", "For 3 nights we reserve 50 EUR a night, at most 200 EUR, released within 3-7 days."),
        ("spa", "", "A massage is 55 EUR for 30 minutes. Treatments are booked at the spa desk, dial 6."),
        ("restaurant", "", "Lunch from 12 to 2:30 pm, dinner 6:30–10 pm. A table is best booked at weekends."),
        ("restaurant", "", "Mittagessen gibt es von 12 bis 14:30 Uhr, Abendessen von 18:30 bis 22 Uhr."),
        ("restaurant", "", "Le déjeuner est servi de 12h à 14h30 et le dîner de 18h30 à 22h."),
        ("room_service", "", "Full menu 7 am to 10:30 pm; dial 4."),
        ("meeting_room", "12 people", "For 12 people the room for 20 fits, 90 EUR for half a day."),
        ("public_transport", "", "Line 3 every 10 minutes, 5 am to midnight; 2.20 EUR."),
        ("quiet_hours", "", "Quiet hours are 22:00 to 7:00."),
        ("quiet_hours", "", "Quiet hours: 10pm-7am"),
        ("gym", "", "The gym is open 24 hours; minimum age 16; weights up to 30 kg."),
        ("wake_up_call", "at 6:30", "Dial 77 and enter 0630."),
        ("ev_charging", "", "6 charging points, type 2, 11 kW, 0.45 EUR per kWh on level -1."),
        ("housekeeping_hours", "", "Rooms are cleaned between 9 am and 3 pm."),
        ("wifi", "", 'About 100 Mbit/s, network "Seaview Guest".'),
    ],
)
def test_good_answers_in_other_words_pass(article: str, question: str, answer: str) -> None:
    text = next(each.text for each in ARTICLES if each.id == article)
    assert fault_of(answer, question, Grounds(sources=(text,), instructions=RULES)) is None


@pytest.mark.parametrize(
    ("article", "question", "answer"),
    [
        ("breakfast", "", "Breakfast is from 7 to 12."),
        ("breakfast", "", "Breakfast is served 7-12."),
        ("breakfast", "", "Frühstück von 7 bis 12."),
        ("breakfast", "", "El desayuno es de 6 a 12."),
        ("spa", "", "The spa closes at 9."),
        ("spa", "", "We are open until 11."),
        ("pool", "", "Open from 6 to 10."),
        ("parking", "", "It costs 25."),
        ("parking", "", "The garage has 80 places."),
        ("parking", "", "Your parking place is confirmed."),
        ("restaurant", "", "Your table for tonight is booked."),
        ("restaurant", "", "Great, your table is confirmed for 7 pm."),
        ("late_checkout", "", "Your late check-out is confirmed."),
        ("late_checkout", "", "Late check-out is approved."),
        ("late_checkout", "", "Ihr später Check-out ist bestätigt."),
        ("late_checkout", "", "Ihr Tisch ist für heute Abend reserviert."),
        ("late_checkout", "", "Su reserva está confirmada."),
        ("late_checkout", "", "Votre table est confirmée."),
        ("late_checkout", "", "La prenotazione è confermata."),
        ("late_checkout", "", "A sua reserva está confirmada."),
        ("late_checkout", "", "Once it is confirmed we write, but your room is confirmed."),
        ("spa", "", "It's done, see you at the spa."),
        ("spa", "", "You're all set."),
        ("wifi", "", "The code is 4711."),
        ("safe", "", "Your safe opens with 0000."),
        ("gym", "", "From 14 years on."),
        ("deposit", "", "You get it back in 2 days."),
        ("late_checkout", "can i stay until 16", "Yes, until 16 is fine."),
    ],
)
def test_bare_figures_and_plain_promises_do_not_pass(article: str, question: str, answer: str) -> None:
    text = next(each.text for each in ARTICLES if each.id == article)
    assert fault_of(answer, question, Grounds(sources=(text,))) in ("unsupported_figure", "unsupported_promise")


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


def test_a_long_answer_is_checked_in_no_long_time() -> None:
    for part in ("1 to ", "your a b is c ", "wenn ist a ", "if is confirmed "):
        started = time.process_time()
        fault_of((part * ANSWER_LENGTH)[:ANSWER_LENGTH], "", Grounds())
        assert time.process_time() - started < 3


LONG = ["1" * 4000, "111 " * 1000, "a." * 2000 + "b", "a-" * 2000, "room" + " " * 4000 + "b", "a" * 4000, "a@" * 2000]


@pytest.mark.parametrize("text", LONG, ids=lambda each: each[:5])
def test_figures_of_a_long_text_take_no_long_time(text: str) -> None:
    started = time.process_time()
    figures(text)
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "text", ["a" + " " * 4000 + "b", "\n" * 4000, "." * 4000 + "b"], ids=["blanks", "lines", "dots"]
)
def test_parts_of_a_long_message_take_no_long_time(text: str) -> None:
    started = time.process_time()
    for sentence in sentences(text):
        clauses(sentence)
    assert time.process_time() - started < 1


def test_clauses_have_no_blanks_around() -> None:
    said = "Towels ,  and a pillow & late check-out: also  tea\tplus milk +sugar, please "
    expected = ["Towels", "a pillow", "late check-out", "tea", "milk", "sugar", "please"]
    assert clauses(said) == expected
