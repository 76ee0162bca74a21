"""Providers' delivery reports: stored by our message id, in any order, and only ever moving a state upwards.

A report may arrive before the message is stored, before the send has returned, or after the conversation closed. It is
committed first and applied afterwards; a publication, once committed, applies the reports it finds. So whichever comes
second sees the other.
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
"""The order of report states: a failure overrides `sent`, but not `delivered`."""
_LEFT = [state.value for state in (DeliveryState.SENT, DeliveryState.DELIVERED, DeliveryState.READ)]

# The same part may have been attempted twice: a report on one attempt must not override one on the other.
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
    """Delivery reports. Every method raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database, live: LiveStream) -> None:
        self._database = database
        self._live = live

    async def record(self, property_id: str, channel_type: ChannelType, report: DeliveryReport) -> bool:
        """Stores a report and publishes it. Returns whether the message has failed and nothing better is known."""
        failed = await self.note(property_id, report) is DeliveryState.FAILED
        await self._live.add(await self.apply(property_id, channel_type, report.conversation_id, [report.message_id]))
        return failed and report.state is DeliveryState.FAILED

    async def note(self, property_id: str, report: DeliveryReport) -> DeliveryState:
        """Stores a report without publishing it. Returns the highest known state of that part."""
        values = {
            **report.model_dump(by_alias=False, exclude={"opted_out"}),
            "state": report.state.value,
            "property_id": property_id,
        }
        async with self._database.begin() as connection:
            rows = await connection.execute(_KEEP, {**values, "order": _ORDER})
            return DeliveryState(rows.scalars().one())

    async def apply(
        self, property_id: str, channel_type: ChannelType, conversation_id: str, message_ids: Sequence[str]
    ) -> list[LogEntry]:
        """Moves stored messages to their reported states. Returns the entries for the live stream."""
        if not message_ids:
            return []
        values = {"property_id": property_id, "conversation_id": conversation_id, "message_ids": list(message_ids)}
        async with self._database.begin() as connection:
            rows = (await connection.execute(_APPLY, values)).all()
        return [_entry(property_id, channel_type, conversation_id, row) for row in rows]

    async def parts_that_left(self, property_id: str, conversation_id: str, message_id: str) -> set[int]:
        """The parts of a message that the provider is known to have accepted."""
        statement = select(col(DeliveryReportRow.part)).where(
            col(DeliveryReportRow.property_id) == property_id,
            col(DeliveryReportRow.conversation_id) == conversation_id,
            col(DeliveryReportRow.message_id) == message_id,
            col(DeliveryReportRow.state).in_(_LEFT),
        )
        async with self._database.begin() as connection:
            return set((await connection.execute(statement)).scalars())

    async def known(self, provider_ids: Collection[str]) -> set[str]:
        """Those of a provider's ids that belong to known messages."""
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
