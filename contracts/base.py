"""The base of every model on a wire: camelCase outside, snake_case inside."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


def _as_utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Timestamp = Annotated[datetime, AfterValidator(_as_utc)]
"""A moment in UTC; a value without a zone is taken as UTC."""


class Model(BaseModel):
    """A model on a wire of ours. Unknown keys are ignored, so that an older reader survives a newer writer."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)


class Body(Model):
    """What a client sends us. Unknown keys are refused, so that a typing mistake is told and not ignored."""

    model_config = ConfigDict(extra="forbid")
