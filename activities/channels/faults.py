"""Describing input of others that does not validate, without quoting it."""

from pydantic import ValidationError


def first_fault(error: ValidationError, *parents: str, whole: str = "body") -> tuple[str, str]:
    """The path of the first wrong field, below `parents`, and what is wrong with it. `whole` names the input itself."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return ".".join(map(str, (*parents, *first["loc"]))) or whole, first["msg"]
