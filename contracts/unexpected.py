"""What may be logged of an unexpected error: never its text, which may quote a guest."""

import traceback


def kinds_of(error: BaseException | None) -> str:
    """The types of an error, of the errors it groups, and of those that caused it."""
    if isinstance(error, BaseExceptionGroup):
        return ", ".join(kinds_of(each) for each in error.exceptions)
    kinds: list[str] = []
    while error is not None:
        kinds.append(type(error).__qualname__)
        error = error.__cause__ or error.__context__
    return " from ".join(kinds)


def told(error: BaseException) -> str:
    """The error's types and where it happened, innermost frame first."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return f"{kinds_of(error)} at {where}"
