"""The description of the interface: valid, complete, fit for generated clients; whatever route is added."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import cast

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.errors import PROBLEM_TYPE
from api.gate import OPEN
from api.names import BASE, KEY_HEADER
from contracts.names import LARGEST_SEQ
from contracts.property_events import EVENT_TYPES
from contracts.webhook_events import FIRED, TEST
from tests.described import Json, check_webhook, description, validator

BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


@pytest.fixture(scope="module")
def described() -> Json:
    return description()


def _operations(described: Json) -> Iterator[tuple[str, str, Json]]:
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            yield method.upper(), path, cast(Json, operation)


def test_it_is_valid(described: Json) -> None:
    assert described["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(described).validate()


def test_every_schema_is_valid(described: Json) -> None:
    for schema in described["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def _schemas(described: object) -> Iterator[Json]:
    """Every object of the description, however deep it stands."""
    if isinstance(described, dict):
        yield described
        described = list(described.values())
    for inner in described if isinstance(described, list) else []:
        yield from _schemas(inner)


def test_every_bound_is_a_number_that_all_readers_agree_on(described: Json) -> None:
    """Beyond, `2**63` is written as 9.223372036854776e+18, and what is just below it is refused against the schema."""
    found = (each.get(name) for each in _schemas(described) for name in BOUNDS)
    bounds = [bound for bound in found if isinstance(bound, int | float)]
    assert LARGEST_SEQ in bounds
    assert [bound for bound in bounds if abs(bound) > 2**53] == []


def test_no_bound_is_lost_on_its_way_into_the_description(described: Json) -> None:
    """Pydantic leaves them there under its own names where a validator stands before them."""
    own = {"ge", "gt", "le", "lt"}
    assert [each for each in _schemas(described) if own & each.keys()] == []


def test_every_operation_says_what_it_is(described: Json) -> None:
    tags = {tag["name"] for tag in described["tags"]}
    for method, path, operation in _operations(described):
        assert operation.get("summary"), (method, path)
        assert len(operation.get("tags", [])) == 1, (method, path)
        assert set(operation["tags"]) <= tags, (method, path)


def test_operation_ids_are_method_names(described: Json) -> None:
    names = [operation["operationId"] for _, _, operation in _operations(described)]
    assert len(names) == len(set(names))
    assert [name for name in names if not re.fullmatch(r"[a-z]+([A-Z][a-z]*)*", name)] == []


def test_every_parameter_says_what_it_means(described: Json) -> None:
    for method, path, operation in _operations(described):
        names = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"}
        assert names == set(re.findall(r"{(\w+)}", path)), (method, path)
        for parameter in operation.get("parameters", ()):
            where = f"{method} {path} {parameter['name']}: see api/parameters.py"
            assert parameter.get("description"), where
            assert "_" not in parameter["name"].removeprefix("hub.verify_token"), where
            assert {"type": "null"} not in parameter["schema"].get("anyOf", ()), where


def test_every_header_of_a_response_says_what_it_means(described: Json) -> None:
    said = described["components"]["headers"]
    used = set()
    for method, path, operation in _operations(described):
        for status, response in operation["responses"].items():
            sent = response.get("headers", {})
            for name, header in sent.items():
                assert header == {"$ref": f"#/components/headers/{name}"}, (method, path, status, name)
                assert said[name]["description"], name
                used.add(name)
            if status in ("429", "503"):
                assert "Retry-After" in sent or path == "/readyz", (method, path, status)
            if "401" in operation["responses"] and path.startswith(f"{BASE}/") and status[0] == "2":
                assert {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "RateLimit-Policy"} <= sent.keys()
                assert ("Session-Expires-At" in sent) is bool(operation.get("security")), (method, path)
            if any(each["name"] == "If-Match" for each in operation.get("parameters", ())) and status == "200":
                assert "ETag" in sent, (method, path)
    assert used == said.keys()


def test_a_generated_client_has_one_type_for_one_thing(described: Json) -> None:
    assert [name for name in described["components"]["schemas"] if not re.fullmatch(r"[A-Z]\w+", name)] == []
    values = Counter(tuple(each["enum"]) for each in _schemas(described) if isinstance(each.get("enum"), list))
    assert [each for each, times in values.items() if times > 1] == [], "see api/client_types.py"


def test_no_body_is_a_choice_of_types_in_a_generated_client(described: Json) -> None:
    """Generators of clients read `anyOf` beside `properties` as one of several classes without those properties."""
    choices = {"anyOf", "oneOf", "allOf"}
    schemas = described["components"]["schemas"]
    assert [name for name, each in schemas.items() if "properties" in each and choices & each.keys()] == []
    for method, path, operation in _operations(described):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert not choices & content["schema"].keys(), (method, path)


def test_a_file_is_one_in_a_generated_client(described: Json) -> None:
    uploads = [described["components"]["schemas"][f"Body_{name}"] for name in ("uploadMedia", "uploadChatMedia")]
    downloads = described["paths"]["/api/v1/media/{mediaId}"]["get"]["responses"]["200"]["content"]
    files = [each["properties"]["file"] for each in uploads] + [downloads["application/octet-stream"]["schema"]]
    assert [each["format"] for each in files] == ["binary"] * 3


def test_what_answers_always_have_is_required(described: Json) -> None:
    schemas = described["components"]["schemas"]
    assert {"unread", "priority", "needsReview", "seq"} <= set(schemas["Conversation"]["required"])
    assert "draft" not in schemas["Conversation"]["required"], "sockets and webhooks leave out what is null"
    assert schemas["ConversationPage"]["required"] == ["items"]
    assert schemas["NewTask"]["required"] == ["propertyId", "department", "title"]


def test_every_webhook_is_described_with_an_example(described: Json) -> None:
    types: list[str] = []
    checked = 0
    for operation in (each["post"] for each in described["webhooks"].values()):
        (content,) = operation["requestBody"]["content"].values()
        body = described["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
        kind = body["properties"]["type"]
        types += kind["enum"] if "enum" in kind else [kind["const"]]
        for example in body["examples"]:
            assert example["type"] in types
            check_webhook(example)
            checked += 1
    assert sorted(types) == sorted([*EVENT_TYPES, FIRED, TEST])
    assert checked == len(described["webhooks"])


def test_every_input_has_an_example(described: Json) -> None:
    for method, path, operation in _operations(described):
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "path":
                assert parameter["schema"].get("examples"), f"{method} {path} {parameter['name']}: see api/examples.py"
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            assert content.get("examples") or kind.startswith("multipart/"), (method, path, kind)


def test_every_answer_has_an_example(described: Json) -> None:
    for method, path, operation in _operations(described):
        answers = {status: each for status, each in operation["responses"].items() if status.startswith("2")}
        assert answers, (method, path)
        for status, answer in answers.items():
            for kind, content in answer.get("content", {}).items():
                if kind not in ("*/*", "application/octet-stream"):
                    assert content.get("examples"), f"{method} {path} {status} {kind}: see api/examples.py"
            assert answer.get("content") or status == "204" or path.startswith("/webhooks/"), (method, path)


def test_every_example_is_of_its_schema(described: Json) -> None:
    checked = 0
    for method, path, operation in _operations(described):
        contents = [operation.get("requestBody", {}), *operation["responses"].values()]
        for content in (each for holder in contents for each in holder.get("content", {}).values()):
            for name, example in content.get("examples", {}).items():
                errors = list(validator(described, content.get("schema", {})).iter_errors(example["value"]))
                assert errors == [], (method, path, name)
                checked += 1
        for parameter in operation.get("parameters", ()):
            for example in parameter["schema"].get("examples", ()):
                assert list(validator(described, parameter["schema"]).iter_errors(example)) == [], (path, parameter)
    assert checked > 100


def test_every_operation_tells_its_refusals(described: Json) -> None:
    for method, path, operation in _operations(described):
        told = set(operation["responses"])
        for status in told - {"503" if path == "/readyz" else ""}:
            if status[0] in "45":
                (kind,) = operation["responses"][status]["content"]
                assert kind == PROBLEM_TYPE, (method, path, status)
        if not path.startswith(BASE):
            continue
        expected = {"429", "503"} if (method, path) in OPEN else {"401", "403", "429", "503"}
        expected |= {"400", "413", "422"} if "requestBody" in operation else set()
        expected |= {"409", "422"} if method == "POST" else set()
        expected |= {"422"} if "{" in path or operation.get("parameters") else set()
        expected |= {"412"} if any(each["name"] == "If-Match" for each in operation.get("parameters", ())) else set()
        assert expected <= told, (method, path, expected - told)
        assert bool(operation.get("security")) is ((method, path) not in OPEN), (method, path)
        if "503" in told:
            assert "storage_away" in operation["responses"]["503"]["content"][PROBLEM_TYPE]["examples"], (method, path)


def test_every_post_takes_an_idempotency_key(described: Json) -> None:
    for method, path, operation in _operations(described):
        names = [each["name"] for each in operation.get("parameters", ())]
        assert names.count(KEY_HEADER) == (method == "POST" and path.startswith(f"{BASE}/")), (method, path)


def test_every_list_is_paged_alike(described: Json) -> None:
    schemas = described["components"]["schemas"]
    pages = 0
    for method, path, operation in _operations(described):
        content = operation["responses"].get("200", {}).get("content", {}).get("application/json", {})
        name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        if "nextCursor" in schemas.get(name, {}).get("properties", {}):
            names = {each["name"] for each in operation["parameters"]}
            assert {"limit", "cursor"} <= names, (method, path)
            pages += 1
    assert pages >= 9


def test_the_problem_of_every_code_is_described_alike(described: Json) -> None:
    problem = validator(described, {"$ref": "#/components/schemas/Problem"})
    for method, path, operation in _operations(described):
        for status, response in operation["responses"].items():
            for code, example in response.get("content", {}).get(PROBLEM_TYPE, {}).get("examples", {}).items():
                value = example["value"]
                assert (value["code"], str(value["status"])) == (code, status), (method, path)
                assert list(problem.iter_errors(value)) == []
