"""The automations of properties, and the facts that their conditions are checked against."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from activities.storage.automation_tables import AutomationsRow
from activities.storage.database import Database
from activities.storage.tables import ConversationRow, GuestRow, LogHeadRow, OutcomeRow
from contracts.automations import AutomationRule, Automations, Facts
from contracts.conversations import Conversation
from contracts.property_events import PropertyEvent


class StoredAutomations:
    """Every method raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, property_id: str) -> Automations:
        """The rules of a property, which may be none."""
        async with self._database.begin() as connection:
            row = (await connection.execute(select(AutomationsRow).where(_of(property_id)))).one_or_none()
        return Automations(property_id=property_id) if row is None else _automations(row)

    async def put(
        self, property_id: str, rules: Sequence[AutomationRule], *, by: str, allow: Callable[[Automations], None]
    ) -> Automations:
        """Replaces the rules. `allow` gets the current ones and raises to forbid the change.

        Rules never fire for what happened before the property had any.
        """
        head = select(col(LogHeadRow.head)).where(col(LogHeadRow.property_id) == property_id)
        async with self._database.begin() as connection:
            await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(property_id, 9))))
            row = (await connection.execute(select(AutomationsRow).where(_of(property_id)))).one_or_none()
            before = Automations(property_id=property_id) if row is None else _automations(row)
            allow(before)
            values = {
                "rules": [rule.model_dump(mode="json", exclude_none=True) for rule in rules],
                "version": before.version + 1,
                "updated_at": datetime.now(UTC),
                "updated_by": by,
            }
            if not before.rules:
                values["position"] = (await connection.execute(head)).scalar_one_or_none() or 0
            if row is None:
                written = insert(AutomationsRow).values(property_id=property_id, **values)
                return _automations((await connection.execute(written.returning(AutomationsRow))).one())
            changed = update(AutomationsRow).where(_of(property_id)).values(**values)
            return _automations((await connection.execute(changed.returning(AutomationsRow))).one())

    async def behind(self) -> list[tuple[str, int]]:
        """Properties with rules that have not been checked against the whole log, and the positions they got to."""
        statement = (
            select(col(AutomationsRow.property_id), col(AutomationsRow.position))
            .join(LogHeadRow, col(LogHeadRow.property_id) == col(AutomationsRow.property_id))
            .where(col(LogHeadRow.head) > col(AutomationsRow.position), col(AutomationsRow.rules) != [])
        )
        async with self._database.begin() as connection:
            return [(row.property_id, row.position) for row in await connection.execute(statement)]

    async def advance(self, property_id: str, *, after: int, up_to: int) -> None:
        """Moves a property's position from `after` to `up_to`, unless another process has moved it meanwhile."""
        mine = (_of(property_id)) & (col(AutomationsRow.position) == after)
        async with self._database.begin() as connection:
            await connection.execute(update(AutomationsRow).where(mine).values(position=up_to))

    async def facts(self, event: PropertyEvent) -> Facts:
        """The conversation and task of an event: as they are in the event or, if it has none, as they are now."""
        if event.conversation_id is None:
            return Facts(task=event.task)
        message_id = event.message.id if event.message is not None else None
        suppressed = exists().where(
            col(OutcomeRow.conversation_id) == event.conversation_id,
            col(OutcomeRow.message_id) == message_id,
            col(OutcomeRow.outcome) == "suppressed",
        )
        statement = (
            select(col(ConversationRow.snapshot), col(GuestRow.language), suppressed.label("suppressed"))
            .outerjoin(GuestRow, col(GuestRow.id) == col(ConversationRow.guest_id))
            .where(col(ConversationRow.id) == event.conversation_id)
        )
        async with self._database.begin() as connection:
            row = (await connection.execute(statement)).one_or_none()
        if row is None:
            return Facts(conversation=event.conversation, task=event.task)
        conversation = event.conversation or Conversation.model_validate(row.snapshot)
        return Facts(conversation=conversation, task=event.task, language=row.language, answerable=not row.suppressed)


def _of(property_id: str) -> ColumnElement[bool]:
    return col(AutomationsRow.property_id) == property_id


def _automations(row: object) -> Automations:
    return Automations.model_validate(row, from_attributes=True)
