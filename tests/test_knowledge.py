"""Articles over REST: written, imported, versioned, made from gaps and replies, and answered from."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable

import pytest

from activities.ai.embedded import EmbeddedEngine
from activities.ai.hotel import Hotel
from activities.ai.library import Library
from activities.storage.database import Database
from activities.storage.knowledge import Knowledge
from activities.storage.knowledge_gaps import grouped
from activities.storage.knowledge_import import articles_of_csv, articles_of_markdown
from contracts.knowledge import GapQuestion, NamedArticle, StoredArticle
from contracts.problems import Invalid
from settings import Property, Settings
from tests.api import Api, Person, pages, problem
from tests.records import NOW
from tests.requests import a_request
from tests.support import Guest, Stack, command, eventually, reply, workers

LAGOON = {
    "title": "Lagoon",
    "names": ["lagoon"],
    "questions": ["Can we swim in the lagoon?"],
    "excludes": ["night"],
    "text": "From dawn to dusk.",
}
ALIASES = "a0: &a0 x\n" + "".join(f"a{each + 1}: &a{each + 1} [{f'*a{each}, ' * 10}]\n" for each in range(30))
"""`*a30` stands for a list of 10 to the 30th texts."""


@pytest.fixture
async def manager(api: Api, hotel: str) -> Person:
    return await api.person(hotel, role="manager")


@pytest.fixture
def base(hotel: str) -> str:
    return f"/api/v1/knowledge/{hotel}"


# --- articles ----------------------------------------------------------------------------------------------------


async def test_an_article_is_written_changed_listed_and_deleted(manager: Person, base: str) -> None:
    path = f"{base}/articles/lagoon"
    made = await manager.http.put(path, json=LAGOON)
    assert (made.status_code, made.headers["ETag"]) == (200, '"1"')
    changed = await manager.http.put(path, json={**LAGOON, "text": "Closed."}, headers={"If-Match": '"1"'})
    assert (changed.json()["version"], changed.json()["text"]) == (2, "Closed.")
    stale = await manager.http.put(path, json=LAGOON, headers={"If-Match": '"1"'})
    assert problem(stale) == (412, "stale")
    assert (await manager.http.get(path)).json() == changed.json()
    versions = (await manager.http.get(f"{path}/versions")).json()
    assert [(each["version"], each["text"]) for each in versions] == [(2, "Closed."), (1, "From dawn to dusk.")]
    assert versions[0]["updatedBy"] == manager.staff.id

    assert (await manager.http.delete(path)).status_code == 204
    assert problem(await manager.http.get(path)) == (404, "not_found")
    assert problem(await manager.http.delete(path)) == (404, "not_found")
    assert [each["deleted"] for each in (await manager.http.get(f"{path}/versions")).json()] == [True, False, False]
    again = await manager.http.put(path, json=LAGOON)
    assert again.json()["version"] == 4


async def test_articles_are_listed_page_by_page(manager: Person, base: str) -> None:
    content = "".join(f"# Thing {number}\nText {number}.\n" for number in range(5))
    imported = await manager.http.post(f"{base}/import", json={"format": "markdown", "content": content})
    assert imported.status_code == 200
    found = await pages(manager.http, f"{base}/articles", limit=2)
    assert [[each["id"] for each in page] for page in found] == [
        ["thing_0", "thing_1"],
        ["thing_2", "thing_3"],
        ["thing_4"],
    ]


async def test_who_may_write_what_is_asked(api: Api, hotel: str, base: str) -> None:
    agent, stranger = await api.person(hotel), await api.person("elsewhere", role="admin")
    assert problem(await agent.http.put(f"{base}/articles/lagoon", json=LAGOON)) == (403, "forbidden")
    assert (await agent.http.get(f"{base}/articles")).status_code == 200
    assert problem(await stranger.http.get(f"{base}/articles")) == (403, "forbidden")
    assert problem(await stranger.http.get(f"{base}/gaps")) == (403, "forbidden")


@pytest.mark.parametrize("changes", [{"text": " "}, {"title": ""}, {"question": []}, {"text": "x" * 4001}])
async def test_a_wrong_article_is_refused_by_name(manager: Person, base: str, changes: dict[str, object]) -> None:
    refused = await manager.http.put(f"{base}/articles/lagoon", json={**LAGOON, **changes})
    assert problem(refused) == (422, "invalid")
    assert refused.json()["errors"][0]["field"] == next(iter(changes))


async def test_an_import_is_all_or_nothing(manager: Person, base: str) -> None:
    content = "title,text\nLagoon,From dawn to dusk.\nBroken,\n"
    refused = await manager.http.post(f"{base}/import", json={"format": "csv", "content": content})
    assert problem(refused) == (422, "invalid")
    assert "row 3" in refused.json()["detail"]
    assert (await manager.http.get(f"{base}/articles")).json()["items"] == []


async def test_an_id_that_is_none_is_refused_and_not_asked_of_storage(manager: Person, base: str) -> None:
    for path in (f"{base}/articles/%00", f"{base}/articles/%00/versions", f"{base}/articles/%00/uses"):
        assert problem(await manager.http.get(path)) == (422, "invalid"), path


async def test_an_import_whose_front_matter_is_wrong_is_told(manager: Person, base: str) -> None:
    content = '---\ntitle: A\nid: a\nnames: [!!int abc, "a\\0b"]\n---\ntext'
    refused = await manager.http.post(f"{base}/import", json={"format": "markdown", "content": content})
    assert problem(refused) == (422, "invalid")
    assert "the front matter: names" in refused.json()["detail"]


# --- files -------------------------------------------------------------------------------------------------------


def test_markdown_is_an_article_a_heading() -> None:
    found = articles_of_markdown(
        "intro is nobody's\n# Early check-in\nFrom 12.\n\n## Café São João\n\nIn the *lobby*.\n"
    )
    assert [(each.id, each.title, each.text) for each in found] == [
        ("early_check_in", "Early check-in", "From 12."),
        ("cafe_sao_joao", "Café São João", "In the *lobby*."),
    ]


def test_markdown_with_front_matter_is_one_article() -> None:
    (found,) = articles_of_markdown(
        '---\r\nid: lagoon\ntitle: Lagoon\nquestions: ["a lagoon?"]\n---\nDawn.\n# No\nmore\n'
    )
    assert (found.id, found.questions, found.text) == ("lagoon", ["a lagoon?"], "Dawn.\n# No\nmore")


@pytest.mark.parametrize(
    "title", ["2024-02-30", "!!int abc", "!!float x", "!!timestamp x", "!!bool x", "!!python/object:os.system abc"]
)
def test_front_matter_is_text_whatever_it_looks_like(title: str) -> None:
    (found,) = articles_of_markdown(f"---\ntitle: {title}\nid: a\n---\nDawn.\n")
    assert found.title == title.split()[-1]


def test_a_heading_of_spaces_is_read_at_once() -> None:
    """One expression for a title and what surrounds it took minutes, and the process stood still meanwhile."""
    spaces, started = " " * 20_000, time.process_time()
    (found,) = articles_of_markdown(f"#{spaces}Lagoon{spaces}##{spaces}\nDawn.")
    assert (found.title, found.text) == ("Lagoon", "Dawn.")
    with pytest.raises(Invalid, match="title"):
        articles_of_markdown(f"# a{spaces}b\nDawn.")
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("read", "head", "article"),
    [(articles_of_markdown, "", "# Thing {0}\nText.\n"), (articles_of_csv, "title,text\n", "Thing {0},Text.\n")],
)
def test_an_import_has_a_thousand_articles_at_the_most(
    read: Callable[[str], list[NamedArticle]], head: str, article: str
) -> None:
    """They are written in one transaction, which other writers of the property wait for."""
    thousand = head + "".join(map(article.format, range(1_000)))
    assert len(read(thousand)) == 1_000
    with pytest.raises(Invalid, match="at most 1,000 articles"):
        read(thousand + article.format(1_000))


def test_csv_has_lists_divided_by_bars() -> None:
    (found,) = articles_of_csv(
        '\ufeffTitle,Text,Questions,Excludes\nLagoon,"Dawn, dusk",can we swim | is it warm,depth\n'
    )
    assert (found.id, found.text, found.questions) == ("lagoon", "Dawn, dusk", ["can we swim", "is it warm"])
    assert found.excludes == ["depth"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("no heading", "no heading"),
        ("# A\n\n# B\ntext", "# A: text"),
        ("# A\none\n# a\ntwo", "more than one article with the id a"),
        ("# 你好\ntext", "id"),
        ("---\ntitle: A\n", "must end with"),
        ("---\n{\n---\ntext", "not YAML"),
        (f"---\ntitle: {'a' * 200_000}\n---\ntext", "at most 200,000 characters"),
        ("---\n- a\n---\ntext", "must have keys"),
        (f"---\n{'[' * 2000}\n---\ntext", "nested too deep"),
        ("---\n? [a]\n: b\n---\ntext", "not YAML"),
        ('---\ntitle: "a\\0b"\n---\ntext', "the front matter: title: .* NUL"),
        ('---\ntitle: A\nwords: ["a\\ud800b"]\n---\ntext', "the front matter: words"),
        ("---\ntitle: {a: b}\n---\ntext", "the front matter: .*title"),
        (f"---\n{ALIASES}title: *a30\n---\ntext", "the front matter: .*title"),
        (f"---\n{ALIASES}title: A\nwords: *a30\n---\ntext", "the front matter: words"),
    ],
)
def test_markdown_that_is_no_article_is_told(content: str, told: str) -> None:
    with pytest.raises(Invalid, match=told):
        articles_of_markdown(content)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "found nothing"),
        ("a,b\n1,2\n", "`title` and `text`"),
        ("title,text\n", "no article"),
        ("title,text\na,b,c\n", "more cells"),
        ('title,text\n"a,b\n', "not CSV"),
    ],
)
def test_csv_that_holds_no_articles_is_told(content: str, told: str) -> None:
    with pytest.raises(Invalid, match=told):
        articles_of_csv(content)


# --- answering ---------------------------------------------------------------------------------------------------


async def test_engines_answer_from_what_staff_wrote_and_not_from_what_they_deleted(
    database: Database, settings: Settings, manager: Person, base: str, hotel: str
) -> None:
    settings.properties[hotel] = Property(name="Own", knowledge="activities/ai/properties/seaview")
    library, stored = Library(settings), Knowledge(database)
    engine = EmbeddedEngine(library)
    await manager.http.put(f"{base}/articles/lagoon", json=LAGOON)
    await manager.http.put(f"{base}/articles/pets", json={"title": "Pets", "text": "No pets, please."})
    await library.refresh(stored)
    lagoon = await engine.answer(a_request("Can we swim in the lagoon?", property_id=hotel), turn_id="t")
    assert (lagoon.response, lagoon.sources) == ("From dawn to dusk.", ["lagoon"])
    at_night = await engine.answer(a_request("Can we swim in the lagoon at night?", property_id=hotel), turn_id="t")
    assert lagoon.confidence > settings.routing.escalation_threshold > at_night.confidence
    known = library.hotel(hotel)
    assert known.articles["pets"].text == "No pets, please."
    await library.refresh(stored)
    assert library.hotel(hotel) is known

    await manager.http.delete(f"{base}/articles/pets")
    await library.refresh(stored)
    assert "pets" not in library.hotel(hotel).articles
    assert "breakfast" in library.hotel(hotel).articles


async def test_what_cannot_be_learned_leaves_the_others_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Until it changes again: learning takes a second, and the look comes every three."""
    for each in ("bad", "good"):
        settings.properties[each] = Property(name="Own")
    asked: list[str] = []

    class Kept:
        async def heads(self) -> dict[str, int]:
            return {"bad": 1, "good": 1}

        async def all(self, property_id: str) -> list[StoredArticle]:
            asked.append(property_id)
            if property_id == "bad":
                raise ValueError("Ana's words")
            pool = NamedArticle(id="pool", title="Pool", text="Heated.")
            known = {"property_id": "good", "version": 1, "updated_at": NOW, "updated_by": "ana"}
            return [StoredArticle.model_validate(pool.model_dump(by_alias=False) | known)]

    library = Library(settings)
    following = asyncio.create_task(library.follow(Kept()))
    monkeypatch.setattr("activities.ai.library.LOOK_SECONDS", 0.01)

    async def learned() -> bool:
        return "pool" in library.hotel("good").articles

    await eventually(learned, what="the other property's article")
    await library.refresh(Kept())
    assert asked == ["bad", "good"]
    assert not following.done()
    following.cancel()
    assert "knowledge of bad cannot be read, the old stays in use: ValueError" in caplog.text
    assert "Ana's words" not in caplog.text


@pytest.fixture
async def answering(stack: Stack) -> AsyncIterator[None]:
    """Workers with the embedded engine, and knowledge that they follow."""
    async with workers(stack.settings, stack.client):
        yield


async def test_a_gap_becomes_an_article_and_is_gone(stack: Stack, answering: None, manager: Person, base: str) -> None:
    first, second = stack.guest(), stack.guest()
    for guest, text in ((first, "do you lend kayaks?"), (second, "Do you lend kayaks")):
        await guest.ask(text)
        await stack.stored(await guest.conversation())
    (gap,) = (await manager.http.get(f"{base}/gaps")).json()
    assert gap["count"] == 2
    answers = [{key: each[key] for key in ("conversationId", "messageId")} for each in gap["questions"]]
    article = {"title": "Kayaks", "text": "At the jetty.", "answers": answers}
    made = await manager.http.post(f"{base}/gaps", json=article)
    assert made.status_code == 201
    assert (made.json()["id"], len(made.json()["questions"])) == ("kayaks", 2)
    assert (await manager.http.get(f"{base}/gaps")).json() == []
    assert problem(await manager.http.post(f"{base}/gaps", json=article)) == (422, "invalid")

    async def answered() -> bool:
        third = stack.guest()
        await third.ask("do you lend kayaks?")
        await stack.stored(await third.conversation())
        return (await third.messages())[-1].content == "At the jetty."

    await eventually(answered, what="the new article to answer")
    (use, *_) = (await manager.http.get(f"{base}/articles/kayaks/uses")).json()
    assert (use["question"], use["answer"]) == ("do you lend kayaks?", "At the jetty.")


async def test_a_persons_reply_is_saved_as_an_article(
    stack: Stack, guest: Guest, answering: None, manager: Person, base: str
) -> None:
    await guest.ask("do you lend binoculars?")
    conversation = await guest.conversation()
    await stack.conversations.claim(command(conversation))
    said = await stack.conversations.reply(reply(conversation, "Yes, at the desk."))
    await stack.stored(await guest.conversation())
    body = {"conversationId": conversation.conversation_id, "messageId": said.id, "title": "Binoculars"}
    saved = await manager.http.post(f"{base}/replies", json=body)
    assert saved.status_code == 201
    assert (saved.json()["text"], saved.json()["questions"]) == ("Yes, at the desk.", ["do you lend binoculars?"])
    assert (await manager.http.get(f"{base}/gaps")).json() == []
    assert problem(await manager.http.post(f"{base}/replies", json=body)) == (422, "invalid")
    missing = await manager.http.post(f"{base}/replies", json={**body, "messageId": "nothing"})
    assert problem(missing) == (404, "not_found")


def test_questions_that_mean_the_same_are_one_gap() -> None:
    texts = (
        "Where can I rent a kayak?",
        "is there a helipad",
        "where can i rent a kayak",
        "rent a kayak where?",
        "Is there a helipad??",
    )
    asked = [GapQuestion(conversation_id="c", message_id=uuid.uuid4().hex, text=text, at=NOW) for text in texts]
    assert [(gap.count, gap.questions[0].text) for gap in grouped(asked)] == [
        (3, "Where can I rent a kayak?"),
        (2, "is there a helipad"),
    ]


def test_a_hotel_without_articles_retrieves_nothing() -> None:
    assert Hotel([]).retrieve(["breakfast?"], characters=1_000) == []
