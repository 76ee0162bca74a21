"""Reading how long somebody else's server asks us to wait."""

_MOST_DIGITS = 9


def retry_after_seconds(header: str | None) -> float | None:
    """The seconds in a `Retry-After` header. None without one and for its date form: our own backoff then decides."""
    if header is None or not (header.isascii() and header.isdecimal()) or len(header) > _MOST_DIGITS:
        return None
    return float(header)
