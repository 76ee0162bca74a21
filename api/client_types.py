"""Makes the schemas of the description ones from which generators of clients get good types."""

from collections.abc import Iterator
from typing import Any, Final, get_args

from api.names import Dependency
from contracts.events import Audience, NotificationKind
from contracts.guests import Autonomy
from contracts.messages import ChannelType
from contracts.property_events import EVENT_PATTERNS
from contracts.rules import Department, Priority
from contracts.staff import Role, StaffRole
from contracts.tasks import TaskStatus
from contracts.webhooks import DeliveryState, DisabledReason

Json = dict[str, Any]
SCHEMAS: Final = "#/components/schemas/"
_ENUMERATIONS: Final = {
    "Audience": get_args(Audience),
    "Autonomy": get_args(Autonomy),
    "ChannelType": get_args(ChannelType),
    "Department": get_args(Department),
    "DependencyState": get_args(Dependency),
    "EventPattern": EVENT_PATTERNS,
    "NotificationKind": get_args(NotificationKind),
    "Priority": get_args(Priority),
    "Role": get_args(Role),
    "StaffRole": get_args(StaffRole),
    "TaskStatus": get_args(TaskStatus),
    "WebhookDeliveryState": get_args(DeliveryState),
    "WebhookDisabledReason": get_args(DisabledReason),
}
"""Values that occur in several places: one type for all of them, instead of one for each."""
_IS_DATA: Final = frozenset({"default", "example", "examples"})


def fit_for_clients(described: Json) -> None:
    schemas: Json = described["components"]["schemas"]
    names = {values: name for name, values in _ENUMERATIONS.items()}
    within = [{name: each for name, each in schema.items() if name != "title"} for schema in schemas.values()]
    for part in _parts([described["paths"], described["webhooks"], *within]):
        if isinstance(part.get("title"), str):
            del part["title"]  # made of the property's name, it would only be repeated in the names of types
        if "contentMediaType" in part:
            part["format"] = "binary"  # what generators know a file by
        if (name := names.get(tuple(part.get("enum", ())))) is not None:
            for key in ("type", "enum"):
                part.pop(key, None)
            part["$ref"] = f"{SCHEMAS}{name}"
    schemas.update({name: {"type": "string", "enum": list(values)} for name, values in _ENUMERATIONS.items()})
    for name in _only_sent(described, schemas):
        _require_what_is_always_there(schemas[name])


def without_null(schema: Json) -> Json:
    """For a parameter or a whole body, which is left out rather than null."""
    match schema.get("anyOf"):
        case [given, {"type": "null"}]:
            return {**given, **{name: each for name, each in schema.items() if name != "anyOf"}}
    return schema


def _parts(described: object) -> Iterator[Json]:
    """Every object of a part of the description, however deep it stands, without examples."""
    if isinstance(described, dict):
        yield described
        described = [inner for name, inner in described.items() if name not in _IS_DATA]
    for inner in described if isinstance(described, list) else []:
        yield from _parts(inner)


def _only_sent(described: Json, schemas: Json) -> set[str]:
    """The schemas that occur in answers and webhooks alone."""
    operations = [operation for methods in described["paths"].values() for operation in methods.values()]
    asked = _named([each.get("requestBody") for each in operations], schemas)
    return _named([described["webhooks"], *(each["responses"] for each in operations)], schemas) - asked


def _named(described: object, schemas: Json) -> set[str]:
    """The names of all schemas that a part of the description refers to, however indirectly."""
    found: set[str] = set()
    waiting = [described]
    while waiting:
        for part in _parts(waiting.pop()):
            name = str(part.get("$ref", "")).removeprefix(SCHEMAS)
            if name in schemas and name not in found:
                found.add(name)
                waiting.append(schemas[name])
    return found


def _require_what_is_always_there(schema: Json) -> None:
    """A field with a default may be left out of a body, but is in every answer, and unless it is null, in events."""
    properties: dict[str, Json] = schema.get("properties", {})
    never_null = {name for name, each in properties.items() if {"type": "null"} not in each.get("anyOf", ())}
    if required := [name for name in properties if name in never_null or name in schema.get("required", ())]:
        schema["required"] = required
