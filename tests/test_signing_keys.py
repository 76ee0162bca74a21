"""Signing keys rotate: the new one signs, the old one is accepted until it is taken away."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from pydantic import SecretStr

from api.auth.signing_keys import SigningKeys
from api.live.visitors import Visitor, VisitorTokens
from settings import Security, Settings, SettingsError, load_settings
from tests.api import problem, running_api

OLD, NEW = SecretStr("the old key, of more than 32 bytes"), SecretStr("the new key, of more than 32 bytes")
ME = "/api/v1/auth/me"


async def test_a_session_outlives_a_change_of_keys_until_its_key_is_taken_away(settings: Settings, hotel: str) -> None:
    settings.rate_limit.max_requests = 1_000_000
    settings.security.jwt_secret = OLD
    async with running_api(settings) as api:
        before = (await api.person(hotel)).token
    settings.security.jwt_keys, settings.security.jwt_key_id = {"2027": NEW}, "2027"
    async with running_api(settings) as api:
        assert (await (await api.client(before)).get(ME)).status_code == 200
        after = (await api.person(hotel)).token
    assert [jwt.get_unverified_header(token)["kid"] for token in (before, after)] == ["main", "2027"]
    settings.security.jwt_secret = None
    async with running_api(settings) as api:
        assert problem(await (await api.client(before)).get(ME)) == (401, "unauthenticated")
        assert (await (await api.client(after)).get(ME)).status_code == 200


def test_a_guests_browser_is_known_after_a_change_of_keys() -> None:
    visitor = Visitor("v-1", known=True)
    token = VisitorTokens(SigningKeys({"main": OLD.get_secret_value()}, "main")).sign(visitor, "seaview")
    both = VisitorTokens(SigningKeys({"main": OLD.get_secret_value(), "2027": NEW.get_secret_value()}, "2027"))
    assert both.visitor(token, "seaview") == visitor
    assert not both.visitor(token, "another").known
    assert jwt.get_unverified_header(both.sign(visitor, "seaview"))["kid"] == "2027"


@pytest.mark.parametrize(
    ("security", "said"),
    [
        (Security(), "GATEWAY_SECURITY__JWT_SECRET"),
        (Security(jwt_secret=SecretStr("short")), "security.jwtSecret: must have at least 32"),
        (Security(jwt_keys={"a": SecretStr("short")}, jwt_key_id="a"), "security.jwtKeys.a: must have at least 32"),
        (Security(jwt_secret=OLD, jwt_key_id="2027"), "security.jwtKeyId: no key has the id '2027'; known ids: main"),
    ],
)
def test_keys_that_cannot_be_used_stop_the_start(security: Security, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        SigningKeys.from_settings(security)


def test_no_secret_stands_in_what_is_printed() -> None:
    keys = SigningKeys({"main": OLD.get_secret_value()}, "main")
    assert "old key" not in repr(keys)
    now = datetime.now(UTC)
    token = keys.sign({"sub": "x", "iat": now, "exp": now + timedelta(hours=1)}, audience="somebody")
    assert keys.read(token, audience="somebody", required=["sub"])["sub"] == "x"


def test_keys_come_from_the_environment_by_their_ids(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clean_environment: None
) -> None:
    (tmp_path / "gateway.yaml").write_text(
        f"gateway:\n  security:\n    jwtKeys: {{Old_2026: {OLD.get_secret_value()!r}}}\n"
    )
    monkeypatch.setenv("GATEWAY_CONFIG", str(tmp_path / "gateway.yaml"))
    monkeypatch.setenv("GATEWAY_SECURITY__JWT_KEYS", json.dumps({"2027": NEW.get_secret_value()}))
    monkeypatch.setenv("GATEWAY_SECURITY__JWT_KEY_ID", "2027")
    keys = SigningKeys.from_settings(load_settings().security)
    assert (set(keys.keys), keys.signs) == ({"Old_2026", "2027"}, "2027")
