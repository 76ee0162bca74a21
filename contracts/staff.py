"""Hotel staff and what they may do."""

from typing import Literal

from contracts.base import Model

Role = Literal["agent", "manager", "admin"]

DEMO_PROPERTY = "seaview"
DEMO_PASSWORD = "seaview"  # noqa: S105 - published with the demo data, which `gateway dev` alone makes


class Staff(Model):
    """A person who works here. `properties` are the ones they may see; an admin of none sees none."""

    id: str
    email: str
    name: str
    role: Role
    properties: list[str]
