"""Lists as clients get them: `{items, nextCursor}`, and the opaque cursor that continues one."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeVar

import orjson
from pydantic import Field, ValidationError
from starlette.responses import Response

from contracts.base import Body, Model
from contracts.problems import Invalid

Item = TypeVar("Item")
Place = TypeVar("Place", bound=Model)


class Page(Model, Generic[Item]):
    """One page of a list. `nextCursor` is null on the last page."""

    items: Sequence[Item]
    next_cursor: str | None = None


def page_of_json(items: Sequence[dict[str, Any]], end: Model | None) -> Response:
    """A page whose items are already JSON, not models."""
    return Response(orjson.dumps({"items": items, "nextCursor": cursor_of(end)}), media_type="application/json")


class PageQuery(Body):
    limit: Annotated[int, Field(ge=1, le=200, description="The maximum number of items on the page.")] = 50
    cursor: Annotated[
        str | None, Field(max_length=1000, description="The opaque `nextCursor` of the previous page.")
    ] = None

    def position(self, kind: type[Place]) -> Place | None:
        """Where the page begins. Raises Invalid for a cursor of another list."""
        if self.cursor is None:
            return None
        try:
            padded = self.cursor + "=" * (-len(self.cursor) % 4)
            return kind.model_validate_json(base64.b64decode(padded, altchars=b"-_", validate=True))
        except (ValidationError, binascii.Error, ValueError):
            raise Invalid("cursor: must be a `nextCursor` of this list", field="cursor") from None


def cursor_of(place: Model | None) -> str | None:
    if place is None:
        return None
    return base64.urlsafe_b64encode(place.model_dump_json().encode()).decode().rstrip("=")
