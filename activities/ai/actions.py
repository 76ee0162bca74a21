"""The actions that the embedded engine requests for a guest: tasks for departments, and a late check-out."""

import re
from collections.abc import Sequence

from activities.ai.acts import Act
from contracts.ai import Action

TITLE_LENGTH = 80
DESCRIPTION_LENGTH = 500
_HOUR = re.compile(
    r"\b(?:until|till?|to|at|by|around)\s+(?:(?P<noon>noon)|(?P<hour>\d{1,2})(?:[:.](?P<minute>[0-5]\d))?"
    r"\s*(?P<half>[ap])?\.?(?:m\b|(?=\W|$)))",
    re.IGNORECASE,
)
_AFTERNOON_BEFORE = 8
"""An hour below this without am or pm is in the afternoon: nobody asks for a late check-out at 3 at night."""


_REFUSAL = re.compile(
    r"\b(?:(?:do not|don['’]?t) (?!have|see|find|know)|no need|need no|no longer|anymore|any more|not? (?:clean|need)"
    r"|needed|cancel\w*|call off|skip|stop|instead)",
    re.IGNORECASE,
)
"""Ways to say that something should not be done. Not used for maintenance, where they tell what does not work."""


DECLINED = re.compile(r"\W*no\b[^.?!]*\b(?:please|pls|plz|thanks|thank you|thx)\W*$", re.IGNORECASE)
"""`No more towels please` neither asks for towels nor says that they are broken."""


def action_for(act: Act, text: str, things: Sequence[str], action_id: str) -> Action:
    """The action for a request. Its title names only things that the hotel knows, because guests may be shown it.

    If something should not be done, the title names nothing: `towels` would say the opposite of `no towels needed`.
    """
    if act.takes == "request_late_checkout":
        until = hour_of(text)
        return Action(id=action_id, type="request_late_checkout", params={"until": until} if until else {})
    refused = _REFUSAL.search(text) or DECLINED.match(text)
    named = things and (act.department == "maintenance" or not refused)
    title = f"{act.title}: {', '.join(things)}" if named else act.title
    return Action(
        id=action_id,
        type="create_task",
        params={
            "department": act.department,
            "priority": act.priority,
            "title": title[:TITLE_LENGTH],
            "description": text[:DESCRIPTION_LENGTH],
        },
    )


def hour_of(text: str) -> str | None:
    """The hour until which the guest wants to stay, as HH:MM; None if the text gives none."""
    for found in _HOUR.finditer(text):
        if found["noon"]:
            return "12:00"
        hour, minute = int(found["hour"]), found["minute"] or "00"
        half = (found["half"] or "").lower()
        if (half == "p" and hour < 12) or (not half and hour < _AFTERNOON_BEFORE):
            hour += 12
        if half == "a" and hour == 12:
            hour = 0
        if hour < 24:
            return f"{hour:02}:{minute}"
    return None
