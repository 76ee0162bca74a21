"""Who may do what: one table from permission to roles. Anything not in it is denied."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from api.auth.sessions import Session
from contracts.problems import Forbidden
from contracts.staff import Role, Staff


class Permission(StrEnum):
    OWN_SESSION = "session:own"
    READ_CONVERSATIONS = "conversations:read"
    WRITE_CONVERSATIONS = "conversations:write"
    READ_GUESTS = "guests:read"
    WRITE_GUESTS = "guests:write"
    MANAGE_GUESTS = "guests:manage"
    READ_TASKS = "tasks:read"
    WRITE_TASKS = "tasks:write"
    READ_NOTIFICATIONS = "notifications:read"
    READ_QUARANTINE = "quarantine:read"
    RETRY_QUARANTINE = "quarantine:retry"
    READ_KNOWLEDGE = "knowledge:read"
    WRITE_KNOWLEDGE = "knowledge:write"
    READ_STAFF = "staff:read"
    WRITE_STAFF = "staff:write"
    MANAGE_API_KEYS = "api-keys:manage"
    READ_WEBHOOKS = "webhooks:read"
    WRITE_WEBHOOKS = "webhooks:write"
    READ_AUTOMATIONS = "automations:read"
    WRITE_AUTOMATIONS = "automations:write"
    READ_REPORTS = "reports:read"


EVERYONE: frozenset[Role] = frozenset({"agent", "manager", "admin"})
AND_PROGRAMS: frozenset[Role] = EVERYONE | {"service"}
MANAGERS: frozenset[Role] = frozenset({"manager", "admin"})
ADMINS: frozenset[Role] = frozenset({"admin"})

ALLOWED: dict[Permission, frozenset[Role]] = {
    Permission.OWN_SESSION: EVERYONE,
    Permission.READ_CONVERSATIONS: AND_PROGRAMS,
    Permission.WRITE_CONVERSATIONS: AND_PROGRAMS,
    Permission.READ_GUESTS: AND_PROGRAMS,
    Permission.WRITE_GUESTS: AND_PROGRAMS,
    Permission.MANAGE_GUESTS: MANAGERS,
    Permission.READ_TASKS: AND_PROGRAMS,
    Permission.WRITE_TASKS: AND_PROGRAMS,
    Permission.READ_NOTIFICATIONS: EVERYONE,
    Permission.READ_QUARANTINE: EVERYONE,
    Permission.RETRY_QUARANTINE: EVERYONE,
    Permission.READ_KNOWLEDGE: AND_PROGRAMS,
    Permission.WRITE_KNOWLEDGE: MANAGERS | {"service"},
    Permission.READ_STAFF: EVERYONE,
    Permission.WRITE_STAFF: ADMINS,
    Permission.MANAGE_API_KEYS: ADMINS,
    Permission.READ_WEBHOOKS: MANAGERS,
    Permission.WRITE_WEBHOOKS: MANAGERS,
    Permission.READ_AUTOMATIONS: EVERYONE,
    Permission.WRITE_AUTOMATIONS: MANAGERS,
    Permission.READ_REPORTS: MANAGERS,
}


@dataclass(frozen=True, slots=True)
class Public:
    """A dependency that marks a route as public. `why` says what protects it instead, or why nothing needs to."""

    why: str

    async def __call__(self) -> None: ...


def permissions_of(role: Role) -> list[Permission]:
    return [permission for permission, roles in ALLOWED.items() if role in roles]


def manages(staff: Staff) -> bool:
    """Whether somebody sees what only managers see."""
    return staff.role in ("manager", "admin")


def may(session: Session, permission: Permission) -> bool:
    """Whether the role has the permission and, for an API key, its scopes include it."""
    in_scope = session.scopes is None or permission in session.scopes
    return in_scope and session.staff.role in ALLOWED.get(permission, frozenset())


def require_permission(session: Session, permission: Permission) -> None:
    """Raises Forbidden unless the caller has the permission."""
    if not may(session, permission):
        whose = f"The role {session.staff.role}" if session.scopes is None else "This API key"
        raise Forbidden(f"{whose} does not have the permission {permission}")


def require_property(staff: Staff, property_id: str) -> None:
    """Raises Forbidden unless the property is one of those that `staff` may see."""
    if property_id not in staff.properties:
        raise Forbidden("This belongs to a property that you do not work at")


def require_properties(staff: Staff, property_ids: Iterable[str]) -> None:
    """Raises Forbidden unless `staff` may see each of the properties."""
    for property_id in property_ids:
        require_property(staff, property_id)
