"""Base classes of every model that is serialised: camelCase in JSON, snake_case in Python."""

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
        raise ValueError("must be within the years 1 to 9999, in UTC") from None


Timestamp = Annotated[datetime, AfterValidator(_as_utc)]
"""A moment in UTC. A value without a time zone is taken as UTC."""


def _with_offset(value: object) -> object:
    """Refuses what only its sender can place: a local time, and a number of seconds or milliseconds."""
    match value:
        case datetime() if value.tzinfo is not None:
            return value
        case str() if _MOMENT.fullmatch(value):
            return value
    raise ValueError("must be a moment with its offset from UTC, such as 2026-05-01T18:30:00+02:00")


_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d.*([Zz]|[+-]\d\d:?\d\d)", re.ASCII)
Moment = Annotated[Timestamp, BeforeValidator(_with_offset)]
"""A moment that a client names."""


def _a_number(value: object) -> object:
    """Refuses true and "6", which pydantic would take for 1 and 6, though the schema says number."""
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


# Put these last in an Annotated type: placed before its bounds, they would keep the bounds out of the schema.
A_NUMBER = BeforeValidator(_a_number)
A_DURATION = BeforeValidator(_a_duration, json_schema_input_type=timedelta | float)

NotBlank = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1),
    Field(json_schema_extra={"pattern": r"[^\s\x85]"}),  # what stripping and a least length of 1 come to
]
"""Text that is not blank. Surrounding white space is stripped."""


class Model(BaseModel):
    """A model that we serialise. Unknown keys are ignored, so that an older reader survives a newer writer."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        serialize_by_alias=True,
        hide_input_in_errors=True,  # a logged error must not contain a guest's words
    )


class Body(Model):
    """A body that a client sends. Unknown keys are refused, so that typing mistakes are reported instead of ignored."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _only_text(cls, value: object) -> object:
        check_text(value)
        return value


NESTING = 64
"""How deeply lists and objects may nest. Without a limit, walking through them would exhaust Python's stack."""
_NOT_TEXT = re.compile("[\0\ud800-\udfff]")


def check_text(value: object, *, levels: int = NESTING) -> None:
    """Raises ValueError for characters that storage cannot keep (NUL, lone surrogates), and for too deep nesting."""
    match value:
        case str():
            if _NOT_TEXT.search(value):
                raise ValueError("must not contain NUL or unpaired surrogates")
        case list() | dict() if not levels:
            raise ValueError(f"must not be nested more than {NESTING} levels deep")
        case list():
            for item in value:
                check_text(item, levels=levels - 1)
        case dict():
            for key, item in value.items():
                check_text(key)
                check_text(item, levels=levels - 1)


def without_none(value: object) -> object:
    """An object without its null members: some clients send null for what they leave out."""
    return {key: each for key, each in value.items() if each is not None} if isinstance(value, dict) else value


def without_nul(value: object) -> object:
    """The value without NUL characters, which PostgreSQL cannot store in text, at any depth."""
    match value:
        case str():
            return value.replace("\0", "")
        case list():
            return [without_nul(each) for each in value]
        case dict():
            return {without_nul(key): without_nul(each) for key, each in value.items()}
        case _:
            return value
