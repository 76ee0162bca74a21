"""The hotel's staff and their passwords."""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid4, uuid5

from pwdlib import PasswordHash
from sqlalchemy import Row, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlmodel import col

from activities.storage.access_tables import StaffSessionRow
from activities.storage.database import Database
from activities.storage.paging import Slice, TimePosition, newest_first
from activities.storage.revocations import Ending, revoke_all_of
from activities.storage.tables import StaffRow
from contracts.problems import Invalid, StorageAway
from contracts.staff import DEMO_PASSWORD, DEMO_PROPERTY, Staff, StaffMember, StaffRole

PASSWORD_LENGTH: Final = range(8, 1025)
DEMO_ROLES: Final[tuple[StaffRole, ...]] = ("admin", "manager", "agent")
PASSWORDS: Final = PasswordHash.recommended()
ENDS_SESSIONS: Final = frozenset({"role", "properties", "disabled", "password"})
"""Fields whose change ends the person's sessions."""


@dataclass(frozen=True, slots=True)
class Account:
    """A member of staff with what signing in needs. `version` counts changes."""

    member: StaffMember
    password_hash: str
    version: int

    @property
    def staff(self) -> Staff:
        return Staff.model_validate(self.member.model_dump(by_alias=False))

    @property
    def disabled(self) -> bool:
        return self.member.disabled


@dataclass(frozen=True, slots=True)
class Changed:
    """A member of staff after a change, and the ended sessions, which must be announced."""

    account: Account
    endings: list[Ending]


class StaffAccounts:
    """Every method raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self,
        *,
        email: str,
        name: str,
        role: StaffRole,
        properties: Sequence[str],
        password: str,
        staff_id: str | None = None,
    ) -> Staff:
        """Adds a member of staff, once per id.

        Raises Invalid if the e-mail address is taken or invalid, or the password too short.
        """
        _check_password(password)
        staff = Staff(
            id=staff_id or str(uuid4()), email=_address(email), name=name, role=role, properties=list(properties)
        )
        if not await self._insert(staff, password):
            there = await self.get(staff.id)
            if there is None or there.member.email != staff.email:
                raise _taken()
        return staff

    async def members(
        self, properties: Sequence[str], *, disabled: bool | None, limit: int, after: TimePosition | None
    ) -> Slice[StaffMember, TimePosition]:
        """Everybody who works at one of the properties, newest first."""
        at, row_id = col(StaffRow.created_at), col(StaffRow.id)
        statement = select(StaffRow).where(col(StaffRow.properties).op("&&")(list(properties)))
        if disabled is not None:
            statement = statement.where(col(StaffRow.disabled).is_(disabled))
        rows, end = await newest_first(self._database, statement, at, row_id, limit=limit, after=after)
        return Slice([_account(row).member for row in rows], end)

    async def update(
        self, staff_id: str, changes: dict[str, Any], allow: Callable[[Account], None], *, keep: str | None = None
    ) -> Changed | None:
        """Changes a member of staff; returns None if unknown. `allow` gets the current one and raises to forbid it.

        Changing permissions or the password ends their sessions, except for the one to `keep`. Raises Invalid if the
        e-mail address is taken or invalid, or the password too short.
        """
        values = dict(changes)
        if "email" in values:
            values["email"] = _address(values["email"])
        if "password" in values:
            password = values.pop("password")
            _check_password(password)
            values["password_hash"] = await asyncio.to_thread(PASSWORDS.hash, password)
        mine = col(StaffRow.id) == staff_id
        try:
            async with self._database.begin() as connection:
                row = (await connection.execute(select(StaffRow).where(mine).with_for_update())).one_or_none()
                if row is None:
                    return None
                account = _account(row)
                allow(account)
                ends = [name for name in ENDS_SESSIONS & changes.keys() if changes[name] != getattr(row, name, None)]
                if values:
                    new = update(StaffRow).where(mine).values(**values, version=StaffRow.version + 1)
                    account = _account((await connection.execute(new.returning(StaffRow))).one())
                return Changed(account, await revoke_all_of(connection, staff_id, but=keep) if ends else [])
        except IntegrityError:
            raise _taken() from None

    async def strengthen(self, account: Account, password_hash: str) -> None:
        """Stores the same password with the current hash settings, unless it has been changed meanwhile.

        Nothing visible changes, so version and sessions stay.
        """
        same = (col(StaffRow.id) == account.member.id) & (col(StaffRow.password_hash) == account.password_hash)
        async with self._database.begin() as connection:
            await connection.execute(update(StaffRow).where(same).values(password_hash=password_hash))

    async def note_session(self, account: Account, session_id: str, ends_at: datetime) -> bool:
        """Records a new session. Returns False if the account has changed since it was read."""
        same = select(col(StaffRow.id)).where(
            col(StaffRow.id) == account.member.id, col(StaffRow.version) == account.version
        )
        async with self._database.begin() as connection:
            # Concurrent changes of the account wait for this, and then find the session.
            if (await connection.execute(same.with_for_update(read=True))).one_or_none() is None:
                return False
            over = col(StaffSessionRow.ends_at) < datetime.now(UTC)
            await connection.execute(delete(StaffSessionRow).where(over))
            new = insert(StaffSessionRow).values(session_id=session_id, staff_id=account.member.id, ends_at=ends_at)
            await connection.execute(new)
        return True

    async def mentioned(self, property_id: str, note: str) -> list[str]:
        """Ids of a property's staff whom a note mentions, by `@` and their name or the part of their address before the
        `@`. Empty while storage is away."""
        words = note.casefold()
        statement = select(StaffRow).where(col(StaffRow.properties).contains([property_id]), ~col(StaffRow.disabled))
        try:
            async with self._database.begin() as connection:
                rows = (await connection.execute(statement)).all()
        except StorageAway:
            return []
        return [row.id for row in rows if _is_named(words, row.name) or _is_named(words, row.email.partition("@")[0])]

    async def by_email(self, email: str) -> Account | None:
        return await self._find(col(StaffRow.email) == normal_email(email))

    async def get(self, staff_id: str) -> Account | None:
        return await self._find(col(StaffRow.id) == staff_id)

    async def mail_kinds(self, staff_id: str) -> list[str]:
        """The kinds of notifications that somebody gets by e-mail."""
        wish = select(col(StaffRow.mail_kinds)).where(col(StaffRow.id) == staff_id)
        async with self._database.begin() as connection:
            return (await connection.execute(wish)).scalar_one_or_none() or []

    async def wish_mails(self, staff_id: str, kinds: Sequence[str]) -> None:
        wish = update(StaffRow).where(col(StaffRow.id) == staff_id).values(mail_kinds=list(kinds))
        async with self._database.begin() as connection:
            await connection.execute(wish)

    async def ensure_demo(self) -> list[Staff]:
        """The demo property's staff, one per role. Missing ones are added."""
        team = [
            Staff(
                id=str(uuid5(NAMESPACE_URL, f"{role}@{DEMO_PROPERTY}.demo")),
                email=f"{role}@{DEMO_PROPERTY}.demo",
                name=f"Demo {role.capitalize()}",
                role=role,
                properties=[DEMO_PROPERTY],
            )
            for role in DEMO_ROLES
        ]
        for staff in team:
            if await self.by_email(staff.email) is None:
                await self._insert(staff, DEMO_PASSWORD)
        return team

    async def _insert(self, staff: Staff, password: str) -> bool:
        """Returns False if the e-mail address is taken."""
        values = {
            **staff.model_dump(by_alias=False),
            "password_hash": await asyncio.to_thread(PASSWORDS.hash, password),
            "disabled": False,
            "created_at": datetime.now(UTC),
        }
        new = insert(StaffRow).values(**values).on_conflict_do_nothing().returning(col(StaffRow.id))
        async with self._database.begin() as connection:
            return (await connection.execute(new)).one_or_none() is not None

    async def _find(self, condition: Any) -> Account | None:
        async with self._database.begin() as connection:
            row = (await connection.execute(select(StaffRow).where(condition))).one_or_none()
        return _account(row) if row is not None else None


def normal_email(email: str) -> str:
    """The normalised form in which an address is stored and looked up."""
    return email.strip().lower()


def _address(email: str) -> str:
    """The normalised address. Raises Invalid if it is not an address."""
    address = normal_email(email)
    name_part, _, domain = address.partition("@")
    if not name_part or not domain or any(char.isspace() for char in address):
        raise Invalid("This is not an e-mail address", field="email")
    return address


def _check_password(password: str) -> None:
    if len(password) not in PASSWORD_LENGTH:
        raise Invalid(
            f"The password must have {PASSWORD_LENGTH.start} to {PASSWORD_LENGTH.stop - 1} characters",
            field="password",
        )


def _taken() -> Invalid:
    return Invalid("Somebody with this e-mail address already exists", field="email")


def _account(row: Row[Any]) -> Account:
    return Account(StaffMember.model_validate(row, from_attributes=True), row.password_hash, row.version)


def _is_named(words: str, name: str) -> bool:
    return re.search(rf"(?<!\w)@{re.escape(name.casefold())}(?!\w)", words) is not None
