"""Finds the session that an access token or API key stands for, for both REST and sockets."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from activities.storage.api_keys import PREFIX
from contracts.commands import Actor
from contracts.problems import Unauthenticated
from contracts.staff import Staff

if TYPE_CHECKING:
    from api.state import State


@dataclass(frozen=True, slots=True)
class Session:
    """A member of staff who is signed in, or a program with its key.

    `expires_at` is when the session ends unless it is used again, `ends_at` when it ends in any case. `scopes` limit an
    API key; a person has none and may do everything their role allows.
    """

    id: str
    staff: Staff
    started_at: datetime
    expires_at: datetime
    ends_at: datetime
    renewed: bool = False
    scopes: frozenset[str] | None = None

    @property
    def actor(self) -> Actor:
        return Actor(id=self.staff.id, name=self.staff.name)


async def authenticate(state: "State", token: str) -> Session:
    """The session of an access token (renewed if it is about to expire) or of an API key.

    Raises Unauthenticated if the token is not ours or its session has ended, and StorageAway for a key that cannot be
    looked up now. A socket asks again at the session's `expires_at`, and learns of an earlier end through
    `state.sessions.watch(session.id)`.
    """
    if token.startswith(PREFIX):
        return await _of_key(state, token)
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


async def _of_key(state: "State", text: str) -> Session:
    seen = await state.api_keys.find(text)
    if seen is None or (not seen.fresh and await state.sessions.was_ended(seen.key.id)):
        raise Unauthenticated("The API key is not valid or no longer valid; an administrator can create another")
    # Nothing renews a key; whoever holds a socket open by it is looked at again after a session's time.
    looked_at_again = datetime.now(UTC) + timedelta(seconds=state.settings.session.ttl)
    expires_at = min(seen.key.expires_at or looked_at_again, looked_at_again)
    return Session(
        id=seen.key.id,
        staff=seen.key.staff,
        started_at=seen.key.created_at,
        expires_at=expires_at,
        ends_at=seen.key.expires_at or expires_at,
        scopes=frozenset(seen.key.scopes),
    )
