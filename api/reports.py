"""Reports on how conversations went, for those who run a hotel."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final

from fastapi import Query
from pydantic import Field

import contracts.base
from activities.storage.reports import ReportQuery
from api.auth.permissions import require_property
from api.deps import GatewayState, ReadsReports
from api.openapi import problems
from api.routers import rest_router
from contracts.messages import ChannelType
from contracts.problems import Invalid
from contracts.reports import ConversationReport, Grouping

router = rest_router("/reports", "reports")
LONGEST: Final = timedelta(days=366)
USUAL: Final = timedelta(days=29)
"""How far back a report goes by default: thirty days, both ends included."""
Day = Annotated[date, Field(ge=date(2000, 1, 1), le=date(2999, 12, 31))]


class ConversationReportQuery(contracts.base.Body):
    from_day: Annotated[
        Day | None,
        Field(alias="from", description="The first day, in the property's time zone. Default: 29 days before `to`."),
    ] = None
    to_day: Annotated[Day | None, Field(alias="to", description="The last day, included. Default: today, in UTC.")] = (
        None
    )
    property: Annotated[str | None, Field(max_length=256, description="Only this property.")] = None
    channel: Annotated[ChannelType | None, Field(description="Only this channel.")] = None
    by: Annotated[list[Grouping], Field(max_length=3, description="What to group by. Default: one total.")] = []

    def days(self) -> tuple[date, date]:
        """The first and last day. Raises Invalid for days in the wrong order, or too many."""
        last = self.to_day or datetime.now(UTC).date()
        first = self.from_day or last - USUAL
        if first > last:
            raise Invalid(f"from: must not be after `to` ({last})", field="from")
        if last - first >= LONGEST:
            raise Invalid(f"from: a report covers at most {LONGEST.days} days", field="from")
        return first, last


@router.get("/conversations", summary="Report on conversations", responses=problems(Invalid))
async def report_conversations(
    session: ReadsReports, state: GatewayState, query: Annotated[ConversationReportQuery, Query()]
) -> ConversationReport:
    """Volumes, response and resolution times, the AI's share, kept service levels and satisfaction at your properties.

    Days are in each property's time zone. Groups without any conversation are left out.
    """
    properties = session.staff.properties
    if query.property is not None:
        require_property(session.staff, query.property)
        properties = [query.property]
    first, last = query.days()
    known = state.settings.properties
    zones = {each: known[each].time_zone if each in known else "UTC" for each in properties}
    wanted = ReportQuery(zones=zones, first_day=first, last_day=last, channel=query.channel, by=query.by)
    return ConversationReport(from_day=first, to_day=last, items=await state.figures.conversations(wanted))
