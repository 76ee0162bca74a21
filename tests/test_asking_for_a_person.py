"""Words by which guests ask for a person, row by row, and traps that must not match."""

import pytest

from workflows.asking_for_a_person import asks_for_person


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("I want to speak to a person", id="speak to a person"),
        pytest.param("Can I talk to someone?", id="someone"),
        pytest.param("I'D LIKE TO SPEAK WITH YOUR MANAGER", id="in capitals"),
        pytest.param("Put me through to reception, please", id="put me through"),
        pytest.param("I want to talk to the front desk", id="front desk, two words"),
        pytest.param("Connect me with a colleague", id="connect me"),
        pytest.param("get me the manager", id="get me"),
        pytest.param("I need a human", id="need a human"),
        pytest.param("I'd prefer a real person", id="prefer"),
        pytest.param("Is there a live agent?", id="live agent"),
        pytest.param("Thanks. Now I want to talk to an operator", id="in a later sentence"),
        pytest.param("Quero falar com uma pessoa", id="Portuguese"),
        pytest.param("posso falar com a recepção?", id="Portuguese with accents"),
        pytest.param("Quiero hablar con un agente", id="Spanish"),
        pytest.param("hablar con la recepcion", id="Spanish without accents"),
        pytest.param("Je veux parler à une vraie personne", id="French"),
        pytest.param("parler a quelqu’un", id="French, curly apostrophe"),
        pytest.param("Ich möchte mit einem echten Menschen sprechen", id="German"),
        pytest.param("Kann ich mit der Rezeption reden?", id="German, reception"),
        pytest.param("Vorrei parlare con un operatore", id="Italian"),
        pytest.param("posso parlare con la reception?", id="Italian, reception"),
    ],
)
def test_asks_for_a_person(text: str) -> None:
    assert asks_for_person(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("When is breakfast?", id="a question"),
        pytest.param("Is reception open all night?", id="about reception"),
        pytest.param("A room for one person", id="a person, not asked for"),
        pytest.param("I want towels. The staff was kind", id="across a full stop"),
        pytest.param("Do you have a personal trainer I can talk to?", id="part of a word"),
        pytest.param("Your staff is great", id="praise"),
        pytest.param("Wir sprechen Deutsch", id="German, no person"),
        pytest.param("I need to thank the staff", id="a need, but of another kind"),
        pytest.param("I want to book a table for someone", id="for somebody else"),
        pytest.param("I need to know when the reception opens", id="about opening hours"),
    ],
)
def test_does_not_ask_for_a_person(text: str) -> None:
    assert not asks_for_person(text)


IN_MORE_WORDS = [
    "Human please",
    "agent",
    "Let me speak to a supervisor",
    "Give me a representative",
    "Is there somebody I can talk to?",
    "I don't want to talk to a bot",
    "I do not want to chat with this machine",
    "Mitarbeiter bitte",
    "Kann ich bitte jemanden sprechen?",
    "Ich möchte einen Mitarbeiter sprechen",
    "Bitte verbinden Sie mich mit der Rezeption",
    "Ich will mit Ihrem Chef reden",
    "Könnte ich mit einer echten Person chatten",
    "Gibt es hier einen richtigen Menschen?",
    "Quiero hablar con recepción",
    "¿Puedo hablar con el encargado?",
    "Páseme con un agente",
    "Prefiero un humano",
    "Je voudrais parler avec un conseiller",
    "Puis-je parler au directeur ?",
    "Passez-moi la réception",
    "Je veux un humain",
    "Un humain, s'il vous plaît",
    "Gostaria de falar com um funcionário",
    "Posso falar com o gerente?",
    "Quero um atendente",
    "Vorrei parlare con il direttore",
    "Mi passi la reception",
    "Voglio un operatore",
]


@pytest.mark.parametrize("text", IN_MORE_WORDS)
def test_asks_for_a_person_in_more_words(text: str) -> None:
    assert asks_for_person(text)
    assert not asks_for_person(text, edition=0)


@pytest.mark.parametrize(
    "text",
    [
        "Muss ich mit meinem Chef sprechen? Der Wein ist teuer",
        "Tengo que hablar con mi jefa, la directora",
        "Je dois parler à mon responsable avant de réserver",
        "Preciso falar com o meu gerente primeiro",
        "Devo parlare con la mia responsabile",
        "Zimmer mit Balkon für eine Person",
        "Ein Zimmer für eine echte Familie",
        "Quero uma pessoa extra no quarto",
        "Una habitación para una persona",
        "Une chambre pour une personne",
        "Do you have an agent rate?",
        "Am I talking to a bot?",
        "Der Empfang war freundlich",
        "La recepción está abierta?",
        "Con chi parlo?",
        "Is there anything I can eat with the kids?",
        "Wie komme ich mit dem Personal-Ausweis ins Spa?",
    ],
)
def test_what_only_sounds_alike_is_no_wish_for_a_person(text: str) -> None:
    assert not asks_for_person(text)
