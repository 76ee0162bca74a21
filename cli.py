"""The `gateway` command. Subcommands import what they need, so that `--help` is quick and the image stays small."""

import asyncio
import gc
import logging
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar
from urllib.parse import urlsplit

import typer

from contracts.names import TaskQueue
from contracts.problems import GatewayError
from contracts.staff import DEMO_PROPERTY, Staff, StaffRole
from settings import KEYED_BY_IDS, Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from activities.storage.database import Database

T = TypeVar("T")

app = typer.Typer(
    help="Hotel guests write, an AI butler answers, a person takes over.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
staff = typer.Typer(help="Manage members of staff.", no_args_is_help=True)
app.add_typer(staff, name="staff")
channels = typer.Typer(help="Check the channels to guests.", no_args_is_help=True)
app.add_typer(channels, name="channels")
engine = typer.Typer(help="Check remote AI engines.", no_args_is_help=True)
app.add_typer(engine, name="engine")

SECRET_OF_URL = re.compile(
    r"((?<=://)[^/:@]*:)[^@]+(@)"  # a slash may be part of the password, as SQLAlchemy reads it
    r"|((?<=[?&])[^=&]*(?:password|secret|token|key|sig)[^=&]*=)[^&#]+",
    re.IGNORECASE,
)
GRACEFUL_SECONDS = 10
"""How long running requests may take after the api was asked to stop."""


def _web_address(url: str | None) -> str | None:
    """Checks a URL from the command line. Without a scheme, http is assumed."""
    if url is None:
        return None
    whole = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(whole)
        possible = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        (parts.hostname or "").encode("idna")
    except ValueError:
        possible = False
    if not possible:
        raise typer.BadParameter(f"{url!r} is not an address such as https://hotel.example")
    return whole


@app.command()
def dev() -> None:
    """Run everything on this machine, with a demo hotel: Temporal, PostgreSQL, Redis, api and worker."""
    os.environ.setdefault("GATEWAY_SERVER__HOST", "127.0.0.1")
    settings = load_settings()
    try:
        from embedded.process import StackError
        from embedded.supervisor import run
    except ModuleNotFoundError as error:
        sys.exit(f"gateway dev needs {error.name}; install gateway[embedded]")
    try:
        asyncio.run(run(settings, typer.echo))
    except StackError as error:
        sys.exit(f"gateway dev: {error}")


def begin_logging() -> None:
    """Gives each line on standard error a time, a level and the module that it comes from."""
    line = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(format=line, datefmt="%Y-%m-%dT%H:%M:%S%z", level=logging.WARNING)


@app.command()
def api() -> None:
    """Serve the HTTP and WebSocket API."""
    import uvloop

    begin_logging()
    uvloop.run(_serve(load_settings()))


async def _serve(settings: Settings) -> None:
    import uvicorn

    from api.live.protocol import protocol_options
    from api.main import create_app

    application = create_app(settings)
    config = uvicorn.Config(
        application,
        host=settings.server.host,
        port=settings.server.port,
        access_log=False,  # addresses and contact ids must not be logged
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
        lifespan="off",
        **protocol_options(settings.websocket),
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn raises the signal again after its shutdown; without this, our resources would not be closed.
        asyncio.get_running_loop().add_signal_handler(number, lambda: None)
    # Entered here and not by uvicorn, which would log a traceback for a missing setting.
    async with application.router.lifespan_context(application):
        gc.freeze()  # what is loaded by now stays; scanning it for garbage would pause us for 0.1 s
        await uvicorn.Server(config).serve()


@app.command()
def worker(
    queues: Annotated[str, typer.Option(help="Task queues to serve, separated by commas.")] = ",".join(TaskQueue),
) -> None:
    """Serve Temporal task queues."""
    served = _queues(queues)

    import uvloop

    from worker import run

    begin_logging()
    uvloop.run(run(load_settings(), served))


def _queues(names: str) -> list[TaskQueue]:
    chosen = [name.strip() for name in names.split(",")]
    unknown = [name for name in chosen if name not in set(TaskQueue)]
    if unknown:
        raise typer.BadParameter(f"no such queue: {', '.join(unknown)}; there are {', '.join(TaskQueue)}")
    return [TaskQueue(name) for name in chosen]


@app.command()
def chat(
    url: Annotated[
        str | None, typer.Option(help="The API's URL. Default: this machine.", callback=_web_address)
    ] = None,
    property_id: Annotated[str, typer.Option("--property", help="The hotel to chat with.")] = "seaview",
) -> None:
    """Chat with a hotel as a guest, in the terminal."""
    from console.terminal_chat import run

    asyncio.run(run(url or f"http://127.0.0.1:{load_settings().server.port}", property_id))


@app.command("eval")
def evaluate(
    file: Annotated[Path, typer.Argument(help="Labelled messages, as JSON Lines or CSV.")],
    property_id: Annotated[str, typer.Option("--property", help="The hotel whose engine is asked.")] = DEMO_PROPERTY,
    svg: Annotated[Path | None, typer.Option(help="Also write a plot to this SVG file.")] = None,
) -> None:
    """Measure the AI engine on labelled messages: how many answers are right, and how many dangerous."""
    from activities.ai.engines import build_engine
    from activities.ai.evaluation import evaluate as run
    from activities.ai.evaluation import load_labelled
    from activities.ai.report import as_svg, as_text
    from settings import Property

    settings = load_settings()
    settings.properties.setdefault(property_id, Property(name=property_id))
    if not file.is_file():
        raise typer.BadParameter(f"there is no file {file}")
    if svg is not None and not svg.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {svg.parent} to write the plot to")
    threshold = settings.routing.escalation_threshold
    found = asyncio.run(run(build_engine(settings), load_labelled(file), property_id=property_id, threshold=threshold))
    typer.echo(as_text(found))
    if svg is not None:
        svg.write_text(as_svg(found))


@engine.command("check")
def check_engine(
    url: Annotated[str, typer.Argument(help="The engine's URL.", callback=_web_address)],
    token: Annotated[str | None, typer.Option(envvar="ENGINE_TOKEN", help="The bearer token to send.")] = None,
    seconds: Annotated[float, typer.Option(help="How long one answer may take.")] = 20.0,
) -> None:
    """Check that a remote AI engine keeps the contract. The exit status is 1 if it does not."""
    if token is not None and not (token.isascii() and token.isprintable()):
        raise typer.BadParameter("a token must consist of printable ASCII characters")
    faults = asyncio.run(_count_faults(url, token, seconds))
    if faults:
        raise typer.Exit(1)


async def _count_faults(url: str, token: str | None, seconds: float) -> int:
    import httpx
    from pydantic import SecretStr

    from activities.ai.contract_check import ContractCheck

    faults = 0
    async with httpx.AsyncClient() as client:
        checking = ContractCheck(client, url, SecretStr(token) if token else None, seconds)
        async for found in checking.run():
            faults += found.fault is not None
            typer.echo(f"{'FAILED' if found.fault else 'ok    '}  {found.name} ({found.seconds:.2f} s)")
            if found.fault:
                typer.echo(f"        {found.fault}")
    typer.echo(f"{faults} failed" if faults else "the engine keeps the contract")
    return faults


@app.command()
def config() -> None:
    """Print every setting with its value (secrets hidden), or what is wrong with the settings."""
    import yaml
    from pydantic.alias_generators import to_camel

    def shown(value: object, name: Callable[[str], str] = to_camel) -> object:
        match value:
            case dict():
                return {
                    name(key): shown(inner, str if key in KEYED_BY_IDS else to_camel) for key, inner in value.items()
                }
            case str():
                return SECRET_OF_URL.sub(r"\1\3**********\2", value)
            case _:
                return value

    values = load_settings().model_dump(mode="json")
    typer.echo(yaml.safe_dump({"gateway": shown(values)}, sort_keys=False, allow_unicode=True), nl=False)


@channels.command("check")
def check_channels() -> None:
    """Check credentials and webhooks of every property with its providers. The exit status is 1 if any is wrong."""
    from activities.channels.check import check

    found = asyncio.run(check(load_settings()))
    for each in found:
        typer.echo(f"{each.property_id}  {each.channel} {each.looked_at}: {each.problem or 'ok'}")
    if not found:
        typer.echo("no property has a channel with credentials set")
    if any(each.problem for each in found):
        raise typer.Exit(1)


@staff.command()
def add(
    email: Annotated[str, typer.Argument(help="The e-mail address to sign in with.")],
    role: Annotated[StaffRole, typer.Option(help="The role, which decides what they may do.")],
    properties: Annotated[list[str], typer.Option("--property", help="A hotel they may see. Can be repeated.")],
    name: Annotated[str | None, typer.Option(help="The name that colleagues and guests see.")] = None,
) -> None:
    """Add a member of staff. The password is the first line of standard input."""
    settings = load_settings()
    known = set(settings.properties) | ({DEMO_PROPERTY} if _has_own_postgres(settings) else set())
    if unknown := sorted(set(properties) - known):
        raise typer.BadParameter(
            f"no such property: {', '.join(unknown)}; configured: {', '.join(sorted(known)) or 'none'}"
        )
    shown, password = name or email.partition("@")[0], _password()

    async def adding(database: "Database") -> Staff:
        from activities.storage.staff import StaffAccounts

        accounts = StaffAccounts(database)
        return await accounts.add(email=email, name=shown, role=role, properties=properties, password=password)

    person = asyncio.run(_with_database(settings, adding))
    typer.echo(f"added {person.email}, {person.role} of {', '.join(person.properties)}")


@staff.command("password")
def change_password(email: Annotated[str, typer.Argument(help="What they sign in with.")]) -> None:
    """Give a member of staff a new password, and end their sessions. It is the first line of standard input."""
    settings, password = load_settings(), _password()

    async def changing(database: "Database") -> Staff | None:
        from activities.storage.sessions import Sessions
        from activities.storage.staff import StaffAccounts

        accounts = StaffAccounts(database)
        async with _redis(settings) as redis:
            account = await accounts.by_email(email)
            changes = {"password": password}
            changed = await accounts.update(account.member.id, changes, lambda _: None) if account else None
            if changed is None:
                return None
            await Sessions(database, redis, settings.session).announce(changed.endings)
            return changed.account.staff

    person = asyncio.run(_with_database(settings, changing))
    if person is None:
        raise typer.BadParameter(f"nobody signs in with {email}")
    typer.echo(f"changed the password of {person.email}")


def _has_own_postgres(settings: Settings) -> bool:
    """Whether people are kept by the server that `gateway dev` starts."""
    return not settings.database.url and (settings.data_dir / "postgres").is_dir()


async def _with_database(settings: Settings, work: Callable[["Database"], Awaitable[T]]) -> T:
    from activities.storage.database import Database

    database_settings = settings.database
    if _has_own_postgres(settings):
        from embedded.postgres import PostgresServer

        url = PostgresServer(settings.data_dir / "postgres").url
        database_settings = database_settings.model_copy(update={"url": url})
    database = Database(database_settings)
    try:
        await database.migrate()
        return await work(database)
    finally:
        await database.close()


def _redis(settings: Settings) -> "Redis":
    from activities.storage.redis_client import open_redis

    redis_settings = settings.redis
    if not redis_settings.url and (settings.data_dir / "redis").is_dir():
        from embedded.redis import RedisServer

        redis_settings = redis_settings.model_copy(update={"url": RedisServer(settings.data_dir / "redis").url})
    return open_redis(redis_settings)


def _password() -> str:
    """Asks for the password without echo on a terminal; otherwise reads the first line of standard input."""
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")


def main() -> None:
    try:
        app()
    except (SettingsError, GatewayError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
