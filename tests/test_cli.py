"""The `gateway` command as a person meets it: a process with arguments, input, output and an exit code."""

import asyncio
import os
import re
import socket
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from activities.storage.database import Database
from activities.storage.staff import PASSWORDS, StaffAccounts
from settings import Settings, load_settings
from tests.api import Api
from tests.support import eventually

pytestmark = pytest.mark.usefixtures("clean_environment")
PASSWORD = "a good long password"


@dataclass
class Finished:
    code: int
    output: str
    errors: str


async def gateway(*arguments: str, given: str = "", **variables: str) -> Finished:
    """Runs the command to its end; `variables` are settings, without their prefix."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TERM": "dumb", **{f"GATEWAY_{name}": value for name, value in variables.items()}},
    )
    output, errors = await process.communicate(given.encode())
    assert process.returncode is not None
    assert b"Traceback" not in errors, errors.decode()
    return Finished(process.returncode, output.decode(), errors.decode())


async def test_config_shows_every_setting_with_the_value_in_force() -> None:
    done = await gateway("config", ROUTING__AI_TIMEOUT="1234")
    shown = yaml.safe_load(done.output)["gateway"]
    assert shown["routing"]["aiTimeout"] == 1234
    assert shown["conversation"]["debounce"]["webchat"] == 500
    assert len(shown) == len(Settings.model_fields)


async def test_a_second_worker_at_the_same_port_for_metrics_says_so() -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = await gateway("worker", TEMPORAL__METRICS_PORT=str(port), TEMPORAL__ADDRESS="127.0.0.1:1")
    assert (done.code, done.errors) == (
        1,
        f"temporal.metricsPort: nothing can listen at {port}: Address already in use\n",
    )


@pytest.mark.parametrize("first", ["CODEC_KEYS", "CODEC_KEYS__MAIN"])
async def test_a_key_of_its_own_stands_beside_those_of_a_whole_section(first: str) -> None:
    """Whichever of the two the environment has first: one taken away would leave what it sealed unread."""
    variables = {"CODEC_KEYS": '{"2027": "another"}', "CODEC_KEYS__MAIN": "the first"}
    ordered = sorted(variables, key=lambda name: name != first)
    done = await gateway("config", **{f"TEMPORAL__{name}": variables[name] for name in ordered})
    assert set(yaml.safe_load(done.output)["gateway"]["temporal"]["codecKeys"]) == {"main", "2027"}


async def test_what_config_shows_is_a_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = await gateway(
        "config",
        PROPERTIES='{"Harbour_inn": {"name": "Harbour Inn"}}',
        SESSION__TTL="60",
        SECURITY__JWT_KEYS='{"key_a": "a long random text of 32 characters"}',
    )
    (tmp_path / "gateway.yaml").write_text(done.output)
    monkeypatch.setenv("GATEWAY_CONFIG", str(tmp_path / "gateway.yaml"))
    settings = load_settings()
    assert settings.session.ttl == 60
    assert list(settings.properties) == ["Harbour_inn"]
    assert list(settings.security.jwt_keys) == ["key_a"]


async def test_config_hides_secrets() -> None:
    done = await gateway(
        "config",
        SECURITY__JWT_SECRET="hide-me-1",
        DATABASE__URL="postgresql://gateway:hide-me-2@database/gateway",
        REDIS__URL="redis://:hide-me-3@redis/0",
        TEMPORAL__CODEC_KEYS='{"main": "hide-me-4"}',
        CHANNELS__MESSAGES__CALLBACK_URL="https://hotel.example/hook?hotel=sea&token=hide-me-5#a",
    )
    assert "hide-me" not in done.output
    assert "postgresql://gateway:**********@database/gateway" in done.output
    assert "redis://:**********@redis/0" in done.output
    assert "https://hotel.example/hook?hotel=sea&token=**********#a" in done.output


async def test_config_hides_a_password_with_a_slash_and_one_in_the_query() -> None:
    done = await gateway(
        "config",
        DATABASE__URL="postgresql://gateway:hide-me/1@database/gateway",
        REDIS__URL="redis://redis/0?password=hide-me-2",
    )
    assert "hide-me" not in done.output


async def test_wrong_settings_are_told_one_a_line() -> None:
    done = await gateway("config", SERVER__PORT="many", ROUTING__ESCALATION_THRESHOLD="2", AI__ENGIN="llm")
    lines = sorted(done.errors.splitlines())
    assert done.code == 1
    assert [line.split(":")[0] for line in lines] == ["ai.engin", "routing.escalationThreshold", "server.port"]
    assert "'many'" in lines[2]


async def test_no_time_to_wait_is_no_setting() -> None:
    """As 0 is "without end" elsewhere, PostgreSQL's own setting among them."""
    names = ("DATABASE__CONNECT_TIMEOUT", "DATABASE__STATEMENT_TIMEOUT", "REDIS__TIMEOUT", "SESSION__TTL")
    more = ("ROUTING__AI_TIMEOUT", "WEBSOCKET__PING_TIMEOUT", "INTEGRATION__HTTP__TIMEOUT")
    done = await gateway("config", **dict.fromkeys((*names, *more), "0"))
    told = sorted(line.split(":")[0] for line in done.errors.splitlines())
    assert told == [
        "database.connectTimeout",
        "database.statementTimeout",
        "integration.http.timeout",
        "redis.timeout",
        "routing.aiTimeout",
        "session.ttl",
        "websocket.pingTimeout",
    ]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("chanels: {whatsapp: {accessToken: hide-me}}", "chanels: no such setting"),
        ("properties: {sea_view: {name: Sea, email: {smtpPassword: hide-me}}}", "properties.sea_view.email: no such"),
        ("channels: {email: {smtpPasswort: hide-me}}", "channels.email.smtpPasswort: no such setting"),
        ("channels: {whatsapp: hide-me}", "channels.whatsapp: Input should be"),
        ("security: [{jwtSecret: hide-me}]", "security: Input should be"),
        ("[{security: {jwtSecret: hide-me}}]", "`gateway` must contain sections"),
    ],
)
async def test_what_a_wrong_name_holds_is_not_told(content: str, named: str, tmp_path: Path) -> None:
    """It may be a secret, and what is wrong with the settings stands in the log."""
    (tmp_path / "wrong.yaml").write_text(f"gateway: {{{content}}}" if content[0] != "[" else f"gateway: {content}")
    done = await gateway("config", CONFIG=str(tmp_path / "wrong.yaml"))
    assert done.code == 1
    assert named in done.errors
    assert "hide-me" not in done.errors


@pytest.mark.parametrize("program", ["api", "worker", "dev", "config"])
async def test_every_program_refuses_an_unknown_setting(program: str) -> None:
    done = await gateway(program, SERVR__PORT="3000")
    assert done.code == 1
    assert done.errors.startswith("GATEWAY_SERVR__PORT: no such setting")


@pytest.mark.parametrize("content", ["gateway: [1", "gateway: [1]", "- server", "server: {port: 1}"])
async def test_a_settings_file_that_cannot_be_used_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(content)
    done = await gateway("config", CONFIG=str(tmp_path / "wrong.yaml"))
    assert done.code == 1
    assert done.errors.startswith(f"{tmp_path / 'wrong.yaml'}: ")
    assert done.errors.count("\n") == 1


@pytest.mark.parametrize(
    ("period", "wrong"),
    [
        ("{opens: 10:00, closes: 22:00}", "opens"),  # to YAML, numbers of base 60
        ('{opens: "08:00", closes: 13:00}', "closes"),
        ('{opens: "08:00Z", closes: "13:00"}', "opens"),
        ('{opens: "08:00", closes: "24:00"}', "closes"),
        ('{opens: "08:00", closes: "noon"}', "closes"),
        ("{opens: true, closes: true}", "opens"),
    ],
)
async def test_opening_hours_are_times_of_the_property_s_clock(period: str, wrong: str, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(
        f"gateway: {{properties: {{seaview: {{name: Seaview, hours: {{weekly: {{monday: [{period}]}}}}}}}}}}"
    )
    done = await gateway("config", CONFIG=str(file))
    assert done.code == 1
    assert done.errors.startswith("properties.seaview.hours.weekly.monday.0")
    assert wrong in done.errors


async def test_an_unknown_queue_is_refused_and_the_queues_are_named() -> None:
    done = await gateway("worker", "--queues", "gateway,gateway-bi")
    assert done.code == 2
    assert "no such queue: gateway-bi" in done.errors
    assert "gateway-channels" in done.errors


async def test_a_worker_says_that_temporal_does_not_answer() -> None:
    done = await gateway(
        "worker",
        TEMPORAL__ADDRESS="127.0.0.1:1",
        TEMPORAL__CODEC_KEYS='{"dev": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}',
    )
    assert (done.code, done.errors) == (1, "Temporal does not answer at 127.0.0.1:1\n")


async def test_api_and_worker_say_which_setting_they_lack() -> None:
    for program in ("api", "worker"):
        done = await gateway(program)
        assert done.code == 1
        assert "set GATEWAY_" in done.errors


async def test_a_line_of_the_log_says_when_how_bad_and_from_where() -> None:
    program = "import cli, logging; cli.begin_logging(); logging.getLogger('api.reception').warning('it waits')"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stderr=asyncio.subprocess.PIPE)
    _, errors = await process.communicate()
    line = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} WARNING api\.reception: it waits\n"
    assert re.fullmatch(line, errors.decode())


async def add(settings: Settings, email: str, *more: str, password: str = PASSWORD) -> Finished:
    assert settings.database.url
    return await gateway(
        *("staff", "add", email, "--role", "manager", *more),
        given=f"{password}\n",
        DATABASE__URL=settings.database.url,
        PROPERTIES='{"harbour": {"name": "Harbour Inn"}}',
    )


async def test_staff_add_makes_an_account_that_can_sign_in(settings: Settings, database: Database) -> None:
    email = f"{uuid.uuid4().hex}@harbour.example"
    done = await add(settings, email.upper(), "--property", "harbour", "--name", "Mia")
    assert done.code == 0
    assert PASSWORD not in done.output + done.errors
    account = await StaffAccounts(database).by_email(email)
    assert account is not None
    assert (account.staff.name, account.staff.role, account.staff.properties) == ("Mia", "manager", ["harbour"])
    assert PASSWORDS.verify(PASSWORD, account.password_hash)


async def test_staff_add_refuses_an_address_that_is_taken(settings: Settings) -> None:
    email = f"{uuid.uuid4().hex}@harbour.example"
    assert (await add(settings, email, "--property", "harbour")).code == 0
    again = await add(settings, email, "--property", "harbour")
    assert again.code == 1
    assert "already exists" in again.errors


@pytest.mark.parametrize(
    ("email", "property_id", "password", "complaint"),
    [
        ("not an address", "harbour", PASSWORD, "e-mail address"),
        ("mia@harbour.example", "habour", PASSWORD, "no such property: habour; configured: harbour"),
        ("mia@harbour.example", "harbour", "short", "8 to 1024 characters"),
        ("mia@harbour.example", "harbour", "", "8 to 1024 characters"),
    ],
)
async def test_staff_add_says_what_is_wrong(
    settings: Settings, database: Database, email: str, property_id: str, password: str, complaint: str
) -> None:
    done = await add(settings, email, "--property", property_id, password=password)
    assert done.code != 0
    assert complaint in " ".join(done.errors.replace("│", "").split())
    assert await StaffAccounts(database).by_email(email) is None


async def test_staff_add_says_that_the_database_is_away(settings: Settings, tmp_path: Path) -> None:
    settings.database.url = f"postgresql://postgres:@/postgres?host={tmp_path}"
    done = await add(settings, "mia@harbour.example", "--property", "harbour")
    assert done.code == 1
    assert "PostgreSQL does not answer" in done.errors


async def test_who_has_forgotten_their_password_gets_another_and_is_signed_out(
    settings: Settings, database: Database, api: Api
) -> None:
    email = f"{uuid.uuid4().hex}@harbour.example"
    await add(settings, email, "--property", "harbour")
    before = await api.http.post("/api/v1/auth/login", json={"email": email, "password": PASSWORD})
    done = await _password(settings, email.upper(), "another password")
    assert (done.code, done.output) == (0, f"changed the password of {email}\n")
    assert "another" not in done.output + done.errors
    account = await StaffAccounts(database).by_email(email)
    assert account is not None
    assert PASSWORDS.verify("another password", account.password_hash)
    session = {"authorization": f"Bearer {before.json()['accessToken']}"}

    async def is_out() -> bool:
        return (await api.http.get("/api/v1/auth/me", headers=session)).status_code == 401

    await eventually(is_out, what="the end of the session")


@pytest.mark.parametrize(
    ("email", "password", "complaint"),
    [
        ("nobody@harbour.example", "another password", "nobody signs in with nobody@harbour.example"),
        ("", "another password", "nobody signs in with"),
        (None, "short", "8 to 1024 characters"),
    ],
)
async def test_a_password_that_cannot_be_changed_is_told(
    settings: Settings, database: Database, email: str | None, password: str, complaint: str
) -> None:
    known = f"{uuid.uuid4().hex}@harbour.example"
    await add(settings, known, "--property", "harbour")
    done = await _password(settings, known if email is None else email, password)
    assert done.code != 0
    assert complaint in " ".join(done.errors.replace("│", "").split())
    account = await StaffAccounts(database).by_email(known)
    assert account is not None
    assert PASSWORDS.verify(PASSWORD, account.password_hash)


async def _password(settings: Settings, email: str, password: str) -> Finished:
    assert settings.database.url
    urls = {"DATABASE__URL": settings.database.url, "REDIS__URL": settings.redis.url or ""}
    return await gateway("staff", "password", email, given=f"{password}\n", **urls)


async def test_eval_tells_how_good_the_butler_is(tmp_path: Path) -> None:
    labelled = tmp_path / "labelled.csv"
    labelled.write_text("text,expected,articles\nWhat time is breakfast?,answer,breakfast\nI want a refund!,person,\n")
    done = await gateway("eval", str(labelled), "--svg", str(tmp_path / "plot.svg"))
    assert (done.code, done.errors) == (0, "")
    assert "2 messages, threshold 0.70" in done.output
    assert "100.0%" in done.output
    assert (tmp_path / "plot.svg").read_text().startswith("<svg")


@pytest.mark.parametrize("url", ["http://[::1", "http://127.0.0.1:99999", "http://127.0.0.1:x", "a..b", "ftp://x", ""])
@pytest.mark.parametrize("program", [("chat", "--url"), ("engine", "check")])
async def test_where_nothing_can_be_asked_is_told(program: tuple[str, str], url: str) -> None:
    done = await gateway(*program, url)
    assert done.code == 2
    assert "is not an address" in done.errors


async def test_engine_check_refuses_a_token_that_no_header_takes() -> None:
    done = await gateway("engine", "check", "http://127.0.0.1:1", "--token", "schlüssel")
    assert done.code == 2
    assert "ASCII" in done.errors


async def test_eval_says_what_it_cannot_read_or_write(tmp_path: Path) -> None:
    (tmp_path / "messages.csv").write_bytes(b"\xff\xfe")
    unread = await gateway("eval", str(tmp_path / "messages.csv"))
    assert (unread.code, unread.errors) == (1, "messages.csv: must be UTF-8 text\n")
    unwritten = await gateway("eval", str(tmp_path / "messages.csv"), "--svg", "no/such/plot.svg")
    assert unwritten.code == 2
    assert "there is no folder" in unwritten.errors


async def test_eval_names_a_line_that_is_wrong(tmp_path: Path) -> None:
    labelled = tmp_path / "labelled.jsonl"
    labelled.write_text('{"text": "Hello", "expected": "perhaps"}\n')
    done = await gateway("eval", str(labelled))
    assert done.code == 1
    assert "labelled.jsonl, message 1" in done.errors
