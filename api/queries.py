"""Query parameters of lists.

FastAPI can read them into a model as well, but analyses every field at each request, which takes half as long as
writing a page of fifty conversations.
"""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from api.lists import PageQuery

Query = TypeVar("Query", bound=PageQuery)


@dataclass(frozen=True, slots=True)
class QueryOf(Generic[Query]):
    """Gives a route its query as a model of single values. Of a repeated parameter the last one counts."""

    model: type[Query]

    async def __call__(self, request: Request) -> Query:
        try:
            return self.model.model_validate(dict(request.query_params))
        except ValidationError as error:
            wrong = [{**each, "loc": ("query", *each["loc"])} for each in error.errors()]
            raise RequestValidationError(wrong) from None


def parameters_of(model: type[PageQuery]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The OpenAPI parameters of a query, and the schemas they refer to, by name."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    parameters = []
    for name, of_field in schema["properties"].items():
        if of_field.get("default", ...) is None:  # not given
            del of_field["default"]
        of_field.setdefault("title", name.title())
        parameter = {"name": name, "in": "query", "required": False, "schema": of_field}
        if "description" in of_field:
            parameter["description"] = of_field["description"]
        parameters.append(parameter)
    return parameters, schema.get("$defs", {})
