"""Text that operators read in the Temporal UI."""


class ClearText(str):
    """A summary that stays readable there, while all other payloads are encrypted. Never put guest data in it."""

    __slots__ = ()
