"""Reports on conversations, computed in SQL from the figures recorded when each was resolved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Row, text

from activities.storage.database import Database
from contracts.messages import Author, ChannelType
from contracts.reports import Durations, Grouping, ReportRow, Satisfaction

_COLUMNS: dict[Grouping, str] = {"day": "day", "property": "property_id", "channel": "channel_type"}
_SATISFIED = 4
"""The lowest rating of a satisfied guest."""
_DURATIONS = ("first_response", "first_person", "resolution")

# Narrows the search to the time span; no two time zones are two days apart.
_ABOUT_THEN = """
    created_at < CAST(:last_day AS date) + 2
    AND (resolved_at IS NULL OR resolved_at >= CAST(:first_day AS date) - 2)
"""
# Each conversation counts on two days in its property's time zone: when it began and when it was resolved.
_FACTS = f"""
    WITH zones AS (
        SELECT * FROM unnest(CAST(:properties AS text[]), CAST(:zones AS text[])) AS zone (property_id, name)
    ), figures AS (
        SELECT property_id, channel_type, created_at, resolved_at, resolution, handed, breached, rating
        FROM conversation_figures WHERE property_id = ANY(:properties) AND {_ABOUT_THEN}
        UNION ALL
        SELECT property_id, channel_type, created_at, resolved_at, resolution, handed, breached, rating
        FROM erased_figures WHERE property_id = ANY(:properties) AND {_ABOUT_THEN}
    ), facts AS MATERIALIZED (
        SELECT figures.property_id, channel_type, handed, breached, rating, fact.kind,
               (fact.at AT TIME ZONE zones.name)::date AS day,
               (resolution->>'firstResponseSeconds')::float AS first_response,
               (resolution->>'firstPersonSeconds')::float AS first_person,
               (resolution->>'secondsToResolve')::float AS resolution,
               coalesce((resolution#>>'{{messages,guest}}')::int, 0) AS by_guest,
               coalesce((resolution#>>'{{messages,ai}}')::int, 0) AS by_ai,
               coalesce((resolution#>>'{{messages,staff}}')::int, 0) AS by_staff,
               coalesce((resolution#>>'{{messages,system}}')::int, 0) AS by_system
        FROM figures JOIN zones USING (property_id)
        CROSS JOIN LATERAL (VALUES ('started', created_at), ('resolved', resolved_at)) AS fact (kind, at)
        WHERE fact.at >= CAST(:first_day AS date)::timestamp AT TIME ZONE zones.name
          AND fact.at < (CAST(:last_day AS date) + 1)::timestamp AT TIME ZONE zones.name
          AND channel_type = coalesce(CAST(:channel AS text), channel_type)
    )
"""  # noqa: S608 - only our own constants
_RESOLVED = "FILTER (WHERE kind = 'resolved')"
_AI_ALONE = "kind = 'resolved' AND by_guest > 0 AND by_ai > 0 AND by_staff = 0 AND NOT handed"
_ANSWERED = "kind = 'resolved' AND by_guest > 0 AND by_ai + by_staff > 0"


def _measured(name: str) -> str:
    return f"""
        count({name}) {_RESOLVED} AS {name}_count,
        avg({name}) {_RESOLVED} AS {name}_average,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY {name}) {_RESOLVED} AS {name}_median,
        percentile_cont(0.9) WITHIN GROUP (ORDER BY {name}) {_RESOLVED} AS {name}_p90"""


_FIGURES = f"""
    count(*) FILTER (WHERE kind = 'started') AS started,
    count(*) {_RESOLVED} AS resolved,
    count(*) FILTER (WHERE {_AI_ALONE}) AS resolved_by_ai,
    count(*) FILTER (WHERE {_ANSWERED}) AS answered,
    count(*) FILTER (WHERE kind = 'resolved' AND handed) AS handed,
    count(*) FILTER (WHERE kind = 'resolved' AND handed AND breached) AS breached,
    count(rating) {_RESOLVED} AS ratings,
    avg(rating) {_RESOLVED} AS rating_average,
    count(*) FILTER (WHERE kind = 'resolved' AND rating >= {_SATISFIED}) AS satisfied,
    {", ".join(f"coalesce(sum(by_{author}) {_RESOLVED}, 0) AS by_{author}" for author in Author)},
    {", ".join(map(_measured, _DURATIONS))}
"""


@dataclass(frozen=True, slots=True)
class ReportQuery:
    """What to report. `zones` has each property's time zone, in which days are counted; the last day is included."""

    zones: Mapping[str, str]
    first_day: date
    last_day: date
    channel: ChannelType | None = None
    by: Sequence[Grouping] = ()


class Reports:
    """Raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def conversations(self, query: ReportQuery) -> list[ReportRow]:
        """A row for each group with conversations, or a single row without grouping."""
        columns = [_COLUMNS[each] for each in _COLUMNS if each in query.by]
        grouped = f"GROUP BY {', '.join(columns)} ORDER BY {', '.join(columns)}" if columns else ""
        chosen = "".join(f"{each}, " for each in columns)
        statement = text(f"{_FACTS} SELECT {chosen}{_FIGURES} FROM facts {grouped}")  # noqa: S608 - our own names
        values = {
            "properties": list(query.zones),
            "zones": list(query.zones.values()),
            "first_day": query.first_day,
            "last_day": query.last_day,
            "channel": query.channel,
        }
        async with self._database.begin() as connection:
            return [_row(row) for row in await connection.execute(statement, values)]


def _row(row: Row[tuple[Any, ...]]) -> ReportRow:
    figures = dict(row._mapping)
    return ReportRow(
        day=figures.get("day"),
        property_id=figures.get("property_id"),
        channel_type=figures.get("channel_type"),
        started=row.started,
        resolved=row.resolved,
        messages={author: figures[f"by_{author}"] for author in Author},
        **{name: _durations(figures, name) for name in _DURATIONS},
        resolved_by_ai=row.resolved_by_ai,
        ai_share=_share(row.resolved_by_ai, row.answered),
        handed=row.handed,
        breached=row.breached,
        sla_kept=_share(row.handed - row.breached, row.handed),
        satisfaction=Satisfaction(
            ratings=row.ratings, average=row.rating_average, satisfied=_share(row.satisfied, row.ratings)
        ),
    )


def _durations(figures: Mapping[str, Any], name: str) -> Durations:
    return Durations(**{each: figures[f"{name}_{each}"] for each in Durations.model_fields})


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
