"""Commands of staff to a conversation. Each responds with the conversation as it is afterwards."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Body, Depends, Request
from pydantic import Field, StrictBool

import contracts.base
from api.auth.sessions import Session
from api.deps import GatewayState, IdempotencyKey, WritesConversations, find_conversation, keyed
from api.openapi import SIGNED_IN, WITH_BODY, problems
from api.routers import rest_router
from api.state import State
from contracts.base import Moment
from contracts.commands import Assign, ChangePolicy, Command, DecideAction, SetConversationPriority, Snooze
from contracts.conversations import Conversation
from contracts.problems import (
    HeldByOther,
    Invalid,
    NotFound,
    OutcomeUnknown,
    Resolved,
    Unavailable,
    WrongState,
)
from contracts.rules import PolicyChanges, Priority

router = rest_router(
    "/conversations/{conversation_id}",
    "conversations",
    SIGNED_IN | WITH_BODY | problems(NotFound, HeldByOther, WrongState, Resolved, OutcomeUnknown, Unavailable),
)
ActionId = Annotated[str, Field(max_length=256)]


async def _not_null(request: Request) -> None:
    """FastAPI takes `null` for a body that was left out; the description does not offer it."""
    if (await request.body()).strip() == b"null":
        raise Invalid("The body must be an object; leave it out if there is nothing to say")


router.dependencies.append(Depends(_not_null))


class CommandBody(contracts.base.Body):
    reason: Annotated[str | None, Field(max_length=500, description="Shown to staff.")] = None


class AssignBody(CommandBody):
    staff_id: Annotated[str, Field(min_length=1, max_length=256)]


class PriorityBody(CommandBody):
    priority: Priority


class SnoozeBody(CommandBody):
    until: Annotated[Moment, Field(description="A moment in the future, at most a year away.")]


class PolicyBody(PolicyChanges, CommandBody):
    """The rules to change; the others stay. Durations are ISO 8601, such as `PT30M`, or seconds."""


class DecisionBody(CommandBody):
    approve: StrictBool


Reason = Annotated[
    CommandBody | None, Body(openapi_examples={"reason": {"value": {"reason": "The guest asks for a refund"}}})
]


@router.post("/escalate", summary="Escalate to a person")
async def escalate_conversation(
    session: WritesConversations,
    state: GatewayState,
    conversation_id: str,
    body: Reason = None,
    idempotency_key: IdempotencyKey = None,
) -> Conversation:
    """Hands the conversation to staff: the AI stops answering. Repeating it changes nothing."""
    return await _run("escalate", state.conversations.escalate, state, session, conversation_id, body, idempotency_key)


@router.post("/claim", summary="Claim the conversation")
async def claim_conversation(
    session: WritesConversations,
    state: GatewayState,
    conversation_id: str,
    body: Reason = None,
    idempotency_key: IdempotencyKey = None,
) -> Conversation:
    """Assigns the conversation to you. Refused if somebody else holds it."""
    return await _run("claim", state.conversations.claim, state, session, conversation_id, body, idempotency_key)


@router.post("/unassign", summary="Unassign the conversation")
async def unassign_conversation(
    session: WritesConversations,
    state: GatewayState,
    conversation_id: str,
    body: Reason = None,
    idempotency_key: IdempotencyKey = None,
) -> Conversation:
    """Removes the assignee and notifies staff. The AI stays silent."""
    return await _run("unassign", state.conversations.unassign, state, session, conversation_id, body, idempotency_key)


@router.post("/return", summary="Return the conversation to the AI")
async def return_conversation(
    session: WritesConversations,
    state: GatewayState,
    conversation_id: str,
    body: Reason = None,
    idempotency_key: IdempotencyKey = None,
) -> Conversation:
    """Gives the conversation back to the AI, which also answers what you left unanswered. The assignee is removed."""
    return await _run(
        "return", state.conversations.return_to_ai, state, session, conversation_id, body, idempotency_key
    )


@router.post("/resolve", summary="Resolve the conversation")
async def resolve_conversation(
    session: WritesConversations,
    state: GatewayState,
    conversation_id: str,
    body: Reason = None,
    idempotency_key: IdempotencyKey = None,
) -> Conversation:
    """Ends the conversation. The guest's next message begins a new one."""
    return await _run("resolve", state.conversations.resolve, state, session, conversation_id, body, idempotency_key)


@router.post("/assign", summary="Assign the conversation")
async def assign_conversation(
    session: WritesConversations,
    state: GatewayState,
    conversation_id: str,
    body: Annotated[AssignBody, Body(openapi_examples={"colleague": {"value": {"staffId": "6f9619ff"}}})],
    idempotency_key: IdempotencyKey = None,
) -> Conversation:
    """Assigns the conversation to somebody, whoever held it before, and notifies them."""
    found = await find_conversation(state, session, conversation_id)
    account = await state.staff.get(body.staff_id)
    if account is None or account.disabled or found.conversation.property_id not in account.staff.properties:
        raise Invalid("staffId: must be a member of staff of the conversation's property", field="staffId")
    command = Assign(
        conversation_id=conversation_id,
        by=session.actor,
        reason=body.reason,
        staff_id=account.staff.id,
        staff_name=account.staff.name,
    )
    update_id = keyed(session, f"{conversation_id} assign {body.staff_id}", idempotency_key)
    return await state.conversations.assign(command, update_id)


@router.post("/priority", summary="Set the priority")
async def prioritise_conversation(
    session: WritesConversations,
    state: GatewayState,
    conversation_id: str,
    body: Annotated[PriorityBody, Body(openapi_examples={"urgent": {"value": {"priority": "urgent"}}})],
    idempotency_key: IdempotencyKey = None,
) -> Conversation:
    """Sets how soon a person should answer. A running response deadline is recalculated for the new priority."""
    await find_conversation(state, session, conversation_id)
    command = SetConversationPriority(
        conversation_id=conversation_id, by=session.actor, reason=body.reason, priority=body.priority
    )
    update_id = keyed(session, f"{conversation_id} priority {body.priority}", idempotency_key)
    return await state.conversations.prioritise(command, update_id)


@router.post("/snooze", summary="Snooze the conversation")
async def snooze_conversation(
    session: WritesConversations,
    state: GatewayState,
    conversation_id: str,
    body: Annotated[SnoozeBody, Body(openapi_examples={"morning": {"value": {"until": "2026-11-25T08:00:00Z"}}})],
    idempotency_key: IdempotencyKey = None,
) -> Conversation:
    """Hides the conversation until `until`, or until the guest writes. A running response deadline is not extended."""
    await find_conversation(state, session, conversation_id)
    command = Snooze(conversation_id=conversation_id, by=session.actor, reason=body.reason, until=body.until)
    update_id = keyed(session, f"{conversation_id} snooze {body.until.isoformat()}", idempotency_key)
    return await state.conversations.snooze(command, update_id)


@router.post("/read", summary="Mark as read")
async def read_conversation(
    session: WritesConversations,
    state: GatewayState,
    conversation_id: str,
    idempotency_key: IdempotencyKey = None,
) -> Conversation:
    """Marks the conversation as read for everybody."""
    try:
        return await _run("read", state.conversations.read, state, session, conversation_id, None, idempotency_key)
    except Resolved as refused:
        return _of_storage(await state.stored.get(conversation_id), refused)


@router.post("/reviewed", summary="Mark as reviewed")
async def review_conversation(
    session: WritesConversations,
    state: GatewayState,
    conversation_id: str,
    body: Reason = None,
    idempotency_key: IdempotencyKey = None,
) -> Conversation:
    """Clears `needsReview`: somebody has looked at what the AI failed to answer."""
    run = state.conversations.reviewed
    try:
        return await _run("reviewed", run, state, session, conversation_id, body, idempotency_key)
    except Resolved as refused:
        reason = body.reason if body is not None else None
        return _of_storage(await state.stored.reviewed(conversation_id, session.actor.id, reason), refused)


@router.post("/policy", summary="Change the rules of one conversation")
async def change_policy(
    session: WritesConversations,
    state: GatewayState,
    conversation_id: str,
    body: Annotated[PolicyBody, Body(openapi_examples={"drafts": {"value": {"autonomy": "draft"}}})],
    idempotency_key: IdempotencyKey = None,
) -> Conversation:
    """Changes the rules of this one conversation, until it ends. A running response deadline is recalculated."""
    await find_conversation(state, session, conversation_id)
    changes = PolicyChanges.model_validate(body.model_dump(exclude={"reason"}, by_alias=False))
    command = ChangePolicy(conversation_id=conversation_id, by=session.actor, reason=body.reason, changes=changes)
    update_id = keyed(session, f"{conversation_id} policy", idempotency_key)
    return await state.conversations.change_policy(command, update_id)


@router.post("/actions/{action_id}", summary="Approve or refuse an action")
async def decide_action(
    session: WritesConversations,
    state: GatewayState,
    conversation_id: str,
    action_id: ActionId,
    body: Annotated[DecisionBody, Body(openapi_examples={"yes": {"value": {"approve": True}}})],
    idempotency_key: IdempotencyKey = None,
) -> Conversation:
    """Approves or refuses one of the `pendingActions` that the AI asked for."""
    await find_conversation(state, session, conversation_id)
    command = DecideAction(
        conversation_id=conversation_id,
        by=session.actor,
        reason=body.reason,
        action_id=action_id,
        approve=body.approve,
    )
    update_id = keyed(session, f"{conversation_id} action {action_id}", idempotency_key)
    return await state.conversations.decide(command, update_id)


async def _run(
    name: str,
    command: Callable[[Command, str | None], Awaitable[Conversation]],
    state: State,
    session: Session,
    conversation_id: str,
    body: CommandBody | None,
    idempotency_key: str | None,
) -> Conversation:
    await find_conversation(state, session, conversation_id)
    reason = body.reason if body is not None else None
    update_id = keyed(session, f"{conversation_id} {name}", idempotency_key)
    return await command(Command(conversation_id=conversation_id, by=session.actor, reason=reason), update_id)


def _of_storage(stored: Conversation | None, refused: Resolved) -> Conversation:
    """An ended conversation as storage has it; without one, raises the refusal."""
    if stored is None:
        raise refused
    return stored
