"""The docs are true where a test can tell."""

import importlib
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

import api
from api.auth.permissions import ALLOWED
from contracts.problems import GatewayError
from contracts.rules import ConversationPolicy, SurveyRules
from settings import load_settings
from workflows.rules import conversation_policy

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


def test_the_settings_of_a_property_are_what_conversations_run_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: None
) -> None:
    block = re.search(r"    gateway:\n(?:    .*\n)+", (ROOT / "docs" / "conversations.md").read_text())
    assert block is not None
    (tmp_path / "gateway.yaml").write_text(textwrap.dedent(block.group()))
    monkeypatch.setenv("GATEWAY_CONFIG", str(tmp_path / "gateway.yaml"))
    rules = conversation_policy(load_settings(), "seaview", "sms")
    assert rules.hours is not None
    assert [period.opens.hour for period in rules.hours.weekly["monday"]] == [8, 14]
    assert rules.hours.holidays[date(2026, 12, 25)] == []
    assert rules.hours.time_zone == "Europe/Lisbon"
    assert rules.service_levels["normal"].first_response == timedelta(minutes=15)
    assert rules.service_levels["urgent"] == ConversationPolicy().service_levels["urgent"]
    assert (rules.never_ai, rules.away_text) == (["refund", "medical", "safety"], "We are back {back}.")
    assert rules.approvals == ConversationPolicy().approvals
    due_in = [rules.task_due_in[each] for each in ("housekeeping", "maintenance", "concierge")]
    assert due_in == [timedelta(minutes=30), timedelta(hours=2), timedelta(hours=1)]


def test_the_settings_of_the_ai_are_as_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: None
) -> None:
    block = re.search(r"    gateway:\n(?:    .*\n)+", (ROOT / "docs" / "ai.md").read_text())
    assert block is not None
    (tmp_path / "gateway.yaml").write_text(textwrap.dedent(block.group()))
    monkeypatch.setenv("GATEWAY_CONFIG", str(tmp_path / "gateway.yaml"))
    settings = load_settings()
    assert (settings.engine_of("seaview"), settings.engine_of("another")) == ("embedded", "llm")
    assert settings.ai_of("seaview").fallback == ["embedded"]
    assert settings.ai.llm.output_cost == 1.5


def test_the_settings_of_ratings_are_as_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: None
) -> None:
    blocks = re.findall(r"(?:    .*\n)+", (ROOT / "docs" / "conversations.md").read_text())
    (block,) = (each for each in blocks if "survey:" in each)
    (tmp_path / "gateway.yaml").write_text(textwrap.dedent(block))
    monkeypatch.setenv("GATEWAY_CONFIG", str(tmp_path / "gateway.yaml"))
    settings = load_settings()
    own, shared = (conversation_policy(settings, hotel, "sms").survey for hotel in ("seaview", "another"))
    assert shared == SurveyRules()
    assert own is not None
    assert (own.window, own.language, own.words["pt"].thanks) == (SurveyRules().window, "pt", "Obrigado!")


def test_the_table_of_permissions_is_the_one_that_decides() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    roles = ("agent", "manager", "admin", "service")
    told = {
        permission: {role for role, cell in zip(roles, cells.split("|"), strict=True) if cell.strip() == "yes"}
        for permission, cells in re.findall(r"^\| `([\w:-]+)` \|(.*)\|$", page, re.MULTILINE)
    }
    assert told == {str(permission): set(held) for permission, held in ALLOWED.items()}


def _kinds(error: type[GatewayError]) -> Iterator[type[GatewayError]]:
    for kind in error.__subclasses__():
        yield kind
        yield from _kinds(kind)
