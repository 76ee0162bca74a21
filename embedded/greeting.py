"""What `gateway dev` prints once it is ready."""

import json
import shutil
import sys
from pathlib import Path

from contracts.staff import DEMO_PASSWORD, Staff


def greeting(api_url: str, temporal_ui: str | None, folder: Path, team: list[Staff], seconds: float) -> str:
    """The addresses of everything, and a first command to copy."""
    login = json.dumps({"email": team[0].email, "password": DEMO_PASSWORD})
    rows = {
        "Guest chat": f"{api_url}/",
        "Staff page": f"{api_url}/staff",
        "  sign in as": f"{', '.join(staff.email for staff in team)}; password {DEMO_PASSWORD}",
        "API": f"{api_url}/docs",
        "Temporal UI": temporal_ui or "that of the configured server",
        "Terminal chat": f"{_command()} chat",
        "Secrets": f"{folder / 'secrets.env'}",
        "Logs": f"{folder / 'logs'}",
        "First call": f"curl -s {api_url}/api/v1/auth/login -H 'content-type: application/json' -d '{login}'",
    }
    lines = (f"  {name:<14} {value}" for name, value in rows.items())
    return "\n".join([f"ready after {seconds:.1f} s; Ctrl-C stops everything", *lines])


def _command() -> str:
    """How to run `gateway` from the current folder."""
    if shutil.which("gateway"):
        return "gateway"
    path = Path(sys.executable).with_name("gateway")
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
