"""docker-compose.yml against the compose specification's schema, and against the settings it must agree with."""

import json
import re
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml
from pydantic import BaseModel, JsonValue

from settings import load_settings

pytestmark = pytest.mark.usefixtures("clean_environment")

FILE = Path(__file__).parent.parent / "docker-compose.yml"
TEXT = FILE.read_text()


class Need(BaseModel):
    condition: str


class ServiceConfig(BaseModel):
    source: str


class Service(BaseModel):
    environment: dict[str, str] = {}
    depends_on: dict[str, Need] = {}
    healthcheck: dict[str, JsonValue] | None = None
    volumes: list[str] = []
    configs: list[ServiceConfig] = []


class Compose(BaseModel):
    services: dict[str, Service]
    volumes: dict[str, None]
    configs: dict[str, dict[str, str]]


COMPOSE = Compose.model_validate(yaml.safe_load(TEXT))


@pytest.fixture(scope="module")
def specification() -> jsonschema.Draft202012Validator:
    schema = files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"
    return jsonschema.Draft202012Validator(json.loads(schema.read_text()))


def test_the_file_follows_the_specification(specification: jsonschema.Draft202012Validator) -> None:
    specification.validate(yaml.safe_load(TEXT))


def test_the_specification_refuses_a_wrong_key(specification: jsonschema.Draft202012Validator) -> None:
    with pytest.raises(jsonschema.ValidationError):
        specification.validate({"services": {"api": {"image": "gateway", "health": {}}}})


def test_services_wait_for_services_that_can_tell_they_are_healthy() -> None:
    for name, service in COMPOSE.services.items():
        for other, need in service.depends_on.items():
            assert other in COMPOSE.services, f"{name} waits for {other}, which is not there"
            if need.condition == "service_healthy":
                assert COMPOSE.services[other].healthcheck, f"{name} waits for {other}, which has no healthcheck"


def test_volumes_and_configs_are_all_declared_and_used() -> None:
    services = COMPOSE.services.values()
    mounted = {volume.split(":")[0] for service in services for volume in service.volumes}
    assert {name for name in mounted if not name.startswith("./")} == set(COMPOSE.volumes)
    assert {each.source for service in services for each in service.configs} == set(COMPOSE.configs)


def _filled(value: str) -> str:
    """A value as compose reads it, without anything in `.env` but secrets."""
    return re.sub(r"\$\{\w+:(?:-([^}]*)|\?[^}]*)}", lambda found: found[1] or "secret", value)


@pytest.mark.parametrize("program", ["api", "worker"])
def test_a_program_accepts_its_environment(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in COMPOSE.services[program].environment.items():
        monkeypatch.setenv(name, _filled(value))
    settings = load_settings()
    assert settings.temporal.codec_key_id in settings.temporal.codec_keys
    assert settings.temporal.address == "temporal:7233"
    assert settings.database.url == "postgresql://gateway:secret@database:5432/gateway"
    assert settings.redis.url == "redis://redis:6379/0"
    assert settings.security.jwt_secret
    assert settings.security.identity_secret


def test_what_operators_change_is_not_fixed_here() -> None:
    """What a service is given goes before .env and gateway.yaml: the key that seals, and where files are kept."""
    for program in ("api", "worker"):
        environment = COMPOSE.services[program].environment
        assert not [name for name in environment if name.startswith("GATEWAY_MEDIA")]
        assert environment["GATEWAY_TEMPORAL__CODEC_KEY_ID"] == "${GATEWAY_TEMPORAL__CODEC_KEY_ID:-main}"


def test_files_of_the_image_s_own_data_folder_are_kept_in_the_volume() -> None:
    image = (FILE.parent / "Dockerfile").read_text()
    assert "GATEWAY_DATA_DIR=/data" in image
    assert "--owner gateway /data /data/media" in image
    assert "media:/data/media" in COMPOSE.services["api"].volumes


def test_the_image_installs_only_what_is_pinned_by_hash() -> None:
    folder = FILE.parent
    image = (folder / "Dockerfile").read_text().replace("\\\n", "")
    installing = re.findall(r"pip (?:install|sync)[^&\n]*", image)
    assert len(installing) == 3
    assert all("--require-hashes" in each or "--no-deps" in each for each in installing), installing
    sent = (folder / ".dockerignore").read_text().splitlines()
    for name in set(re.findall(r"requirements[\w-]*\.txt", image)):
        assert "--hash=sha256:" in (folder / name).read_text()
        assert f"!{name}" in sent


def test_no_secret_stands_in_the_file() -> None:
    secrets = {
        name: value
        for service in COMPOSE.services.values()
        for name, value in service.environment.items()
        if re.search("SECRET|PASSWORD|PWD|KEYS", name)
    }
    assert len(secrets) >= 6
    for name, value in secrets.items():
        assert re.fullmatch(r"\$\{\w+:\?.*}", value), f"{name} has a value of its own"
