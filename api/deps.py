"""FastAPI dependencies of routes: the process state, the authorised caller, the conversation a path names."""

import re
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID, uuid5

from fastapi import Depends, Header, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from api.auth.permissions import Permission, require_permission, require_property
from api.auth.sessions import Session
from api.gate import SESSION_KEY
from api.names import LASTING_KEY
from api.state import State, state_of
from contracts.conversations import Conversation
from contracts.problems import NotFound, StorageAway, Unauthenticated

BEARER: Final = HTTPBearer(bearerFormat="JWT", description="The `accessToken` of a sign-in, or an API key (`gw_…`).")
DEGRADED_HEADER: Final = "Gateway-Degraded"
_CONVERSATION_ID: Final = re.compile(r"[a-z2-7]{26}-[0-9a-f]{8}")
KEYED_IDS: Final = UUID("0b7c8a1e-6d1f-4e0c-9a55-8f4f0f6f9b10")
"""UUID namespace of ids derived from idempotency keys."""
_ID: Final = re.compile(r"[\x21-\x7e]{1,256}")


async def _state(request: Request) -> State:
    return state_of(request)


GatewayState = Annotated[State, Depends(_state)]


@dataclass(frozen=True, slots=True)
class Allow(SecurityBase):
    """A route's permission: gives the caller's session, or refuses. In OpenAPI it appears as the bearer token."""

    permission: Permission
    model = BEARER
    scheme_name = "accessToken"

    async def __call__(self, request: Request) -> Session:
        session: Session | None = request.scope.get(SESSION_KEY)
        if session is None:
            raise Unauthenticated("Sign in first")
        require_permission(session, self.permission)
        return session


SignedIn = Annotated[Session, Depends(Allow(Permission.OWN_SESSION))]
ReadsConversations = Annotated[Session, Depends(Allow(Permission.READ_CONVERSATIONS))]
WritesConversations = Annotated[Session, Depends(Allow(Permission.WRITE_CONVERSATIONS))]
ReadsGuests = Annotated[Session, Depends(Allow(Permission.READ_GUESTS))]
WritesGuests = Annotated[Session, Depends(Allow(Permission.WRITE_GUESTS))]
ManagesGuests = Annotated[Session, Depends(Allow(Permission.MANAGE_GUESTS))]
ReadsTasks = Annotated[Session, Depends(Allow(Permission.READ_TASKS))]
WritesTasks = Annotated[Session, Depends(Allow(Permission.WRITE_TASKS))]
ReadsNotifications = Annotated[Session, Depends(Allow(Permission.READ_NOTIFICATIONS))]
ReadsQuarantine = Annotated[Session, Depends(Allow(Permission.READ_QUARANTINE))]
RetriesQuarantine = Annotated[Session, Depends(Allow(Permission.RETRY_QUARANTINE))]
ReadsKnowledge = Annotated[Session, Depends(Allow(Permission.READ_KNOWLEDGE))]
WritesKnowledge = Annotated[Session, Depends(Allow(Permission.WRITE_KNOWLEDGE))]
ReadsStaff = Annotated[Session, Depends(Allow(Permission.READ_STAFF))]
WritesStaff = Annotated[Session, Depends(Allow(Permission.WRITE_STAFF))]
ManagesApiKeys = Annotated[Session, Depends(Allow(Permission.MANAGE_API_KEYS))]
ReadsWebhooks = Annotated[Session, Depends(Allow(Permission.READ_WEBHOOKS))]
WritesWebhooks = Annotated[Session, Depends(Allow(Permission.WRITE_WEBHOOKS))]
ReadsAutomations = Annotated[Session, Depends(Allow(Permission.READ_AUTOMATIONS))]
WritesAutomations = Annotated[Session, Depends(Allow(Permission.WRITE_AUTOMATIONS))]
ReadsReports = Annotated[Session, Depends(Allow(Permission.READ_REPORTS))]


async def _lasting_key(request: Request) -> str | None:
    key: str | None = request.scope.get(LASTING_KEY)
    return key


IdempotencyKey = Annotated[str | None, Depends(_lasting_key)]
"""For deriving ids. `api.idempotency` checks it and adds the day, and `api.openapi` describes it for every POST."""
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="The `ETag` that the change is based on. If it has changed meanwhile, the response is 412.",
        examples=['"3"'],
    ),
]


def keyed(session: Session, what: str, idempotency_key: str | None) -> str | None:
    """The same id for the same caller, `what` and key; None without a key."""
    if idempotency_key is None:
        return None
    return str(uuid5(KEYED_IDS, f"{session.staff.id} {what} {idempotency_key}"))


@dataclass(frozen=True, slots=True)
class Found:
    """A conversation that the caller may see. `degraded`: it was read from Temporal because storage is away."""

    conversation: Conversation
    degraded: bool

    @property
    def headers(self) -> dict[str, str]:
        return {DEGRADED_HEADER: "storage"} if self.degraded else {}


async def find_conversation(state: State, session: Session, conversation_id: str) -> Found:
    """A conversation by id, from storage or, if that is away or does not have it yet, from its workflow.

    Raises NotFound for an unknown id and Forbidden if the caller has no access to its property.
    """
    if not _CONVERSATION_ID.fullmatch(conversation_id):
        raise NotFound(f"There is no conversation {conversation_id!a}")
    stored, degraded = None, False
    try:
        stored = await state.stored.get(conversation_id)
    except StorageAway:
        degraded = True
    conversation = stored or await state.conversations.get(conversation_id)
    require_property(session.staff, conversation.property_id)
    return Found(conversation, degraded)


def known_id(what: str, row_id: str) -> str:
    """Passes on an id from a path. Raises NotFound if it cannot be one of our ids."""
    if not _ID.fullmatch(row_id):
        raise NotFound(f"There is no {what} with this id")
    return row_id
