"""The automations of a property: its rules, and which of them would fire."""

from typing import Annotated, Any, Final

from fastapi import Body, Query, Response
from pydantic import ConfigDict, Field

import contracts.base
from api.auth.permissions import require_property
from api.auth.sessions import Session
from api.changes import check_version
from api.deps import GatewayState, IfMatch, ReadsAutomations, WritesAutomations, find_conversation
from api.openapi import VERSION, WITH_BODY, problems
from api.routers import rest_router
from api.state import State
from contracts.automations import (
    AssignTo,
    AutomationRule,
    Automations,
    CallWebhook,
    CreateTask,
    NotifyStaff,
    RuleId,
    SendMessage,
    SetPriority,
)
from contracts.base import Model, Timestamp
from contracts.problems import Invalid, NotFound, StaleVersion, Unavailable
from contracts.property_events import EventPattern

router = rest_router("/automations", "automations")
RULES: Final = 100
READ_AT_ONCE: Final = 500
AT_THE_END: Final = frozenset({"conversation.resolved", "conversation.surveyed", "conversation.rated"})
"""Events that happen once a conversation has ended and accepts no more commands."""
EXAMPLE: Final[dict[str, Any]] = {
    "propertyId": "seaview",
    "rules": [
        {
            "id": "night-call",
            "name": "Tell the porter at night",
            "when": ["conversation.escalated"],
            "if": {"businessHours": "closed", "priorities": ["high", "urgent"]},
            "then": [
                {"type": "create_task", "department": "front_desk", "title": "A guest needs help", "dueIn": "PT15M"}
            ],
        }
    ],
}

WOULD_FIRE: Final[dict[str, Any]] = {
    "type": "conversation.escalated",
    "sequence": 412,
    "at": "2026-11-23T08:30:00Z",
    "rules": ["night-call"],
}

PropertyId = Annotated[str, Field(min_length=1, max_length=256)]


class AutomationsBody(contracts.base.Body):
    """All rules of a property. Rules that are left out are deleted."""

    property_id: PropertyId
    rules: Annotated[list[AutomationRule], Field(max_length=RULES)]


class DryRun(contracts.base.Body):
    """`rules` are tried instead of the property's own. `eventTypes` limits the events that are looked at."""

    conversation_id: Annotated[str, Field(min_length=1, max_length=256)]
    event_types: Annotated[list[EventPattern], Field(min_length=1, max_length=50)] | None = None
    rules: Annotated[list[AutomationRule], Field(max_length=RULES)] | None = None


class WouldFire(Model):
    """The rules that would fire for one event of the conversation."""

    type: str
    sequence: int
    at: Timestamp
    rules: list[RuleId]


class DryRunResult(Model):
    """Events in order. Conditions are checked against the conversation as in the event or, if it has none, as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [WOULD_FIRE]}]})

    items: list[WouldFire]


@router.get("", summary="Get a property's automations", responses={200: {"headers": VERSION}})
async def get_automations(
    session: ReadsAutomations,
    state: GatewayState,
    property_id: Annotated[PropertyId, Query(alias="property")],
    response: Response,
) -> Automations:
    require_property(session.staff, property_id)
    found = await state.automations.get(property_id)
    response.headers["ETag"] = _etag(found)
    return found


@router.put(
    "",
    summary="Replace a property's automations",
    responses=WITH_BODY | problems(StaleVersion) | {200: {"headers": VERSION}},
)
async def put_automations(
    session: WritesAutomations,
    state: GatewayState,
    body: Annotated[AutomationsBody, Body(openapi_examples={"night": {"value": EXAMPLE}})],
    response: Response,
    if_match: IfMatch = None,
) -> Automations:
    """Replaces all rules. They apply to everything that happens from now on."""
    require_property(session.staff, body.property_id)
    await _check(state, body.property_id, body.rules)
    _check_ends(body.rules, (await state.automations.get(body.property_id)).rules)

    def allow(current: Automations) -> None:
        check_version(if_match, _etag(current))

    stored = await state.automations.put(body.property_id, body.rules, by=session.staff.id, allow=allow)
    response.headers["ETag"] = _etag(stored)
    return stored


@router.post(
    "/dry-run", summary="Try which automations would fire", responses=WITH_BODY | problems(NotFound, Unavailable)
)
async def dry_run_automations(
    session: ReadsAutomations,
    state: GatewayState,
    body: Annotated[
        DryRun, Body(openapi_examples={"one": {"value": {"conversationId": "mzxw6ytboi4dkmrtgaydambqgq-3f0c9a1e"}}})
    ],
) -> DryRunResult:
    """Checks the first 500 events of a conversation and its tasks against the rules without carrying anything out."""
    found = await find_conversation(state, session, body.conversation_id)
    property_id = found.conversation.property_id
    automations = await state.automations.get(property_id)
    if body.rules is not None:
        automations = automations.model_copy(update={"rules": body.rules})
    items = []
    for event in await state.property_events.of_conversation(property_id, body.conversation_id, limit=READ_AT_ONCE):
        if body.event_types is not None and not event.matches(body.event_types):
            continue
        firing = state.automation_runs.firing(automations, event, await state.automations.facts(event))
        if firing:
            ids = [rule.id for rule in firing]
            items.append(WouldFire(type=event.type, sequence=event.position, at=event.at, rules=ids))
    return DryRunResult(items=items)


@router.get(
    "/{property_id}/{rule_id}", summary="Get an automation", responses=problems(NotFound) | {200: {"headers": VERSION}}
)
async def get_automation(
    session: ReadsAutomations, state: GatewayState, property_id: str, rule_id: str, response: Response
) -> AutomationRule:
    found = await _find(state, session, property_id, rule_id)
    response.headers["ETag"] = _etag(found)
    return next(rule for rule in found.rules if rule.id == rule_id)


@router.delete(
    "/{property_id}/{rule_id}",
    summary="Delete an automation",
    status_code=204,
    responses=problems(NotFound, StaleVersion),
)
async def delete_automation(
    session: WritesAutomations,
    state: GatewayState,
    property_id: str,
    rule_id: str,
    if_match: IfMatch = None,
) -> None:
    """Deletes the automation. What it has already started is still finished."""
    found = await _find(state, session, property_id, rule_id)

    def allow(current: Automations) -> None:
        check_version(if_match, _etag(current))
        check_version(_etag(found), _etag(current))  # or rules that somebody else added meanwhile would be lost

    left = [rule for rule in found.rules if rule.id != rule_id]
    await state.automations.put(property_id, left, by=session.staff.id, allow=allow)


async def _find(state: State, session: Session, property_id: str, rule_id: str) -> Automations:
    require_property(session.staff, property_id)
    found = await state.automations.get(property_id)
    if all(rule.id != rule_id for rule in found.rules):
        raise NotFound(f"There is no automation {rule_id!a} of this property")
    return found


async def _check(state: State, property_id: str, rules: list[AutomationRule]) -> None:
    """Raises Invalid for two rules with the same id, and for actions that name something that does not exist."""
    seen: set[str] = set()
    for number, rule in enumerate(rules):
        if rule.id in seen:
            raise _invalid(f"rules.{number}.id", f"must be unique; {rule.id!r} is used twice")
        seen.add(rule.id)
        for place, action in enumerate(rule.then):
            where = f"rules.{number}.then.{place}"
            match action:
                case CreateTask(assigned_to=str(staff_id)):
                    await _check_staff(state, property_id, staff_id, f"{where}.assignedTo")
                case AssignTo(staff_id=staff_id) | NotifyStaff(staff_id=str(staff_id)):
                    await _check_staff(state, property_id, staff_id, f"{where}.staffId")
                case CallWebhook(endpoint_id=endpoint_id):
                    endpoint = await state.webhook_endpoints.get(endpoint_id)
                    if endpoint is None or endpoint.property_id != property_id:
                        raise _invalid(f"{where}.endpointId", "must be a webhook endpoint of the property")
                case SendMessage(content="", template=None):
                    raise _invalid(f"{where}.content", "must not be empty without a template")


def _check_ends(rules: list[AutomationRule], stored: list[AutomationRule]) -> None:
    """Raises Invalid for actions that an ended conversation always refuses. Rules that are already stored may stay."""
    for number, rule in enumerate(rules):
        ended = sorted(AT_THE_END.intersection(rule.when))
        for place, action in enumerate(rule.then):
            if ended and isinstance(action, SendMessage | SetPriority | AssignTo) and rule not in stored:
                raise _invalid(
                    f"rules.{number}.then.{place}.type",
                    f"at {ended[0]} the conversation has ended and refuses {action.type}; use create_task,"
                    " notify_staff or call_webhook. To ask the guest for a rating, use the setting conversation.survey",
                )


async def _check_staff(state: State, property_id: str, staff_id: str, field: str) -> None:
    account = await state.staff.get(staff_id)
    if account is None or account.disabled or property_id not in account.staff.properties:
        raise _invalid(field, "must be a member of staff of the property")


def _invalid(field: str, what: str) -> Invalid:
    return Invalid(f"{field}: {what}", field=field)


def _etag(automations: Automations) -> str:
    return f'"{automations.version}"'
