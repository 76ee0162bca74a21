"""Imports articles from files: Markdown with or without front matter, and CSV. Pure."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterator

import yaml
from pydantic import ValidationError, field_validator

from contracts.base import check_text
from contracts.knowledge import NamedArticle
from contracts.problems import Invalid

_FENCE = "---"
# White space around the title is stripped afterwards: doing it in the expression would backtrack on every blank.
_HEADING = re.compile(r"^#{1,3}[ \t]+(?P<title>.*)$", re.MULTILINE)
_COLUMNS = ("id", "title", "text", "questions", "names", "words", "excludes")
_LISTS = ("questions", "names", "words", "excludes")
ARTICLES = 1_000
"""The limit of one import, which is written in one transaction while the property's other writers wait."""

FRONT_MATTER_LENGTH = 200_000
"""The limit in characters, above any real article's: parsing a megabyte of odd YAML takes half a minute."""


class _ReadArticle(NamedArticle):
    """An article whose texts are checked for forbidden characters, which YAML can produce by escapes.

    That is done after validation, when lengths are bounded: aliases can expand without end.
    """

    @field_validator("*")
    @classmethod
    def _only_text(cls, value: object) -> object:
        check_text(value)
        return value


def articles_of_markdown(content: str) -> list[NamedArticle]:
    """The articles of a Markdown file: each heading is a title, and what follows is the text.

    A file that begins with front matter between `---` lines is a single article, like the shipped ones; its `id` may be
    given there. Raises Invalid, naming the wrong heading.
    """
    content = content.lstrip("\ufeff").replace("\r\n", "\n")
    if content.startswith(f"{_FENCE}\n"):
        return [_with_front_matter(content)]
    headings = list(_HEADING.finditer(content))
    if not headings:
        raise Invalid("content: there is no heading; start each article with a line like `# Parking`", field="content")
    _check_count(len(headings))
    ends = [*(heading.start() for heading in headings[1:]), len(content)]
    parts = ((_title(each), content[each.end() : end]) for each, end in zip(headings, ends, strict=True))
    return _each_once([_article({"title": title, "text": text}, f"# {title}") for title, text in parts])


def articles_of_csv(content: str) -> list[NamedArticle]:
    """The articles of a CSV file, one per row, with the columns `title` and `text`.

    `id`, `questions`, `names` and `words` are optional, the last three lists separated by `|`. Raises Invalid, naming
    the wrong row.
    """
    reader = csv.DictReader(io.StringIO(content.lstrip("\ufeff")), strict=True)
    try:
        columns = [column.strip().lower() for column in reader.fieldnames or []]
        reader.fieldnames = columns
        unknown = [column for column in columns if column not in _COLUMNS]
        if unknown or not {"title", "text"} <= set(columns):
            raise Invalid(
                f"content: the first row must name columns, including `title` and `text`, out of "
                f"{', '.join(_COLUMNS)}; found {', '.join(columns) or 'nothing'}",
                field="content",
            )
        return _each_once(list(_rows(reader)))
    except csv.Error as error:
        raise Invalid(f"content: is not CSV: {error}", field="content") from error


def slug(title: str) -> str:
    """An id made from a title: `Early check-in` becomes `early_check_in`."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:64]


def _title(heading: re.Match[str]) -> str:
    return heading["title"].strip().rstrip("#").rstrip()


def _rows(reader: "csv.DictReader[str]") -> Iterator[NamedArticle]:
    for count, row in enumerate(reader, start=1):
        _check_count(count)
        yield _article(_cells(row), f"row {count + 1}")


def _check_count(articles: int) -> None:
    if articles > ARTICLES:
        raise Invalid(f"content: must have at most {ARTICLES:,} articles; split it", field="content")


def _with_front_matter(content: str) -> NamedArticle:
    front, closing, text = content.removeprefix(f"{_FENCE}\n").partition(f"\n{_FENCE}\n")
    if not closing:
        raise Invalid("content: the front matter must end with a line of ---", field="content")
    if len(front) > FRONT_MATTER_LENGTH:
        said = f"content: the front matter must have at most {FRONT_MATTER_LENGTH:,} characters"
        raise Invalid(said, field="content")
    try:
        # Every scalar stays text: converting dates or tags could fail in other ways.
        matter = yaml.BaseLoader(front).get_single_data()
    except yaml.YAMLError as error:
        raise Invalid(
            f"content: the front matter is not YAML: {' '.join(str(error).split())}", field="content"
        ) from error
    except RecursionError:
        raise Invalid("content: the front matter is nested too deeply", field="content") from None
    if not isinstance(matter, dict):
        raise Invalid("content: the front matter must have keys, such as title", field="content")
    return _article({**matter, "text": text}, "the front matter")


def _cells(row: dict[str, str | list[str] | None]) -> dict[str, object]:
    if None in row:
        raise Invalid("content: a row has more cells than the first; put texts with commas in quotes", field="content")
    cells: dict[str, object] = {key: value for key, value in row.items() if value not in (None, "")}
    for key in _LISTS:
        if key in cells:
            cells[key] = [part.strip() for part in str(cells[key]).split("|") if part.strip()]
    return cells


def _article(values: dict[str, object], where: str) -> NamedArticle:
    title = values.get("title")
    named = {"id": slug(title) if isinstance(title, str) else "", **values}
    try:
        return _ReadArticle.model_validate(named)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise Invalid(f"content: {where}: {told}", field="content") from None


def _each_once(articles: list[NamedArticle]) -> list[NamedArticle]:
    if not articles:
        raise Invalid("content: there are no articles in it", field="content")
    if twice := sorted(set(_repeated(each.id for each in articles))):
        raise Invalid(f"content: more than one article with the id {', '.join(twice)}", field="content")
    return articles


def _repeated(ids: Iterator[str]) -> Iterator[str]:
    seen: set[str] = set()
    for each in ids:
        if each in seen:
            yield each
        seen.add(each)
