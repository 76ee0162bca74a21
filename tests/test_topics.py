"""Words that make a message a person's, row by row: each topic in each language, and traps that must not match."""

import pytest

from contracts.names import CONTENT_LIMIT
from contracts.rules import TOPICS, Topic
from tests.questions import ASIDES, QUESTIONS
from workflows.asking_for_a_person import asks_for_person
from workflows.topics import TOPIC_NAMES, fingerprint, topic_of

PLAIN: dict[Topic, list[str]] = {
    "medical": [
        "My husband is bleeding badly",
        "She is unconscious",
        "I think it is a heart attack",
        "He has chest pain",
        "My father had a stroke",
        "She is having a seizure",
        "I can't breathe",
        "I can’t breathe",
        "Please call an ambulance",
        "He took an overdose",
        "I feel suicidal",
        "My son is choking",
        "She has an allergic reaction",
        "anaphylactic shock!",
        "I broke my leg",
        "We need a doctor",
        "Call me a doctor, please",
        "He is not breathing",
        "My wife passed out",
        "She fainted in the shower",
        "Er blutet stark",
        "Bitte rufen Sie einen Krankenwagen",
        "Wir brauchen einen Notarzt",
        "Sie ist bewusstlos",
        "Verdacht auf Herzinfarkt",
        "Ich bekomme keine Luft",
        "Wir brauchen einen Arzt",
        "Il saigne beaucoup",
        "Ma femme est inconsciente",
        "Il fait une crise cardiaque",
        "Il faut un médecin",
        "J'ai besoin d'un medecin",
        "Ele está sangrando",
        "Chame uma ambulância",
        "Ela está inconsciente",
        "Acho que é um enfarte",
        "Preciso de um médico",
        "Está sangrando mucho",
        "Llame una ambulancia",
        "Mi padre sufre un infarto",
        "Necesito un medico",
        "No puedo respirar",
        "Não consigo respirar",
        "Je ne peux plus respirer",
        "Non riesco a respirare",
        "Sanguina molto",
        "Chiamate un'ambulanza",
        "Mia moglie è svenuta",
        "Mi serve un dottore",
        "Ho bisogno di un medico",
    ],
    "safety": [
        "There is a fire in my room",
        "There's a fire",
        "The kitchen is on fire",
        "There is a gas leak",
        "The fire alarm is ringing",
        "I smell gas",
        "It smells of smoke in the corridor",
        "There is an intruder",
        "Somebody broke into my room",
        "There was a break-in",
        "A man is trying to get into my room",
        "He threatened me",
        "I was assaulted",
        "We were attacked",
        "I am being followed",
        "He has a knife",
        "There is a man with a knife",
        "Somebody came in with a gun",
        "Help me now",
        "Es brennt im Zimmer",
        "Feuer im Flur",
        "Ein Einbrecher ist da",
        "Ich werde bedroht",
        "Es riecht nach Gas",
        "Au feu !",
        "Il y a un incendie",
        "J'ai été agressée",
        "Il y a un intrus",
        "Ça sent le gaz",
        "Hay un incendio",
        "Há um incêndio",
        "Hay un ladrón",
        "Há um ladrão no quarto",
        "Me atacaron",
        "Huele a gas",
        "Cheira a gás",
        "C'è un incendio",
        "Al fuoco!",
        "C'è un ladro in camera",
        "Sento odore di gas",
    ],
    "refund": [
        "I want a refund",
        "Give me my money back",
        "I demand my money back",
        "You owe us a refund",
        "I will file a chargeback",
        "Please refund me",
        "I'd like to be refunded",
        "Refund my booking, please",
        "Ich will mein Geld zurück",
        "Geld zuruck bitte",
        "Ich möchte eine Rückerstattung",
        "Je veux être remboursé",
        "Je demande un remboursement",
        "Quiero un reembolso",
        "Exijo mi reembolso",
        "Quero o meu reembolso",
        "Quero um reembolso",
        "Quero o meu dinheiro de volta",
        "Quiero que me devuelvan el dinero",
        "Voglio il mio rimborso",
        "Voglio un rimborso",
    ],
    "complaint": [
        "I want to make a complaint",
        "I'd like to file a formal complaint",
        "I want to complain",
        "This is unacceptable",
        "The worst hotel ever",
        "What a terrible service",
        "Disgusting room",
        "Ich möchte mich beschweren",
        "Das ist inakzeptabel",
        "Je vais porter plainte",
        "C'est inacceptable",
        "Quiero poner una queja",
        "Esto es inaceptable",
        "Quero fazer uma reclamação",
        "Isto é inaceitável",
        "Voglio fare un reclamo",
        "È inaccettabile",
    ],
    "price_promise": [
        "Can I get a discount?",
        "Any discounts for seniors?",
        "Do you price match?",
        "Can you do a better price?",
        "Is there a cheaper rate?",
        "Could we get a special deal?",
        "Gibt es Rabatt?",
        "Puis-je avoir une remise ?",
        "une réduction, c'est possible ?",
        "¿Hay descuento?",
        "Há algum desconto?",
        "C'è uno sconto?",
    ],
}
"""In English, German, French, Portuguese, Spanish and Italian."""


@pytest.mark.parametrize(("topic", "text"), [(topic, text) for topic, texts in PLAIN.items() for text in texts])
def test_a_topic_is_seen(topic: Topic, text: str) -> None:
    assert topic_of(text) == topic
    assert topic_of(f"Hello. {text.upper()}!!") == topic
    assert topic_of(text, [each for each in TOPICS if each != topic]) is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Is there a fireplace?", id="a fireplace"),
        pytest.param("There's a fireplace in the lobby, isn't there?", id="a fireplace, there"),
        pytest.param("Is there a fire place in the room?", id="a fire place, two words"),
        pytest.param("Where is the smoking area?", id="a smoking area"),
        pytest.param("Is smoking allowed on the balcony?", id="smoking allowed"),
        pytest.param("Non-refundable rate?", id="non-refundable rate"),
        pytest.param("Is the booking refundable?", id="refundable"),
        pytest.param("When do I get the deposit back?", id="a deposit"),
        pytest.param("What is your refund policy?", id="a refund policy, asked"),
        pytest.param("It was a stroke of luck", id="a stroke of luck"),
        pytest.param("A stroke of genius", id="a stroke of genius"),
        pytest.param("I swim breast stroke in the pool", id="a swimming stroke"),
        pytest.param("We are watching Doctor Who", id="Doctor Who"),
        pytest.param("I am a doctor", id="a guest who is a doctor"),
        pytest.param("I want to book under the name Dr. Doctor", id="a name"),
        pytest.param("The spa treatment is a killer", id="a killer treatment"),
        pytest.param("I am dying to see the spa", id="dying to see"),
        pytest.param("The view is breathtaking", id="breathtaking"),
        pytest.param("I can breathe the sea air", id="can breathe"),
        pytest.param("Where can I see the heart of the city?", id="the heart of the city"),
        pytest.param("The bathroom tap is broken", id="a broken tap"),
        pytest.param("I broke my charger", id="a broken charger"),
        pytest.param("Is there a doctor's office nearby for a vaccination certificate?", id="a doctor's office"),
        pytest.param("Can I bring my gun case for the biathlon?", id="a gun case"),
        pytest.param("How does the safe work?", id="the safe"),
        pytest.param("Is the area safe at night?", id="a safe area"),
        pytest.param("Is there a gas station nearby?", id="a gas station"),
        pytest.param("The room smells lovely", id="a lovely smell"),
        pytest.param(
            "The candles in the lobby smell good. Is there a gas heater on the terrace?",
            id="a smell, and gas in another sentence",
        ),
        pytest.param("When is the fire drill?", id="a fire drill"),
        pytest.param("Where is the fire exit?", id="a fire exit"),
        pytest.param("Where is the fire alarm?", id="where the fire alarm is"),
        pytest.param("A fire pit would be nice", id="a fire pit"),
        pytest.param("The room with a knife and fork set", id="a knife and fork"),
        pytest.param("Do you refund the city tax?", id="what is refunded"),
        pytest.param("When will the deposit be refunded?", id="when something is refunded"),
        pytest.param("Das Frühstück riecht gut. Ist der Herd mit Gas?", id="German: a good smell, and gas"),
        pytest.param("Gibt es eine Rückerstattung der Kaution?", id="German: a deposit"),
        pytest.param("Could you bring a corkscrew and a knife?", id="a knife to cut with"),
        pytest.param("We will break into small groups for dinner", id="break into groups"),
        pytest.param("Do you serve alcohol on Friday night?", id="a bar"),
        pytest.param("We have no complaints", id="no complaints"),
        pytest.param("I have no complaint", id="no complaint"),
        pytest.param("The weather was terrible", id="terrible weather"),
        pytest.param("Is the worst of the rain over?", id="the worst of the rain"),
        pytest.param("What is the price of a room?", id="a price"),
        pytest.param("How much is the special menu?", id="a special menu"),
        pytest.param("I want to pay the full rate", id="a rate"),
        pytest.param("Ist das Restaurant im Feuerturm?", id="German: a tower"),
        pytest.param("Gibt es einen Kamin?", id="German: a fireplace"),
        pytest.param("Wo ist der Arzt Dr. Weber im Urlaub?", id="German: about a doctor"),
        pytest.param("Puis-je payer en espèces ?", id="French: cash"),
        pytest.param("Où est le restaurant Au Feu de Bois ?", id="French: a restaurant's name"),
        pytest.param("Sangria para dos, por favor", id="Spanish: sangria"),
        pytest.param("Quero uma sangria", id="Portuguese: sangria"),
        pytest.param("É bom o restaurante do médico?", id="Portuguese: about a doctor"),
        pytest.param("Hay chimenea?", id="Spanish: a fireplace"),
        pytest.param("C'è un camino?", id="Italian: a fireplace"),
        pytest.param("Ho perso il dottor Rossi alla conferenza", id="Italian: a doctor's name"),
        pytest.param("", id="nothing"),
    ],
)
def test_no_topic_is_seen(text: str) -> None:
    assert topic_of(text) is None


@pytest.mark.parametrize("question", [question for question, _ in QUESTIONS])
def test_plain_questions_are_the_ais(question: str) -> None:
    for aside in ASIDES:
        assert topic_of(question + aside) is None
        assert not asks_for_person(question + aside)


@pytest.mark.parametrize(
    ("text", "among", "expected"),
    [
        pytest.param("I want a refund, my wife is bleeding", TOPICS, "medical", id="an emergency before all else"),
        pytest.param("My wife is bleeding, there is a fire", TOPICS, "medical", id="both emergencies"),
        pytest.param("This is unacceptable, I want a refund", TOPICS, "refund", id="two others, in their order"),
        pytest.param("This is unacceptable, I want a refund", ("complaint",), "complaint", id="the hotel's choice"),
        pytest.param("I want a discount, there is a fire", ("price_promise", "safety"), "safety", id="in any order"),
        pytest.param("My wife is bleeding", (), None, id="nothing looked for"),
    ],
)
def test_topic_of(text: str, among: tuple[Topic, ...], expected: Topic | None) -> None:
    assert topic_of(text, among) == expected


def test_staff_read_a_name_of_each_topic() -> None:
    assert set(TOPIC_NAMES) == set(TOPICS)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        pytest.param("When is breakfast?", True, id="itself"),
        pytest.param("  WHEN is   breakfast?!\n", True, id="the same in other dress"),
        pytest.param("When is lunch?", False, id="another question"),
        pytest.param("breakfast is when", False, id="the same words in another order"),
    ],
)
def test_fingerprint(text: str, same: bool) -> None:
    assert (fingerprint(text) == fingerprint("When is breakfast?")) is same


@pytest.mark.parametrize("text", ["And lunch?", "", "?!"])
def test_what_is_too_short_is_no_question(text: str) -> None:
    assert fingerprint(text) is None


def test_of_a_long_message_only_the_beginning_is_read() -> None:
    long = "word " * (CONTENT_LIMIT // 5 + 1)
    assert topic_of(long + "I want a refund") is None
    assert not asks_for_person(long + "I need a human")
    assert fingerprint(long + "more") == fingerprint(long + "less")
