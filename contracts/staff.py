"""Hotel staff and what they may do."""

from typing import Literal

from contracts.base import Model, Timestamp

StaffRole = Literal["agent", "manager", "admin"]
Role = Literal["agent", "manager", "admin", "service"]
"""`service` stands for a program with an API key."""

DEMO_PROPERTY = "seaview"
DEMO_PASSWORD = "seaview"  # noqa: S105 - published with the demo data, which `gateway dev` alone makes


class Staff(Model):
    """A person or program that works here. `properties` are those they may see; even an admin sees no others."""

    id: str
    email: str
    name: str
    role: Role
    properties: list[str]


class StaffMember(Staff):
    """A person as administrators see them. Somebody `disabled` cannot sign in."""

    role: StaffRole
    disabled: bool
    created_at: Timestamp


class ApiKey(Model):
    """A program's key, limited to its `scopes` and properties. `begins` is its prefix, to tell keys apart."""

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
        """The member of staff that the key acts as."""
        return Staff(id=self.id, email="", name=self.name, role="service", properties=self.properties)
