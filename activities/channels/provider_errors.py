"""The meaning of providers' error codes. Each provider's table is a YAML file in this folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from contracts.events import SendResult, SendResultKind

Verdict = Literal["retry", "wait", "staff", "permanent"]
"""`retry`: may succeed at once. `wait`: the provider asks us to wait. `staff`: somebody must fix something first.
`permanent`: this message will never reach this guest."""

_RESULTS: dict[Verdict, SendResultKind] = {"retry": "retry", "wait": "retry", "staff": "failed", "permanent": "failed"}


@dataclass(frozen=True, slots=True)
class Meaning:
    """`after`: seconds to wait if the provider names no time. `opted_out`: the guest wants no messages."""

    verdict: Verdict
    means: str
    after: float | None = None
    opted_out: bool = False


class ErrorTable:
    def __init__(self, provider: str, meanings: dict[int, Meaning]) -> None:
        self.provider = provider
        self.meanings = meanings

    @classmethod
    def load(cls, provider: str, file: str) -> "ErrorTable":
        rows = yaml.safe_load(Path(__file__).with_name(file).read_text())
        return cls(provider, {int(code): Meaning(**row) for code, row in rows.items()})

    def reason(self, code: int | None, told: str | None = None) -> str:
        """Why a message was not delivered, for staff: the code and what it means, as `told` if we do not know it."""
        if code is None:
            return f"{self.provider} did not deliver it and did not say why"
        known = self.meanings.get(code)
        means = known.means if known else told
        return f"{self.provider} error {code}: {means}" if means else f"{self.provider} error {code}"

    def opted_out(self, code: int | None) -> bool:
        """Whether a code means that the guest wants no messages."""
        known = self.meanings.get(code) if code is not None else None
        return known is not None and known.opted_out

    def result(
        self, message_id: str, code: int, retry_after: float | None = None, told: str | None = None
    ) -> SendResult:
        """The result of an attempt refused with a code. Unknown codes go to staff."""
        known = self.meanings.get(code, Meaning("staff", ""))
        result = _RESULTS[known.verdict]
        wait = (retry_after or known.after) if result == "retry" else None
        return SendResult(
            message_id=message_id,
            result=result,
            reason=self.reason(code, told),
            retry_after=wait,
            opted_out=known.opted_out,
        )
