"""What a guest does by a message, whatever the hotel: asks, greets, complains, needs help. Learned from phrasings."""

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from activities.ai.yaml_text import parse_yaml
from contracts.rules import ActionType, Priority
from contracts.tasks import Department

THING = "{thing}"
"""Stands in a phrasing for anything a property has an article about."""
QUESTION = "question"

_HERE = Path(__file__).parent


class ActFile(BaseModel):
    """What a guest may do, and how it is said; the file's name is the act's.

    `question` may be answered from knowledge, `smalltalk` is answered by `reply`, `context` needs no answer of its
    own, `work` is for a department, and `person` is never the AI's to answer. Work is asked of the department by the
    action that `takes` names, or, without one, by a person who reads the message.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["question", "smalltalk", "context", "work", "person"]
    about: Literal["the hotel", "something else", "another language"] = "the hotel"
    grave: bool = False
    """Missing it is worse than a needless hand-over, so a suspicion is enough."""
    reply: str = ""
    takes: ActionType | None = None
    title: str = ""
    department: Department = "front_desk"
    priority: Priority = "normal"
    alarms: tuple[str, ...] = ()
    """Words that no question for an article holds; one is enough."""
    phrasings: tuple[str, ...]
    foreign: tuple[str, ...] = ()
    """Phrasings in other languages than English."""
    foreign_alarms: tuple[str, ...] = ()
    """Words of other languages; one is enough in a message that is in another language."""


class Act(ActFile):
    name: str


@cache
def load_acts() -> dict[str, Act]:
    """All acts by name."""
    acts = {}
    for path in sorted((_HERE / "acts").glob("*.yaml")):
        file = ActFile.model_validate(parse_yaml(path.read_text("utf-8")))
        acts[path.stem] = Act(name=path.stem, **dict(file))
    return acts


@cache
def load_objects() -> dict[str, list[str]]:
    """Things of every hotel that guests ask for, that break and that get lost: {item}, {device} and {belonging}."""
    return TypeAdapter(dict[str, list[str]]).validate_python(parse_yaml((_HERE / "objects.yaml").read_text("utf-8")))
