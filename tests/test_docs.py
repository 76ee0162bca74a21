"""The docs are true where a test can tell."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import api
from contracts.problems import GatewayError

ROOT = Path(api.__file__).parent.parent


def test_every_error_code_is_listed_with_its_status() -> None:
    for module in pkgutil.walk_packages(api.__path__, "api."):
        importlib.import_module(module.name)
    told = set(re.findall(r"^\| `(\w+)` \| (\d+) ", (ROOT / "docs" / "problems.md").read_text(), re.MULTILINE))
    assert told == {(error.code, str(error.status)) for error in _kinds(GatewayError)}


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def _kinds(error: type[GatewayError]) -> Iterator[type[GatewayError]]:
    for kind in error.__subclasses__():
        yield kind
        yield from _kinds(kind)
