"""Acts: what a guest does with a message in any hotel (asks, greets, complains, needs help). Learned from phrasings."""

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from activities.ai.yaml_text import parse_yaml
from contracts.rules import ActionType, Department, Priority

THING = "{thing}"
"""Placeholder in phrasings for anything that a property has an article about."""
QUESTION = "question"

_HERE = Path(__file__).parent


class ActFile(BaseModel):
    """An act and the phrasings of it. The file's name is the act's name.

    Kinds: a `question` may be answered from knowledge, `smalltalk` is answered by `reply`, `context` needs no answer
    of its own, `work` is for a department, and `person` is never answered by the AI. Work is requested by the action
    that `takes` names; without one, a person reads the message.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["question", "smalltalk", "context", "work", "person"]
    about: Literal["the hotel", "something else", "another language"] = "the hotel"
    grave: bool = False
    """Missing it is worse than an unnecessary hand-over, so that a suspicion is enough."""
    reply: str = ""
    takes: ActionType | None = None
    title: str = ""
    department: Department = "front_desk"
    priority: Priority = "normal"
    alarms: tuple[str, ...] = ()
    """Words that no question about an article contains; one of them is enough to recognise the act."""
    phrasings: tuple[str, ...]
    foreign: tuple[str, ...] = ()
    """Phrasings in languages other than English."""
    foreign_alarms: tuple[str, ...] = ()
    """Words of other languages; one of them is enough in a message that is in another language."""


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
    """Objects of any hotel that guests ask for, that break and that get lost: {item}, {device} and {belonging}."""
    return TypeAdapter(dict[str, list[str]]).validate_python(parse_yaml((_HERE / "objects.yaml").read_text("utf-8")))
