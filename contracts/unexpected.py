"""What may be told of an error that nobody expected: never its text, which may quote a guest."""

import traceback


def kinds_of(error: BaseException | None) -> str:
    """The types of an error, of what it holds together, and of what caused it."""
    if isinstance(error, BaseExceptionGroup):
        return ", ".join(kinds_of(each) for each in error.exceptions)
    kinds: list[str] = []
    while error is not None:
        kinds.append(type(error).__qualname__)
        error = error.__cause__ or error.__context__
    return " from ".join(kinds)


def told(error: BaseException) -> str:
    """Its types, and where it happened."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return f"{kinds_of(error)} at {where}"
