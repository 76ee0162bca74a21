"""From an access token to the session it names; REST and sockets ask here."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from contracts.commands import Actor
from contracts.problems import Unauthenticated
from contracts.staff import Staff

if TYPE_CHECKING:
    from api.state import State


@dataclass(frozen=True, slots=True)
class Session:
    """A member of staff who is signed in.

    `expires_at` is when the session ends unless it is used again, `ends_at` when it ends in any case.
    """

    id: str
    staff: Staff
    started_at: datetime
    expires_at: datetime
    ends_at: datetime
    renewed: bool = False

    @property
    def actor(self) -> Actor:
        return Actor(id=self.staff.id, name=self.staff.name)


async def authenticate(state: "State", token: str) -> Session:
    """The session of an access token, renewed if little of it is left.

    Raises Unauthenticated if the token is not ours, or its session has ended. A socket asks again when the session's
    `expires_at` has come, and is told of an earlier end by `state.sessions.watch(session.id)`.
    """
    claims = state.tokens.read(token)
    lease = await state.sessions.check(claims.sid, started_at=claims.iat, ends_at=claims.exp, recorded=claims.recorded)
    if lease is None:
        raise Unauthenticated("The session has ended; sign in again")
    return Session(
        id=claims.sid,
        staff=claims.staff,
        started_at=claims.iat,
        expires_at=lease.expires_at,
        ends_at=claims.exp,
        renewed=lease.renewed,
    )
