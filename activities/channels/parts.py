"""Sends a message in parts. No part is repeated that the provider is known to have accepted."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic, TypeVar

import httpx

from activities.channels.provider_errors import ErrorTable
from activities.retry_after import retry_after_seconds
from contracts.delivery import DeliveryReport
from contracts.events import SendResult
from contracts.messages import DeliveryState, OutboundMessage
from contracts.problems import StorageAway

if TYPE_CHECKING:
    from activities.storage.delivery_reports import DeliveryReports

RECONCILE_SECONDS = 10.0
"""How long to wait for the provider's report after an ambiguous attempt, before the next one looks for it."""
NO_WAY_TO_FETCH = "the provider could not fetch the attachment: set server.publicUrl to the gateway's public address"
"""Why a message with one of our files fails if the file's link leads nowhere from outside."""
TIMEOUT = httpx.Timeout(15, connect=5)

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class Taken:
    """The provider accepted a part, under this id if it gave one."""

    provider_id: str | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider refused, with its error code and, if it asks for one, a delay in seconds.

    `told`: its own words, for a code that we do not know.
    """

    code: int
    retry_after: float | None = None
    told: str | None = None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No meaningful response. `ambiguous`: the provider may have accepted the part all the same."""

    reason: str
    ambiguous: bool


Answer = Taken | Refused | Unanswered


class PartsSender(Generic[Part]):
    """Attempts all parts of a message in order, until one fails.

    Accepted parts are recorded at once, so that an attempt after a crash knows of them.
    """

    def __init__(self, reports: "DeliveryReports", errors: ErrorTable) -> None:
        self._reports = reports
        self._errors = errors

    async def send(
        self,
        property_id: str,
        message: OutboundMessage,
        parts: Sequence[Part],
        hand_over: Callable[[int, Part], Awaitable[Answer]],
        find: Callable[[Part], Awaitable[Answer | None]] | None = None,
    ) -> SendResult:
        """Sends the parts. `find` looks a possibly sent part up at the provider; without it only reports tell."""
        try:
            left = await self._left(property_id, message)
            for number, part in enumerate(parts):
                if number in left:
                    continue
                answer = await find(part) if find is not None and message.unsure else None
                answer = answer or await hand_over(number, part)
                if not isinstance(answer, Taken):
                    return self._result(message, answer, some_left=number > 0)
                await self._note(property_id, message, number, len(parts), answer.provider_id)
        except StorageAway:
            return self._result(
                message, Unanswered("storage is away, so it is not known whether this was sent", True), True
            )
        return SendResult(message_id=message.message_id, result="sent")

    async def _left(self, property_id: str, message: OutboundMessage) -> set[int]:
        """The parts already sent: none, unless an earlier attempt was unsure."""
        if not message.unsure:
            return set()
        return await self._reports.parts_that_left(property_id, message.conversation_id, message.message_id)

    def _result(self, message: OutboundMessage, answer: Refused | Unanswered, some_left: bool) -> SendResult:
        if isinstance(answer, Refused):
            result = self._errors.result(message.message_id, answer.code, answer.retry_after, answer.told)
        else:
            result = SendResult(message_id=message.message_id, result="retry", reason=answer.reason)
            if answer.ambiguous:
                result.unsure, result.retry_after = True, RECONCILE_SECONDS
        result.unsure = result.unsure or (some_left and result.result == "retry")
        return result

    async def _note(
        self, property_id: str, message: OutboundMessage, part: int, parts: int, provider_id: str | None
    ) -> None:
        report = DeliveryReport(
            conversation_id=message.conversation_id,
            message_id=message.message_id,
            part=part,
            decides=part + 1 == parts,
            state=DeliveryState.SENT,
            provider_id=provider_id,
            at=datetime.now(UTC),
        )
        try:
            await self._reports.note(property_id, report)
        except StorageAway:
            return  # it was sent all the same, and the provider's own report will record it


async def answered(provider: str, request: Awaitable[httpx.Response]) -> httpx.Response | Unanswered:
    """The provider's response, or what its absence means for the part."""
    try:
        return await request
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        return Unanswered(f"{provider} cannot be reached ({type(error).__name__})", ambiguous=False)
    except httpx.RequestError as error:
        return Unanswered(f"{provider} did not answer ({type(error).__name__})", ambiguous=True)


def refusal(
    errors: ErrorTable,
    response: httpx.Response,
    code: int | None,
    *,
    transient: bool = False,
    told: str | None = None,
) -> Refused | Unanswered:
    """What an error response means: by the provider's code if we know it, otherwise by the status.

    `transient`: the provider says that the same request may succeed later; `told`: what else it says.
    """
    wait, status = retry_after_seconds(response.headers.get("retry-after")), response.status_code
    if code in errors.meanings:
        return Refused(code, wait)
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return Refused(status, wait)
    if response.is_server_error:
        # Without a provider's code it comes from a proxy in between, which may have passed the request on.
        return Unanswered(f"{errors.provider} answered {status}", ambiguous=code is None)
    if transient:
        return Unanswered(errors.reason(code or status, told), ambiguous=False)
    return Refused(code or status, told=told)


def may_heal(response: httpx.Response) -> bool:
    """Whether a request for a file may succeed later: if the provider is busy, or once our credentials are right."""
    codes = httpx.codes
    passing = (codes.UNAUTHORIZED, codes.FORBIDDEN, codes.REQUEST_TIMEOUT, codes.TOO_MANY_REQUESTS)
    return response.is_server_error or response.status_code in passing


def chunks(text: str, limit: int) -> list[str]:
    """A text in pieces of at most `limit` characters, cut at the end of a line or word if possible."""
    pieces, rest = [], text
    while len(rest) > limit:
        cut = max(rest.rfind("\n", limit // 2, limit + 1), rest.rfind(" ", limit // 2, limit + 1))
        cut = cut if cut > 0 else limit
        pieces.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [piece for piece in (*pieces, rest) if piece]
