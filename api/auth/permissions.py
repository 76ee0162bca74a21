"""Who may do what: one table from permission to roles. What is not in it is denied."""

from enum import StrEnum

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
    READ_REPORTS = "reports:read"


EVERYONE: frozenset[Role] = frozenset({"agent", "manager", "admin"})

ALLOWED: dict[Permission, frozenset[Role]] = {
    Permission.OWN_SESSION: EVERYONE,
    Permission.READ_CONVERSATIONS: EVERYONE,
    Permission.WRITE_CONVERSATIONS: EVERYONE,
    Permission.READ_GUESTS: EVERYONE,
    Permission.WRITE_GUESTS: EVERYONE,
    Permission.MANAGE_GUESTS: frozenset({"manager", "admin"}),
    Permission.READ_TASKS: EVERYONE,
    Permission.WRITE_TASKS: EVERYONE,
    Permission.READ_NOTIFICATIONS: EVERYONE,
    Permission.READ_QUARANTINE: EVERYONE,
    Permission.RETRY_QUARANTINE: EVERYONE,
    Permission.READ_KNOWLEDGE: EVERYONE,
    Permission.WRITE_KNOWLEDGE: frozenset({"manager", "admin"}),
    Permission.READ_REPORTS: frozenset({"manager", "admin"}),
}


def manages(staff: Staff) -> bool:
    """Whether somebody sees what is for managers."""
    return staff.role in ("manager", "admin")


def require_permission(staff: Staff, permission: Permission) -> None:
    """Raises Forbidden unless the role of `staff` has the permission."""
    if staff.role not in ALLOWED.get(permission, frozenset()):
        raise Forbidden(f"The role {staff.role} does not have the permission {permission}")


def require_property(staff: Staff, property_id: str) -> None:
    """Raises Forbidden unless the property is one of those that `staff` may see."""
    if property_id not in staff.properties:
        raise Forbidden("This belongs to a property that you are not assigned to")
