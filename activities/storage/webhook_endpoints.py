"""Endpoints of outgoing webhooks: their settings, their position in the log, and their deliveries."""

import base64
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.functions import now as sql_now
from sqlmodel import col

from activities.storage.database import Database
from activities.storage.paging import Slice, TimePosition, newest_first
from activities.storage.sealed_secrets import SealedSecrets
from activities.storage.tables import LogHeadRow
from activities.storage.webhook_tables import WebhookDeliveryRow, WebhookEndpointRow
from contracts.problems import NotFound
from contracts.webhooks import WebhookDelivery, WebhookEndpoint

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what every secret begins with
SECRET_BYTES: Final = 32
KEPT: Final = timedelta(days=30)
"""How long deliveries are kept."""


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint as its sender needs it. All sealed secrets sign; the newest comes first."""

    endpoint: WebhookEndpoint
    sealed_secrets: list[str]
    position: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """The result of one attempt. `reason` is None if the endpoint accepted the event."""

    webhook_id: str
    type: str
    response_status: int | None
    reason: str | None


def new_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


class WebhookEndpoints:
    """The endpoints of all properties. Every method raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database, secrets: SealedSecrets) -> None:
        self._database = database
        self._secrets = secrets

    # --- endpoints ---------------------------------------------------------------------------------------------------

    async def add(self, endpoint: WebhookEndpoint) -> tuple[WebhookEndpoint, str]:
        """Adds an endpoint, which gets events from now on. Returns it with its secret.

        If a repeated request has already added the id, that endpoint is returned.
        """
        head = select(col(LogHeadRow.head)).where(col(LogHeadRow.property_id) == endpoint.property_id)
        async with self._database.begin() as connection:
            position = (await connection.execute(head)).scalar_one_or_none() or 0
            sealed = self._secrets.seal(new_secret())
            values = endpoint.model_dump(by_alias=False) | {"secret": sealed, "position": position}
            await connection.execute(insert(WebhookEndpointRow).values(**values).on_conflict_do_nothing())
            row = (await connection.execute(select(WebhookEndpointRow).where(_has(endpoint.id)))).one()
        return _endpoint(row), self._secrets.open(row.secret)

    async def get(self, endpoint_id: str) -> WebhookEndpoint | None:
        target = await self.target(endpoint_id)
        return target.endpoint if target is not None else None

    async def list(
        self, properties: Sequence[str], *, limit: int, after: TimePosition | None
    ) -> Slice[WebhookEndpoint, TimePosition]:
        """Endpoints, newest first."""
        at, row_id = col(WebhookEndpointRow.created_at), col(WebhookEndpointRow.id)
        statement = select(WebhookEndpointRow).where(col(WebhookEndpointRow.property_id).in_(properties))
        rows, end = await newest_first(self._database, statement, at, row_id, limit=limit, after=after)
        return Slice([_endpoint(row) for row in rows], end)

    async def change(
        self,
        endpoint_id: str,
        changes: dict[str, Any],
        *,
        skip_missed: bool,
        allow: Callable[[WebhookEndpoint], None],
    ) -> WebhookEndpoint:
        """Changes the given fields. `allow` gets the current endpoint and raises to forbid it. Raises NotFound.

        A changed or re-enabled endpoint is tried at once. `skip_missed`: events until now are not sent.
        """
        async with self._database.begin() as connection:
            locked = select(WebhookEndpointRow).where(_has(endpoint_id)).with_for_update()
            row = (await connection.execute(locked)).one_or_none()
            if row is None:
                raise no_such(endpoint_id)
            allow(_endpoint(row))
            values = {**changes, "version": row.version + 1, "updated_at": datetime.now(UTC), "next_attempt_at": None}
            if "enabled" in changes:
                values |= {"disabled_reason": None if changes["enabled"] else "staff", "failures": 0}
            if skip_missed:
                head = select(col(LogHeadRow.head)).where(col(LogHeadRow.property_id) == row.property_id)
                values["position"] = (await connection.execute(head)).scalar_one_or_none() or 0
            changed = update(WebhookEndpointRow).where(_has(endpoint_id)).values(**values)
            return _endpoint((await connection.execute(changed.returning(WebhookEndpointRow))).one())

    async def rotate(self, endpoint_id: str, *, overlap: timedelta) -> tuple[WebhookEndpoint, str]:
        """Creates a new secret. The old one also signs until `overlap` has passed. Raises NotFound."""
        now, secret = datetime.now(UTC), new_secret()
        values = {
            "secret": self._secrets.seal(secret),
            "previous_secret": col(WebhookEndpointRow.secret),
            "previous_secret_until": now + overlap,
            "updated_at": now,
        }
        rotated = update(WebhookEndpointRow).where(_has(endpoint_id)).values(**values)
        async with self._database.begin() as connection:
            row = (await connection.execute(rotated.returning(WebhookEndpointRow))).one_or_none()
        if row is None:
            raise no_such(endpoint_id)
        return _endpoint(row), secret

    async def delete(self, endpoint_id: str) -> None:
        async with self._database.begin() as connection:
            await connection.execute(delete(WebhookEndpointRow).where(_has(endpoint_id)))

    # --- positions and deliveries ------------------------------------------------------------------------------------

    async def behind(self, now: datetime) -> Sequence[Target]:
        """Enabled endpoints with pending log entries, except those waiting for their next attempt."""
        next_at = col(WebhookEndpointRow.next_attempt_at)
        statement = (
            select(WebhookEndpointRow)
            .join(LogHeadRow, col(LogHeadRow.property_id) == col(WebhookEndpointRow.property_id))
            .where(col(WebhookEndpointRow.enabled), col(LogHeadRow.head) > col(WebhookEndpointRow.position))
            .where(or_(next_at.is_(None), next_at <= now))
        )
        async with self._database.begin() as connection:
            return [_target(row) for row in await connection.execute(statement)]

    async def target(self, endpoint_id: str) -> Target | None:
        async with self._database.begin() as connection:
            row = (await connection.execute(select(WebhookEndpointRow).where(_has(endpoint_id)))).one_or_none()
        return _target(row) if row is not None else None

    async def pass_over(self, endpoint_id: str, *, after: int, up_to: int) -> None:
        """Skips the entries above `after` up to `up_to`, unless the position has changed meanwhile."""
        if up_to <= after:  # it already skipped more
            return
        mine = (_has(endpoint_id)) & (col(WebhookEndpointRow.position) == after)
        async with self._database.begin() as connection:
            await connection.execute(update(WebhookEndpointRow).where(mine).values(position=up_to))

    async def delivered(self, endpoint_id: str, attempt: Attempt, *, position: int | None) -> Target | None:
        """Records that the endpoint has the event at `position`. Returns the endpoint afterwards."""
        values: dict[str, Any] = {"failures": 0, "next_attempt_at": None}
        mine = _has(endpoint_id)
        async with self._database.begin() as connection:
            if position is not None:
                behind = mine & (col(WebhookEndpointRow.position) < position)
                await connection.execute(update(WebhookEndpointRow).where(behind).values(position=position))
            noted = update(WebhookEndpointRow).where(mine).values(**values).returning(WebhookEndpointRow)
            row = (await connection.execute(noted)).one_or_none()
            if row is None:
                return None
            await connection.execute(_note(endpoint_id, attempt))
        return _target(row)

    async def failed(self, endpoint_id: str, attempt: Attempt, *, failures: int, next_attempt_at: datetime) -> None:
        """Records a failed attempt, the `failures`th in a row."""
        values = {"failures": failures, "next_attempt_at": next_attempt_at}
        async with self._database.begin() as connection:
            noted = update(WebhookEndpointRow).where(_has(endpoint_id)).values(**values)
            if (await connection.execute(noted.returning(col(WebhookEndpointRow.id)))).one_or_none() is not None:
                await connection.execute(_note(endpoint_id, attempt))

    async def noted(self, endpoint_id: str, attempt: Attempt) -> WebhookDelivery:
        """Records an attempt outside the order of events. Raises NotFound if the endpoint is gone."""
        async with self._database.begin() as connection:
            locked = select(col(WebhookEndpointRow.id)).where(_has(endpoint_id)).with_for_update(key_share=True)
            if (await connection.execute(locked)).one_or_none() is None:
                raise no_such(endpoint_id)
            row = (await connection.execute(_note(endpoint_id, attempt).returning(WebhookDeliveryRow))).one()
        return _delivery(row)

    async def deliveries(
        self, endpoint_id: str, *, state: str | None, limit: int, after: TimePosition | None
    ) -> Slice[WebhookDelivery, TimePosition]:
        """The endpoint's deliveries, newest first."""
        at, row_id = col(WebhookDeliveryRow.first_attempt_at), col(WebhookDeliveryRow.webhook_id)
        statement = select(WebhookDeliveryRow).where(col(WebhookDeliveryRow.endpoint_id) == endpoint_id)
        if state is not None:
            statement = statement.where(col(WebhookDeliveryRow.state) == state)
        rows, end = await newest_first(self._database, statement, at, row_id, limit=limit, after=after)
        return Slice([_delivery(row) for row in rows], end)

    async def forget_old_deliveries(self, endpoint_id: str) -> None:
        """Deletes deliveries that are older than they are kept."""
        old = (col(WebhookDeliveryRow.endpoint_id) == endpoint_id) & (
            col(WebhookDeliveryRow.first_attempt_at) < datetime.now(UTC) - KEPT
        )
        async with self._database.begin() as connection:
            await connection.execute(delete(WebhookDeliveryRow).where(old))


def _has(endpoint_id: str) -> ColumnElement[bool]:
    return col(WebhookEndpointRow.id) == endpoint_id


def no_such(endpoint_id: str) -> NotFound:
    return NotFound(f"There is no webhook endpoint {endpoint_id!a}")


def _note(endpoint_id: str, attempt: Attempt) -> Any:
    """A statement that records an attempt. A delivered event stays delivered."""
    outcome = {
        "state": "delivered" if attempt.reason is None else "failing",
        "response_status": attempt.response_status,
        "reason": attempt.reason,
    }
    new = insert(WebhookDeliveryRow).values(
        endpoint_id=endpoint_id,
        webhook_id=attempt.webhook_id,
        type=attempt.type,
        attempts=1,
        first_attempt_at=sql_now(),
        last_attempt_at=sql_now(),
        **outcome,
    )
    return new.on_conflict_do_update(
        index_elements=["endpoint_id", "webhook_id"],
        set_={
            **outcome,
            "attempts": col(WebhookDeliveryRow.attempts) + 1,
            "last_attempt_at": sql_now(),
        },
    )


def _endpoint(row: Row[Any]) -> WebhookEndpoint:
    return WebhookEndpoint.model_validate(row, from_attributes=True)


def _target(row: Row[Any]) -> Target:
    signs = [row.secret]
    if row.previous_secret is not None and row.previous_secret_until > datetime.now(UTC):
        signs.append(row.previous_secret)
    return Target(endpoint=_endpoint(row), sealed_secrets=signs, position=row.position)


def _delivery(row: Row[Any]) -> WebhookDelivery:
    return WebhookDelivery.model_validate(row, from_attributes=True)
