"""Addresses of the servers that the gateway needs: one that can be none is named before anything is asked there."""

import pytest

from activities.storage.database import Database
from activities.storage.redis_client import open_redis
from settings import Database as DatabaseSettings
from settings import Redis, Settings, SettingsError
from workflows.connection import connect


@pytest.mark.parametrize(
    "url",
    [
        "database",
        "",
        "mysql://gateway:hide-me@database/gateway",
        "postgresql://gateway:hide-me@database:port/gateway",
        "postgresql://gateway:hide-me@database/gateway?sslmod=require",
    ],
)
def test_what_is_no_address_of_postgresql_is_told(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^database\.url: ") as refused:
        Database(DatabaseSettings(url=url))
    assert "hide-me" not in str(refused.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
async def test_an_address_may_say_how_it_is_encrypted_as_others_do(settings: Settings, scheme: str) -> None:
    """Providers of PostgreSQL hand out addresses with `sslmode`, which is libpq's name for it."""
    assert settings.database.url is not None
    url = scheme + settings.database.url.removeprefix("postgresql")
    url += ("&" if "?" in url else "?") + "sslmode=disable"
    database = Database(settings.database.model_copy(update={"url": url}))
    await database.ping()
    await database.close()


@pytest.mark.parametrize("url", ["redis", "", "http://redis", "redis://:hide-me/@redis", "redis://redis:port"])
def test_what_is_no_address_of_redis_is_told(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^redis\.url: ") as refused:
        open_redis(Redis(url=url))
    assert "hide-me" not in str(refused.value)


@pytest.mark.parametrize(
    "address", ["temporal", "", "http://temporal:7233", "temporal:port", "temporal:72330", "[::1]"]
)
async def test_what_is_no_address_of_temporal_is_told(settings: Settings, address: str) -> None:
    settings.temporal.address = address
    with pytest.raises(SettingsError, match=r"^temporal\.address: "):
        await connect(settings)


@pytest.mark.parametrize("address", ["temporal:7233", "10.0.0.1:7233", "[::1]:7233", "ns.account.tmprl.cloud:7233"])
async def test_any_address_of_temporal_is_taken(settings: Settings, address: str) -> None:
    settings.temporal.address = address
    await connect(settings)
