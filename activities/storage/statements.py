"""Statements that are compiled once and given to the driver directly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import asyncpg
from sqlalchemy import Select, TextClause
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

_DIALECT: Final = PGDialect_asyncpg()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement for the driver. Executing it through SQLAlchemy takes longer, by a tenth for a page of a list."""

    text: str
    names: tuple[str, ...]
    """The names of its parameters, in order."""
    constants: Mapping[str, Any]
    """Parameters with fixed values."""

    @classmethod
    def of(cls, statement: Select[*tuple[Any, ...]] | TextClause) -> Self:
        compiled = statement.compile(dialect=_DIALECT)
        constants = {name: value for name, value in compiled.params.items() if value is not None}
        return cls(compiled.string, tuple(compiled.positiontup or ()), constants)

    async def fetch(self, connection: asyncpg.Connection, parameters: Mapping[str, object]) -> Sequence[asyncpg.Record]:
        """Fetches all rows. Raises the driver's errors, which `Database.driver` translates."""
        given = {**self.constants, **parameters}
        rows: Sequence[asyncpg.Record] = await connection.fetch(self.text, *[given[name] for name in self.names])
        return rows
