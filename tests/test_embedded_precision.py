"""What the embedded engine must not answer beside the point: what no article tells is a person's."""

import pytest

from activities.ai.embedded import EmbeddedEngine
from activities.ai.hotel import Hotel
from activities.ai.knowledge import SHIPPED, Article, load_articles
from activities.ai.library import Library
from settings import Property, Settings
from tests.test_embedded_manners import ask, is_answered

UNTOLD = {
    "no article has a word of it": """
        is the pool ozone treated | are there sharks in the pool | does the pool have waves | is there a
        waterfall in the pool | do you have sriracha at breakfast | is breakfast organic | do you serve tofu
        in the restaurant | do you have paella in the restaurant | is the gym supervised | is there reiki at
        the spa | do you offer botox in the spa | does the spa do waxing | is there an infrared sauna | is
        the wifi wpa3 | is the wifi censored | does parking have cctv | can i park a hearse | can the safe
        be drilled | is the safe fireproof | is the babysitter certified | does the bar have a pianist | is
        the extra bed orthopaedic | do you have sushi on room service | do you allow ferrets""",
    "places that the city tips do not name": """
        where is the nearest pharmacy | nearest pharmacy? | Is there a pharmacy open now? | where is the
        nearest atm | is there a mosque nearby | where is the nearest church | where is the nearest hospital
        | where is the nearest gas station | is there a golf course nearby | do you have bikes for rent |
        where can i rent a bike | is there an aquarium or a zoo | how much is the castle | when does the
        castle open | is the museum open on monday | is the old town safe at night | is there a vet nearby""",
    "food": """
        do you have halal food | is the restaurant halal | halal meat at breakfast? | do you serve kosher
        food | is the food kosher | are there nuts in the breakfast | is there bacon at breakfast | do you
        serve breakfast in bed | can i have breakfast in my room | can i take food from breakfast to my room
        | can i see the menu | whats on the menu tonight | do you have live music at the bar | can i order
        pizza from outside | how much is a beer at the bar""",
    "details of a house": """
        is the pool salt water | how deep is the pool | does the pool have a slide | is there a pool bar |
        is there a pool table | is there a jacuzzi | do you have a hot tub in the room | can non guests use
        the pool | can we use the pool after checkout | can we use the spa after check-out | can my dog go
        in the pool | do you offer manicures | is the sauna mixed | is there an atm in the hotel | do you
        exchange currency | can i pay with bitcoin | is there disabled parking | is the parking guarded |
        where is the ironing room | how do i open the window | is there a shuttle to the city | do you have
        an airport lounge | what is the wifi password of the staff network""",
    "how things are now": """
        is the pool closed today | why is the pool closed | is the pool closed for maintenance | is the
        restaurant being renovated | is the tram running today""",
    "what is not wanted": """
        no breakfast tomorrow please | dont need breakfast
        tomorrow | i dont want a wake up call | we don't want housekeeping today""",
    "claims, complaints and what is the hotel's to see": """
        I booked breakfast but it's not on my confirmation | we paid for parking already, why are we charged
        again | the receptionist was rude | I asked for a late checkout and nobody answered | my husband had
        a heart attack | the spa was great but they charged me for the sauna | are you sure breakfast is
        free | you said breakfast is free | is it true that breakfast is free | breakfast is free right? |
        the website says parking is free | I was told checkout is at 2pm | can you make the parking free for
        me | I don't like the pool | I hate breakfast | the breakfast yesterday was cold | my massage was
        not good | please charge it to room 305 | can you give me the room number of Mr Smith | is Mr Smith
        staying in the hotel | which room is my husband in | can you open the door of room 204 | please let
        my friend into my room | what is the code of the staff door | can I borrow the key of room 12 | i
        forgot to check out | i left without paying | i am at the airport where is the driver | the driver
        isn't here | where is my taxi | my taxi never came | our transfer didn't show up | is my transfer
        confirmed | can you confirm my transfer for tomorrow | did you book my taxi | have you received my
        payment | did my payment go through | why is my card blocked | when will my refund arrive | it's
        been 10 days and no deposit back | deposit still not released | where is my deposit | my deposit was
        taken twice | the minibar charge is wrong | i didn't take anything from the minibar | we did not use
        the minibar | the safe is locked and i forgot the code | someone opened my safe | is the safe
        insured | the gym smells | the wifi asks for a password | wifi says incorrect last name | my invoice
        has the wrong address | please change the name on the invoice | i need the invoice again | where is
        my invoice | i never received my invoice | breakfast time, and i also want to complain about the
        noise | when is breakfast? also my toilet is blocked and there's water everywhere | wifi? and my
        wife feels very sick""",
    "more than one language": """
        hola que tal, what time is breakfast y donde esta la piscina | Bonjour, is breakfast inclus dans le
        prix? | hi, wo kann ich parken? | what time ist frühstück | 早餐 time? | 几点早餐 | 수영장 몇 시까지 하나요 | во
        сколько завтрак? | ما هو وقت الإفطار""",
}
ANSWERED = [
    ("u got wifi?", "wifi"),
    ("what if I arrive at 3 in the morning", "checkin"),
    ("is 2.2m too high for the garage", "parking"),
    ("can a 15 year old use the sauna", "spa"),
    ("last orders at the bar?", "bar"),
    ("price per kwh?", "ev_charging"),
    ("wats the wifi pw plz", "wifi"),
    ("yo whens brekkie", "breakfast"),
    ("wanna know when breakfast starts", "breakfast"),
    ("is the pool open rn", "pool"),
    ("hey u know when the pool closes?", "pool"),
    ("what docs do u need at check in", "checkin"),
    ("can i pay in dollars", "payment"),
    ("do you accept US dollars", "payment"),
    ("when is the pool closed", "pool"),
    ("what do you do if i lose my key card", "key_card"),
    ("hola, is the pool open?", "pool"),
    ("bonjour, do you have parking?", "parking"),
    ("do you have vegan options for breakfast", "breakfast"),
    ("how much is a tram ticket", "public_transport"),
    ("is there a supermarket nearby", "city_tips"),
    ("Could you please tell me at what time breakfast is served?", "breakfast"),
    (
        "Hello, good morning! Could you please tell me at what time breakfast is served? Thank you very much",
        "breakfast",
    ),
    ("Could you let us know whether you have parking", "parking"),
    ("I was wondering if there is a gym", "gym"),
    ("We would like to know what time the restaurant closes", "restaurant"),
    ("Do you know if there is a tram to the centre?", "public_transport"),
]
NAMES = """
    Smith Taylor Brown Williams Wilson Johnson Davies Robinson Wright Thompson Evans White Roberts Wood
    Jackson Clarke Clark Harrison Scott Hughes Moore Martin Cooper Hill Ward Morris Turner Parker Bell
    Bailey Baker Carter Young Becker Müller Schmidt Schneider Fischer Weber Meyer Schulz Hoffmann Koch Bauer
    Richter Klein Wolf Schröder Neumann Schwarz Zimmermann Krüger Hartmann Lange Werner Durand Dubois Moreau
    Laurent Simon Michel Garcia Martinez Lopez Sanchez Perez Gomez Silva Santos Ferreira Pereira Costa Rossi
    Russo Ferrari Esposito Bianchi Romano Ricci Nguyen Tanaka Suzuki Sato Kim Lee Chen Wang Singh Patel Khan
    Nowak Kowalski Ivanov Novak Jansen Berg Hansen Larsen
""".split()  # noqa: SIM905 - a hundred quotes hide the names


@pytest.fixture(scope="module")
def engine() -> EmbeddedEngine:
    return EmbeddedEngine(Library(Settings(properties={"seaview": Property(name="Seaview Hotel")})))


@pytest.mark.parametrize("kind", UNTOLD)
async def test_what_no_article_tells_is_a_persons(engine: EmbeddedEngine, kind: str) -> None:
    asked = [" ".join(each.split()) for each in UNTOLD[kind].split("|")]
    beside = {text: response.intent for text in asked if is_answered(response := await ask(engine, text))}
    assert beside == {}


@pytest.mark.parametrize(("text", "article"), ANSWERED)
async def test_what_they_tell_is_answered_however_it_is_asked(engine: EmbeddedEngine, text: str, article: str) -> None:
    response = await ask(engine, text)
    assert (is_answered(response), response.sources, response.actions) == (True, [article], [])


def test_what_articles_do_not_tell_is_not_in_their_texts() -> None:
    told = {
        (article.id, phrase)
        for article in load_articles(SHIPPED / "seaview")
        for phrase in article.excludes
        if f" {phrase} " in f" {article.text.lower().replace(',', ' ').replace('.', ' ')} "
    }
    assert told == set()


def test_an_article_of_one_s_own_hands_over_what_it_does_not_tell() -> None:
    roof = Article(
        id="roof",
        title="Roof garden",
        text="Open from 9 am.",
        questions=["is there a roof garden"],
        excludes=["barbecue"],
    )
    hotel = Hotel([roof, *load_articles(SHIPPED / "seaview")])
    told, untold = (
        hotel.parts([text]) for text in ("is there a roof garden", "is there a barbecue in the roof garden")
    )
    assert [(part.kind, part.intent) for part in told] == [("answer", "roof")]
    assert [part.kind for part in untold] == ["unsure"]


@pytest.mark.parametrize(
    "form",
    [
        "What time is breakfast?\n{}",
        "Good morning, when is breakfast served?\n\nMr {}",
        "when is breakfast served? {}",
        "What time is breakfast?\nAnna {}",
        "What time is breakfast?\n- {}.",
    ],
)
async def test_a_bare_name_at_the_end_says_nothing(engine: EmbeddedEngine, form: str) -> None:
    answers = {name: await ask(engine, form.format(name)) for name in NAMES}
    misread = [name for name, each in answers.items() if not is_answered(each) or each.sources != ["breakfast"]]
    assert misread == []


@pytest.mark.parametrize(
    ("text", "sources", "departments"),
    [
        ("Is the pool open?\nExtra Pillows", ["pool"], ["housekeeping"]),
        ("Is the pool open?\nTowles", [], ["housekeeping"]),
        ("When is breakfast?\nParking", ["breakfast", "parking"], []),
    ],
)
async def test_what_is_no_name_at_the_end_is_read(
    engine: EmbeddedEngine, text: str, sources: list[str], departments: list[str]
) -> None:
    response = await ask(engine, text)
    done = [action.params.get("department") for action in response.actions]
    assert not is_answered(response) or (response.sources, done) == (sources, departments)


@pytest.mark.parametrize("ending", ["Fire", "Call the Police", "Ambulance", "Refund"])
async def test_an_alarm_at_the_end_is_one(engine: EmbeddedEngine, ending: str) -> None:
    assert not is_answered(await ask(engine, f"What time is breakfast?\n{ending}"))


@pytest.mark.parametrize("text", ["I lost my key card", "lost key card"])
async def test_a_lost_key_is_the_receptions(engine: EmbeddedEngine, text: str) -> None:
    response = await ask(engine, text)
    assert [action.params["department"] for action in response.actions] == ["front_desk"]
