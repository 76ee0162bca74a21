"""What providers report of messages: kept by our message id, upwards only, whatever came before whatever.

A report may come before the message's row is stored, before the send has returned, or after the conversation closed.
It is committed first and applied after; a publication applies what it finds once it is committed itself. So whichever
comes second sees the other.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

from sqlalchemy import Row, select, text
from sqlmodel import col

from activities.storage.database import Database
from activities.storage.log_writer import LiveStream
from activities.storage.tables import DeliveryReportRow
from contracts.delivery import DeliveryReport
from contracts.events import LogEntry
from contracts.messages import ChannelType, Delivery, DeliveryState, Message

_APPLY = text(Path(__file__).with_name("reported.sql").read_text())
_ORDER = [
    state.value for state in (DeliveryState.SENT, DeliveryState.FAILED, DeliveryState.DELIVERED, DeliveryState.READ)
]
"""How reports follow each other: a failure is later news than `sent`, and no news after `delivered`."""
_LEFT = [state.value for state in (DeliveryState.SENT, DeliveryState.DELIVERED, DeliveryState.READ)]

# The same part may have been tried twice: what a provider says of an attempt does not undo what it says of another.
_KEEP = text(
    """
    WITH kept AS (
        INSERT INTO delivery_reports AS known
            (conversation_id, message_id, part, property_id, decides, state, reason, provider_id, at)
        VALUES (:conversation_id, :message_id, :part, :property_id, :decides, :state, :reason, :provider_id, :at)
        ON CONFLICT (property_id, conversation_id, message_id, part) DO UPDATE
            SET state = excluded.state, reason = excluded.reason, at = excluded.at,
                provider_id = coalesce(excluded.provider_id, known.provider_id)
            WHERE CASE
                WHEN known.provider_id <> excluded.provider_id AND 'failed' IN (known.state, excluded.state)
                THEN excluded.state <> 'failed'
                ELSE array_position(CAST(:order AS text[]), excluded.state)
                   > array_position(CAST(:order AS text[]), known.state) END
        RETURNING state
    )
    SELECT state FROM kept
    UNION ALL
    SELECT state FROM delivery_reports
    WHERE property_id = :property_id AND conversation_id = :conversation_id
      AND message_id = :message_id AND part = :part
      AND NOT EXISTS (SELECT FROM kept)
    """
)


class DeliveryReports:
    """The reports on all messages. Every method raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database, live: LiveStream) -> None:
        self._database = database
        self._live = live

    async def record(self, property_id: str, channel_type: ChannelType, report: DeliveryReport) -> bool:
        """Keeps a report and tells it. True where it says that the message failed, and nothing better is known."""
        failed = await self.note(property_id, report) is DeliveryState.FAILED
        await self._live.add(await self.apply(property_id, channel_type, report.conversation_id, [report.message_id]))
        return failed and report.state is DeliveryState.FAILED

    async def note(self, property_id: str, report: DeliveryReport) -> DeliveryState:
        """Keeps a report without telling it, and gives the most that is known now of that part."""
        values = {**report.model_dump(by_alias=False), "state": report.state.value, "property_id": property_id}
        async with self._database.begin() as connection:
            rows = await connection.execute(_KEEP, {**values, "order": _ORDER})
            return DeliveryState(rows.scalars().one())

    async def apply(
        self, property_id: str, channel_type: ChannelType, conversation_id: str, message_ids: Sequence[str]
    ) -> list[LogEntry]:
        """Moves messages that are stored to what is reported of them; gives what the live stream should tell."""
        if not message_ids:
            return []
        values = {"property_id": property_id, "conversation_id": conversation_id, "message_ids": list(message_ids)}
        async with self._database.begin() as connection:
            rows = (await connection.execute(_APPLY, values)).all()
        return [_entry(property_id, channel_type, conversation_id, row) for row in rows]

    async def parts_that_left(self, property_id: str, conversation_id: str, message_id: str) -> set[int]:
        """The parts of a message that its provider has taken, as far as we have heard."""
        statement = select(col(DeliveryReportRow.part)).where(
            col(DeliveryReportRow.property_id) == property_id,
            col(DeliveryReportRow.conversation_id) == conversation_id,
            col(DeliveryReportRow.message_id) == message_id,
            col(DeliveryReportRow.state).in_(_LEFT),
        )
        async with self._database.begin() as connection:
            return set((await connection.execute(statement)).scalars())

    async def known(self, provider_ids: Collection[str]) -> set[str]:
        """Those of a provider's ids that belong to messages we know of."""
        statement = select(col(DeliveryReportRow.provider_id)).where(
            col(DeliveryReportRow.provider_id).in_(provider_ids)
        )
        async with self._database.begin() as connection:
            return {found for found in (await connection.execute(statement)).scalars() if found is not None}


def _entry(property_id: str, channel_type: ChannelType, conversation_id: str, row: Row[tuple[object, ...]]) -> LogEntry:
    delivery = Delivery(state=row.message["delivery_state"], reason=row.message["delivery_reason"])
    return LogEntry(
        property_id=property_id,
        type="message",
        position=row.position,
        contact_key=row.contact_key,
        channel_type=channel_type,
        conversation_id=conversation_id,
        seq=row.seq,
        repeats=True,
        message=Message.model_validate({**row.message, "delivery": delivery}),
    )
