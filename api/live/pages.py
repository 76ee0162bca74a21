"""The static pages: the guest chat at `/`, and for staff, conversations at `/staff` and tasks at `/staff/tasks`."""

from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from starlette.responses import FileResponse, RedirectResponse, Response

from api.deps import GatewayState
from api.routers import public_router
from contracts.problems import NotFound

FOLDER: Final = Path(__file__).resolve().parents[2] / "console"
FILES: Final = frozenset(
    {
        *("style.css", "shared.js"),
        "chat.js",
        *("session.css", "session.js", "notifications.js"),
        *("staff.css", "staff.js"),
        *("tasks.css", "tasks.js"),
    }
)
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

router = public_router("a static page, which loads its data itself", in_schema=False)


@router.get("/")
async def chat(state: GatewayState, property: str | None = None) -> Response:
    """The guest chat of a property, by default of the first one."""
    if property is None and state.settings.properties:
        first = next(iter(state.settings.properties))
        return RedirectResponse(f"/?{urlencode({'property': first})}", headers=HEADERS)
    return FileResponse(FOLDER / "chat.html", headers=HEADERS)


@router.get("/staff")
async def staff() -> Response:
    return FileResponse(FOLDER / "staff.html", headers=HEADERS)


@router.get("/staff/tasks")
async def tasks() -> Response:
    return FileResponse(FOLDER / "tasks.html", headers=HEADERS)


@router.get("/static/{name}")
async def static(name: str) -> Response:
    if name not in FILES:
        raise NotFound("There is no such file")
    return FileResponse(FOLDER / name, headers=HEADERS)
