"""Changing what two people may edit at once: partial updates, and `If-Match` against lost ones."""

from typing import Any, ClassVar

from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from contracts.base import Body
from contracts.problems import StaleVersion


def _only_what_is_sent(schema: dict[str, Any]) -> None:
    """Removes defaults from the schema: a field that is left out keeps its value."""
    for field in schema["properties"].values():
        field.pop("default", None)


def unchanged() -> Any:
    """A default for fields of `Changes`. It only marks a field as optional and is never read."""
    return Field(default=None)


class Changes(Body):
    """A merge patch: fields left out stay as they are. Null clears a field in `CAN_BE_EMPTY`; others refuse it."""

    CAN_BE_EMPTY: ClassVar[frozenset[str]] = frozenset()
    model_config = ConfigDict(json_schema_extra=_only_what_is_sent)

    @field_validator("*", mode="before")
    @classmethod
    def _not_null(cls, value: object, info: ValidationInfo) -> object:
        if value is None and info.field_name not in cls.CAN_BE_EMPTY:
            raise ValueError("must not be null; leave it out to keep the value")
        return value

    def sent(self) -> dict[str, Any]:
        """The fields that were sent, by name."""
        return self.model_dump(include=self.model_fields_set, by_alias=False)


def check_version(if_match: str | None, etag: str) -> None:
    """Raises StaleVersion unless `If-Match` is absent, `*`, or lists the current `ETag`."""
    if if_match is None or if_match.strip() == "*":
        return
    if etag not in (tag.strip() for tag in if_match.split(",")):
        raise StaleVersion("It has been changed since you read it; read it again and repeat the change", etag=etag)
