"""The hotel's staff and their passwords."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid4, uuid5

from pwdlib import PasswordHash
from sqlalchemy import Row, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from activities.storage.database import Database
from activities.storage.tables import StaffRow
from contracts.problems import Invalid, StorageAway
from contracts.staff import DEMO_PASSWORD, DEMO_PROPERTY, Role, Staff

PASSWORD_LENGTH: Final = range(8, 1025)
DEMO_ROLES: Final[tuple[Role, ...]] = ("admin", "manager", "agent")
PASSWORDS: Final = PasswordHash.recommended()


@dataclass(frozen=True, slots=True)
class Account:
    """A member of staff with what a sign-in needs."""

    staff: Staff
    password_hash: str
    disabled: bool


class StaffAccounts:
    """Every method raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, *, email: str, name: str, role: Role, properties: Sequence[str], password: str) -> Staff:
        """Adds somebody. Raises Invalid if the e-mail address is taken or wrong, or the password too short."""
        if len(password) not in PASSWORD_LENGTH:
            raise Invalid(
                f"The password must have {PASSWORD_LENGTH.start} to {PASSWORD_LENGTH.stop - 1} characters",
                field="password",
            )
        address = normal_email(email)
        name_part, _, domain = address.partition("@")
        if not name_part or not domain or any(char.isspace() for char in address):
            raise Invalid("This is not an e-mail address", field="email")
        staff = Staff(id=str(uuid4()), email=address, name=name, role=role, properties=list(properties))
        if not await self._insert(staff, password):
            raise Invalid("Somebody with this e-mail address is there already", field="email")
        return staff

    async def mentioned(self, property_id: str, note: str) -> list[str]:
        """Ids of those of a property whom a note names, by `@` and their name or what stands before their address's
        `@`; nobody while storage is away."""
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
        """The kinds of notifications that somebody wants by e-mail."""
        wish = select(col(StaffRow.mail_kinds)).where(col(StaffRow.id) == staff_id)
        async with self._database.begin() as connection:
            return (await connection.execute(wish)).scalar_one_or_none() or []

    async def wish_mails(self, staff_id: str, kinds: Sequence[str]) -> None:
        wish = update(StaffRow).where(col(StaffRow.id) == staff_id).values(mail_kinds=list(kinds))
        async with self._database.begin() as connection:
            await connection.execute(wish)

    async def ensure_demo(self) -> list[Staff]:
        """The demo property's staff, one of each role; those that are missing are added."""
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
        """False if somebody has the e-mail address already."""
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
    """The form in which an address is stored and looked for."""
    return email.strip().lower()


def _account(row: Row[StaffRow]) -> Account:
    return Account(Staff.model_validate(row, from_attributes=True), row.password_hash, row.disabled)


def _is_named(words: str, name: str) -> bool:
    return re.search(rf"(?<!\w)@{re.escape(name.casefold())}(?!\w)", words) is not None
