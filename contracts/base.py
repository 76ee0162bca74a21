"""The base of every model on a wire: camelCase outside, snake_case inside."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
)
from pydantic.alias_generators import to_camel


def _as_utc(value: datetime) -> datetime:
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie within the years 1 to 9999 in UTC") from None


Timestamp = Annotated[datetime, AfterValidator(_as_utc)]
"""A moment in UTC; a value without a zone is taken as UTC."""


def _a_number(value: object) -> object:
    """Pydantic would take true for 1, and "6" for 6; no reader of the schema would."""
    match value:
        case bool() | str():
            raise ValueError("must be a number")
        case _:
            return value


def _a_duration(value: object) -> object:
    match value:
        case bool():
            raise ValueError("must be a duration such as PT30M, or seconds")
        case _:
            return value


# These stand last in an Annotated type, behind its bounds: before them, the bounds would not be in the description.
A_NUMBER = BeforeValidator(_a_number)
A_DURATION = BeforeValidator(_a_duration, json_schema_input_type=timedelta | float)

NotBlank = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1),
    Field(json_schema_extra={"pattern": r"[^\s\x85]"}),  # what stripping and a least length of 1 come to
]
"""Text that says something; what surrounds it is stripped."""


class Model(BaseModel):
    """A model on a wire of ours. Unknown keys are ignored, so that an older reader survives a newer writer."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        serialize_by_alias=True,
        hide_input_in_errors=True,  # an error that is logged must not hold a guest's words
    )


class Body(Model):
    """What a client sends us. Unknown keys are refused, so that a typing mistake is told and not ignored."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _only_text(cls, value: object) -> object:
        check_text(value)
        return value


NESTING = 64
"""How deep lists and objects may stand in each other; without a bound, looking through them ends Python's stack."""
_NOT_TEXT = re.compile("[\0\ud800-\udfff]")


def check_text(value: object, *, levels: int = NESTING) -> None:
    """Raises ValueError for characters that are no text and storage cannot keep, and for what nests too deep."""
    match value:
        case str():
            if _NOT_TEXT.search(value):
                raise ValueError("must not contain NUL or unpaired surrogates")
        case list() | dict() if not levels:
            raise ValueError(f"must not be nested more than {NESTING} deep")
        case list():
            for item in value:
                check_text(item, levels=levels - 1)
        case dict():
            for key, item in value.items():
                check_text(key)
                check_text(item, levels=levels - 1)


def without_none(value: object) -> object:
    """An object without what is null in it: others send null where they mean nothing."""
    return {key: each for key, each in value.items() if each is not None} if isinstance(value, dict) else value


def without_nul(value: object) -> object:
    """The value without NUL, which PostgreSQL keeps in no text, wherever it stands."""
    match value:
        case str():
            return value.replace("\0", "")
        case list():
            return [without_nul(each) for each in value]
        case dict():
            return {without_nul(key): without_nul(each) for key, each in value.items()}
        case _:
            return value
