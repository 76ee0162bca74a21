"""Reading conversations from storage or, while that is away, from Temporal."""

from typing import Annotated

from fastapi import Depends, Response
from pydantic import Field

from activities.storage.paging import MovingPosition, SeqPosition, TimePosition
from activities.storage.search import ConversationFilter
from api.auth.permissions import require_property
from api.deps import DEGRADED_HEADER, GatewayState, ReadsConversations, find_conversation
from api.lists import Page, PageQuery, cursor_of, page_of_json
from api.openapi import problems
from api.queries import QueryOf
from api.routers import rest_router
from contracts.conversations import Conversation, ConversationState, Outcome
from contracts.events import Event
from contracts.messages import ChannelType, Message
from contracts.names import LARGEST_SEQ
from contracts.problems import NotFound, StorageAway, Unavailable

router = rest_router("/conversations", "conversations")
ONE = problems(NotFound, Unavailable)


class ConversationPage(Page[Conversation]):
    pass


class MessagePage(Page[Message]):
    pass


class EventPage(Page[Event]):
    pass


class OutcomePage(Page[Outcome]):
    pass


class ConversationQuery(PageQuery):
    state: ConversationState | None = None
    channel: ChannelType | None = None
    assigned_to: Annotated[str | None, Field(max_length=256, description="A staff id, or `me`.")] = None
    property: Annotated[str | None, Field(max_length=256, description="Only this property.")] = None
    needs_review: bool | None = None
    q: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=200,
            description='Words in its messages, with `"a phrase"` and `-without`, or the start of its guest\'s names. '
            "Case and accents make no difference.",
        ),
    ] = None


class EventQuery(PageQuery):
    after: Annotated[int, Field(ge=0, le=LARGEST_SEQ, description="The last `seq` you have received.")] = 0


@router.get("", summary="List conversations", response_model=ConversationPage)
async def list_conversations(
    session: ReadsConversations,
    state: GatewayState,
    query: Annotated[ConversationQuery, Depends(QueryOf(ConversationQuery))],
    response: Response,
) -> ConversationPage | Response:
    """Conversations of your properties, the most recently active first.

    Conversations that move to the top while you page through follow at the end of the list: none is missed, and only
    those that changed appear twice.

    While storage is away, the list holds only open conversations that can be read, on a single page, and `q`
    is ignored.
    """
    properties = session.staff.properties
    if query.property is not None:
        require_property(session.staff, query.property)
        properties = [query.property]
    assigned_to = session.staff.id if query.assigned_to == "me" else query.assigned_to
    wanted = ConversationFilter(
        properties=properties,
        state=query.state,
        channel=query.channel,
        assigned_to=assigned_to,
        needs_review=query.needs_review,
        words=query.q,
    )
    after = query.position(MovingPosition)
    try:
        page = await state.stored.list(wanted, limit=query.limit, after=after)
    except StorageAway:
        response.headers[DEGRADED_HEADER] = "storage"
        found = await state.conversations.list_open(
            properties,
            state=query.state,
            channel=query.channel,
            assigned_to=assigned_to,
            needs_review=query.needs_review,
            limit=query.limit,
        )
        return ConversationPage(items=found)
    return page_of_json(page.items, page.end)


@router.get("/{conversation_id}", summary="Get a conversation", responses=ONE)
async def get_conversation(
    session: ReadsConversations, state: GatewayState, conversation_id: str, response: Response
) -> Conversation:
    found = await find_conversation(state, session, conversation_id)
    response.headers.update(found.headers)
    return found.conversation


@router.get("/{conversation_id}/messages", summary="List a conversation's messages", responses=ONE)
async def list_messages(
    session: ReadsConversations,
    state: GatewayState,
    conversation_id: str,
    query: Annotated[PageQuery, Depends(QueryOf(PageQuery))],
    response: Response,
) -> MessagePage:
    """Messages and private notes, oldest first. While storage is away, at most the newest 20."""
    await find_conversation(state, session, conversation_id)
    after = query.position(SeqPosition)
    try:
        page = await state.stored.messages(conversation_id, limit=query.limit, after=after)
    except StorageAway:
        response.headers[DEGRADED_HEADER] = "storage"
        newest = await state.conversations.messages(conversation_id)
        rest = [message for message in newest if after is None or message.seq > after.seq]
        end = SeqPosition(seq=rest[query.limit - 1].seq) if len(rest) > query.limit else None
        return MessagePage(items=rest[: query.limit], next_cursor=cursor_of(end))
    return MessagePage(items=page.items, next_cursor=cursor_of(page.end))


@router.get("/{conversation_id}/events", summary="List a conversation's events", responses=ONE)
async def list_events(
    session: ReadsConversations,
    state: GatewayState,
    conversation_id: str,
    query: Annotated[EventQuery, Depends(QueryOf(EventQuery))],
) -> EventPage:
    """Messages, changes and notifications after `after`, in order of `seq`. Not available while storage is away."""
    await find_conversation(state, session, conversation_id)
    after = query.position(SeqPosition) or SeqPosition(seq=query.after)
    page = await state.stored.events(conversation_id, limit=query.limit, after=after)
    return EventPage(items=page.items, next_cursor=cursor_of(page.end))


@router.get("/{conversation_id}/outcomes", summary="List the outcomes of guest messages", responses=ONE)
async def list_outcomes(
    session: ReadsConversations,
    state: GatewayState,
    conversation_id: str,
    query: Annotated[PageQuery, Depends(QueryOf(PageQuery))],
    response: Response,
) -> OutcomePage:
    """What became of each guest message; every one ends in exactly one outcome. While storage is away, at most 50."""
    await find_conversation(state, session, conversation_id)
    after = query.position(TimePosition)
    try:
        page = await state.stored.outcomes(conversation_id, limit=query.limit, after=after)
    except StorageAway:
        response.headers[DEGRADED_HEADER] = "storage"
        newest = await state.conversations.outcomes(conversation_id)
        rest = [each for each in newest if after is None or (each.at, each.message_id) > (after.at, after.id)]
        last = rest[query.limit - 1] if len(rest) > query.limit else None
        end = TimePosition(at=last.at, id=last.message_id) if last is not None else None
        return OutcomePage(items=rest[: query.limit], next_cursor=cursor_of(end))
    return OutcomePage(items=page.items, next_cursor=cursor_of(page.end))
