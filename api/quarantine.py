"""Quarantine: what came in by a channel and could not be parsed."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Final

from fastapi import Depends
from pydantic import Field

import activities.channels.twilio
import activities.channels.whatsapp
from activities.storage.paging import TimePosition
from api import spool_rounds
from api.auth.permissions import require_property
from api.deps import GatewayState, IdempotencyKey, ReadsQuarantine, RetriesQuarantine, known_id
from api.lists import Page, PageQuery, cursor_of
from api.openapi import problems
from api.queries import QueryOf
from api.routers import rest_router
from api.state import State
from api.webhooks import email, twilio, whatsapp
from contracts.problems import Invalid, NotFound, Unavailable
from contracts.quarantine import QuarantineItem
from contracts.spool import WAITING

router = rest_router("/quarantine", "quarantine")

ReadAgain = Callable[[State, str, bytes, datetime], Awaitable[str | None]]


async def _hand_over_again(state: State, property_id: str, payload: bytes, at: datetime) -> None:
    await state.reception.hand_over(WAITING.validate_json(payload))


READERS: Final[dict[str, ReadAgain]] = {
    activities.channels.whatsapp.ADAPTER: whatsapp.read_again,
    activities.channels.twilio.ADAPTER: twilio.read_again,
    **email.READERS,
    spool_rounds.ADAPTER: _hand_over_again,
}
"""By adapter, the function that parses an item again. It returns why it still cannot, or None."""


class QuarantinePage(Page[QuarantineItem]):
    pass


class QuarantineQuery(PageQuery):
    property: Annotated[str | None, Field(max_length=256, description="Only this property.")] = None
    adapter: Annotated[str | None, Field(max_length=64, description="Only this adapter, such as `whatsapp`.")] = None
    handled: Annotated[bool | None, Field(description="Only items that a retry has handled, or only the rest.")] = None


@router.get("", summary="List quarantined items")
async def list_quarantine(
    session: ReadsQuarantine, state: GatewayState, query: Annotated[QuarantineQuery, Depends(QueryOf(QuarantineQuery))]
) -> QuarantinePage:
    """Signed messages to your properties that could not be parsed, newest first."""
    properties = session.staff.properties
    if query.property is not None:
        require_property(session.staff, query.property)
        properties = [query.property]
    page = await state.quarantine.list(
        properties,
        adapter=query.adapter,
        handled=query.handled,
        limit=query.limit,
        after=query.position(TimePosition),
    )
    return QuarantinePage(items=page.items, next_cursor=cursor_of(page.end))


@router.post("/{item_id}/retry", summary="Retry a quarantined item", responses=problems(NotFound, Invalid, Unavailable))
async def retry_quarantine(
    session: RetriesQuarantine, state: GatewayState, item_id: str, idempotency_key: IdempotencyKey = None
) -> QuarantineItem:
    """Parses the item again, after a fix in the gateway or its settings. Its messages are handled only once.

    `handledAt` stays null if it still cannot be parsed, and `reason` says why.
    """
    kept = await state.quarantine.get(known_id("quarantined item", item_id))
    if kept is None:
        raise NotFound("There is no quarantined item with this id")
    require_property(session.staff, kept.property_id)
    if kept.adapter not in READERS:
        raise Invalid(f"There is no channel adapter {kept.adapter} any more")
    reason = None if kept.handled else await READERS[kept.adapter](state, kept.property_id, kept.payload, kept.at)
    return await state.quarantine.retried(item_id, reason)
