"""What every section of the settings is made of."""

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Milliseconds = Annotated[int, Field(ge=0, le=365 * 24 * 3600 * 1000)]
Seconds = Annotated[int, Field(ge=0, le=365 * 24 * 3600)]
Timeout = Annotated[Milliseconds, Field(ge=1)]
"""How long to wait for something. 0 is refused: it would not mean "for ever" but that nothing comes in time."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=True)


AnySection = TypeVar("AnySection", bound="Section")


def over(shared: AnySection, own: AnySection) -> AnySection:
    """The shared section, overridden at any depth by the keys that a property sets itself."""
    changes: dict[str, object] = {}
    for name in own.model_fields_set:
        value, before = getattr(own, name), getattr(shared, name)
        changes[name] = over(before, value) if isinstance(value, Section) else value
    return shared.model_copy(update=changes)
