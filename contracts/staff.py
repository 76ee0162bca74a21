"""Hotel staff and what they may do."""

from typing import Literal

from contracts.base import Model, Timestamp

StaffRole = Literal["agent", "manager", "admin"]
Role = Literal["agent", "manager", "admin", "service"]
"""`service` is a program with an API key."""

DEMO_PROPERTY = "seaview"
DEMO_PASSWORD = "seaview"  # noqa: S105 - published with the demo data, which `gateway dev` alone makes


class Staff(Model):
    """Who works here: a person, or a program. `properties` are the ones they may see; an admin of none sees none."""

    id: str
    email: str
    name: str
    role: Role
    properties: list[str]


class StaffMember(Staff):
    """A person as administrators see them. Who is `disabled` cannot sign in."""

    role: StaffRole
    disabled: bool
    created_at: Timestamp


class ApiKey(Model):
    """What a program calls with. It may do what its `scopes` say, at its properties; `begins` tells it from others."""

    id: str
    name: str
    begins: str
    properties: list[str]
    scopes: list[str]
    created_by: str
    created_at: Timestamp
    expires_at: Timestamp | None = None
    last_used_at: Timestamp | None = None
    revoked_at: Timestamp | None = None

    @property
    def staff(self) -> Staff:
        """Whom it stands for in what it does."""
        return Staff(id=self.id, email="", name=self.name, role="service", properties=self.properties)
