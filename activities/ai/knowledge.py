"""A property's knowledge: a folder of articles, one Markdown file each; the file's name is the article's id.

Guests are sent the text. The front matter says how they ask for it: `title`, and lists of `names` (what the thing is
called), `words` (related words) and `questions` (whole phrasings). `excludes` lists what guests ask about the thing
that the text does not answer: such a question goes to a person.
"""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from yaml import YAMLError

from activities.ai.yaml_text import parse_yaml
from settings import Settings, SettingsError

SHIPPED = Path(__file__).parent / "properties"
_FENCE = "---\n"


class FrontMatter(BaseModel):
    """An article's front matter: how guests ask for it."""

    model_config = ConfigDict(extra="forbid")

    title: str
    names: list[str] = []
    words: list[str] = []
    questions: list[str] = []
    excludes: list[str] = []


class Article(FrontMatter):
    """An article. `text` is what guests are sent."""

    id: str
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


def knowledge_folder(settings: Settings, property_id: str) -> Path | None:
    """The folder named by the property's settings, else the shipped one named after its id, else None.

    Raises SettingsError if the settings name a folder that does not exist.
    """
    configured = settings.properties[property_id].knowledge
    if configured is None:
        shipped = SHIPPED / property_id
        return shipped if shipped.parent == SHIPPED and shipped.is_dir() else None
    if not Path(configured).is_dir():
        raise SettingsError(
            f"properties.{property_id}.knowledge: no folder {configured!r}; name a folder with articles"
        )
    return Path(configured)


def load_articles(folder: Path) -> list[Article]:
    """Loads a folder's articles, in order of their ids. Raises SettingsError for a file that is not an article."""
    return [_load(path) for path in sorted(folder.glob("*.md"))]


def _load(path: Path) -> Article:
    before, fence, rest = path.read_text("utf-8").partition(_FENCE)
    front, closing, text = rest.partition(_FENCE)
    if before.strip() or not fence or not closing:
        raise SettingsError(f"{path}: an article must begin with front matter between two lines of ---")
    try:
        matter = FrontMatter.model_validate(parse_yaml(front))
        return Article(id=path.stem, text=text, **dict(matter))
    except (ValidationError, YAMLError) as error:
        raise SettingsError(f"{path}: {error}") from error
