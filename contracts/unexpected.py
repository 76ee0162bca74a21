"""Describes unexpected errors for logs without their texts, which may quote a guest."""

import traceback


def kinds_of(error: BaseException | None) -> str:
    """The types of an error and of its causes; for a group, of each error in it."""
    if isinstance(error, BaseExceptionGroup):
        return ", ".join(kinds_of(each) for each in error.exceptions)
    kinds: list[str] = []
    while error is not None:
        kinds.append(type(error).__qualname__)
        error = error.__cause__ or error.__context__
    return " from ".join(kinds)


def describe(error: BaseException) -> str:
    """The types of an error and of its causes, and its traceback with the innermost frame first."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return f"{kinds_of(error)} at {where}"
