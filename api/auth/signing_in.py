"""Signing in: an e-mail address and a password for a session and its access token."""

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final
from uuid import uuid4

from activities.storage.sessions import Sessions
from activities.storage.staff import PASSWORDS, Account, StaffAccounts, normal_email
from api.auth.sessions import Session
from api.auth.tokens import Claims, Tokens
from api.limits import Limit
from contracts.problems import BadCredentials, StorageAway, TooManyRequests, Unauthenticated
from contracts.staff import Staff

SESSION_LASTS: Final = timedelta(hours=12)
"""How long a session may last in all, however often it is used."""
FAILURES: Final = 10
FAILURE_WINDOW_SECONDS: Final = 15 * 60
VERIFICATIONS_AT_ONCE: Final = 4
"""A password hash is made to take memory and time, so few are computed at once."""


@cache
def _nobodys_hash() -> str:
    """Verified in place of an account that does not exist, so that it takes as long to refuse."""
    return PASSWORDS.hash(uuid4().hex)


@dataclass(frozen=True, slots=True)
class SignedIn:
    access_token: str
    expires_at: datetime
    staff: Staff


class SignIn:
    def __init__(self, accounts: StaffAccounts, sessions: Sessions, tokens: Tokens, failures: Limit) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._tokens = tokens
        self._failures = failures
        self._verifications = asyncio.Semaphore(VERIFICATIONS_AT_ONCE)
        self._nobodys_hash = _nobodys_hash()

    async def by_password(self, email: str, password: str, address: str) -> SignedIn:
        """Opens a session.

        Raises BadCredentials, TooManyRequests after too many failures for this e-mail from this address, and
        StorageAway while nobody's password can be looked up.
        """
        account = await self._verified(email, password, address)
        session_id, now = uuid4().hex, datetime.now(UTC)
        lease = await self._sessions.open(session_id, now + SESSION_LASTS)
        claims = Claims.of(
            account.staff,
            session_id=session_id,
            started_at=now,
            ends_at=now + SESSION_LASTS,
            recorded=lease.recorded,
        )
        return SignedIn(self._tokens.sign(claims), lease.expires_at, account.staff)

    async def again(self, session: Session) -> SignedIn:
        """Renews a session, with what the member of staff may do by now; its end stays where it was."""
        staff = await self._current(session.staff)
        lease = await self._sessions.renew(session.id, session.ends_at)
        claims = Claims.of(
            staff,
            session_id=session.id,
            started_at=session.started_at,
            ends_at=session.ends_at,
            recorded=lease.recorded,
        )
        return SignedIn(self._tokens.sign(claims), lease.expires_at, staff)

    async def _verified(self, email: str, password: str, address: str) -> Account:
        caller = hashlib.sha256(f"{normal_email(email)}\n{address}".encode()).hexdigest()
        async with self._verifications:
            left = await self._failures.look(caller)
            if left.exceeded:
                raise TooManyRequests("Too many failed sign-ins; try again later", retryAfter=left.reset_seconds)
            account = await self._accounts.by_email(email)
            known = account is not None and not account.disabled
            password_hash = account.password_hash if account is not None and known else self._nobodys_hash
            right = await asyncio.to_thread(PASSWORDS.verify, password, password_hash)
            if account is not None and known and right:
                return account
            await self._failures.take(caller)
        raise BadCredentials("The e-mail address or the password is wrong")

    async def _current(self, staff: Staff) -> Staff:
        try:
            account = await self._accounts.get(staff.id)
        except StorageAway:
            return staff
        if account is None or account.disabled:
            raise Unauthenticated("This account has been closed")
        return account.staff
