"""Signing in with an e-mail address and a password, which gives a session and its access token."""

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final
from uuid import uuid4

from redis.asyncio import Redis

from activities.storage.sessions import Sessions
from activities.storage.staff import PASSWORDS, Account, StaffAccounts, normal_email
from api.auth.sessions import Session
from api.auth.tokens import Claims, Tokens
from api.limits import Limit
from contracts.problems import BadCredentials, StorageAway, TooManyRequests, Unauthenticated
from contracts.staff import Staff

SESSION_LASTS: Final = timedelta(hours=12)
"""How long a session lasts at most, however often it is used."""
FAILURES: Final = 10
"""How many wrong passwords one account may have from one IP address."""
FAILURES_OF_ACCOUNT: Final = 50
FAILURES_OF_ADDRESS: Final = 100
FAILURE_WINDOW_SECONDS: Final = 15 * 60
VERIFICATIONS_AT_ONCE: Final = 4
"""Password hashing takes memory and time by design, so only a few run at once."""


@cache
def _nobodys_hash() -> str:
    """A hash to verify against when the account does not exist, so that refusing takes just as long."""
    return PASSWORDS.hash(uuid4().hex)


@dataclass(frozen=True, slots=True)
class SignedIn:
    access_token: str
    expires_at: datetime
    staff: Staff


class Failures:
    """Counts wrong passwords per account and IP address together, and for each of the two alone.

    So nobody gains guesses by using many addresses or trying many accounts.
    """

    def __init__(self, redis: Redis) -> None:
        def limit(name: str, amount: int) -> Limit:
            return Limit(redis, name, amount=amount, seconds=FAILURE_WINDOW_SECONDS)

        self._both = limit("sign-ins", FAILURES)
        self._account = limit("sign-ins-of-account", FAILURES_OF_ACCOUNT)
        self._address = limit("sign-ins-of-address", FAILURES_OF_ADDRESS)

    async def refuse_guessing(self, email: str, address: str) -> None:
        """Raises TooManyRequests after too many failures."""
        quotas = await asyncio.gather(*(limit.look(caller) for limit, caller in self._counted(email, address)))
        if waits := [quota.reset_seconds for quota in quotas if quota.exceeded]:
            raise TooManyRequests("Too many failed sign-ins; try again later", retryAfter=max(waits))

    async def count(self, email: str, address: str) -> None:
        await asyncio.gather(*(limit.take(caller) for limit, caller in self._counted(email, address)))

    def _counted(self, email: str, address: str) -> list[tuple[Limit, str]]:
        """Each limit with the hashed key that it counts."""
        account = normal_email(email)
        return [
            (self._both, _digest(f"{account}\n{address}")),
            (self._account, _digest(account)),
            (self._address, _digest(address)),
        ]


def _digest(words: str) -> str:
    return hashlib.sha256(words.encode()).hexdigest()


class SignIn:
    def __init__(self, accounts: StaffAccounts, sessions: Sessions, tokens: Tokens, failures: Failures) -> None:
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
        if not await self._accounts.note_session(account, session_id, now + SESSION_LASTS):
            raise BadCredentials("The account has just been changed; sign in again")
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
        """Renews a session with the person's current permissions. Its final end stays the same."""
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

    async def change_password(self, session: Session, current: str, new: str, address: str) -> None:
        """Replaces somebody's password and ends their other sessions.

        Raises BadCredentials if the current password is wrong, TooManyRequests after too many wrong ones, and Invalid
        if the new one is too short.
        """
        known = await self._accounts.get(session.staff.id)
        email = known.member.email if known is not None else session.staff.email
        account = await self._verified(email, current, address)

        def allow(now: Account) -> None:
            if now.version != account.version:
                raise BadCredentials("The account has just been changed; try again")

        changed = await self._accounts.update(session.staff.id, {"password": new}, allow, keep=session.id)
        if changed is not None:
            await self._sessions.announce(changed.endings)

    async def _verified(self, email: str, password: str, address: str) -> Account:
        async with self._verifications:
            await self._failures.refuse_guessing(email, address)
            account = await self._accounts.by_email(email)
            known = account is not None and not account.disabled
            password_hash = account.password_hash if account is not None and known else self._nobodys_hash
            right, stronger = await asyncio.to_thread(PASSWORDS.verify_and_update, password, password_hash)
            if account is not None and known and right:
                if stronger is not None:
                    await self._accounts.strengthen(account, stronger)
                return account
            await self._failures.count(email, address)
        raise BadCredentials("The e-mail address or the password is wrong")

    async def _current(self, staff: Staff) -> Staff:
        try:
            account = await self._accounts.get(staff.id)
        except StorageAway:
            return staff
        if account is None or account.disabled:
            raise Unauthenticated("This account is disabled")
        return account.staff
