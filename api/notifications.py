"""Notifications for staff."""

from typing import Annotated

from fastapi import Depends
from pydantic import Field

from activities.storage.paging import TimePosition
from api.auth.permissions import manages, require_property
from api.deps import GatewayState, ReadsNotifications, known_id
from api.lists import Page, PageQuery, cursor_of
from api.openapi import problems
from api.queries import QueryOf
from api.routers import rest_router
from contracts.events import Notification
from contracts.problems import NotFound

router = rest_router("/notifications", "notifications")


class NotificationPage(Page[Notification]):
    pass


class NotificationQuery(PageQuery):
    unread: Annotated[bool | None, Field(description="Only unread notifications, or only read ones.")] = None


@router.get("", summary="List notifications")
async def list_notifications(
    session: ReadsNotifications,
    state: GatewayState,
    query: Annotated[NotificationQuery, Depends(QueryOf(NotificationQuery))],
) -> NotificationPage:
    """Notifications of your properties, newest first. `readAt` is when you read them."""
    page = await state.notifications.list(
        session.staff.properties,
        session.staff.id,
        manages=manages(session.staff),
        unread=query.unread,
        limit=query.limit,
        after=query.position(TimePosition),
    )
    return NotificationPage(items=page.items, next_cursor=cursor_of(page.end))


@router.post("/{notification_id}/read", summary="Mark a notification as read", responses=problems(NotFound))
async def read_notification(session: ReadsNotifications, state: GatewayState, notification_id: str) -> Notification:
    """Marks the notification as read for you alone. Repeating it changes nothing."""
    staff = session.staff
    found = await state.notifications.find(known_id("notification", notification_id), staff.id)
    if found is None:
        raise NotFound("There is no notification with this id")
    property_id, notification = found
    require_property(staff, property_id)
    if not notification.is_for(staff.id, manages=manages(staff)):
        raise NotFound("There is no notification with this id")
    return await state.notifications.read(notification_id, session.staff.id)
