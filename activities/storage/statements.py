"""Statements that are made once and given to the driver as they stand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import asyncpg
from sqlalchemy import Select, TextClause
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

_DIALECT: Final = PGDialect_asyncpg()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement for the driver; to have SQLAlchemy carry it out takes longer, for the page of a list by a tenth."""

    text: str
    names: tuple[str, ...]
    """Of its parameters, in their order."""
    constants: Mapping[str, Any]
    """Those that it brings itself."""

    @classmethod
    def of(cls, statement: Select[*tuple[Any, ...]] | TextClause) -> Self:
        compiled = statement.compile(dialect=_DIALECT)
        constants = {name: value for name, value in compiled.params.items() if value is not None}
        return cls(compiled.string, tuple(compiled.positiontup or ()), constants)

    async def fetch(self, connection: asyncpg.Connection, parameters: Mapping[str, object]) -> Sequence[asyncpg.Record]:
        """All rows. Raises what the driver raises, which `Database.driver` understands."""
        given = {**self.constants, **parameters}
        rows: Sequence[asyncpg.Record] = await connection.fetch(self.text, *[given[name] for name in self.names])
        return rows
