"""Text that operators read in the Temporal UI."""


class ClearText(str):
    """A summary that is left readable there; all else is encrypted. Never put anything of a guest in it."""

    __slots__ = ()
