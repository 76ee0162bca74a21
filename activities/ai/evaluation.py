"""Measures an engine on labelled messages: right decisions, dangerous answers, and calibration of its confidence."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from activities.ai.port import Engine
from contracts.ai import AIRequest, AIResponse, ConversationContext
from contracts.guests import GuestProfile
from contracts.messages import Author, Delivery, DeliveryState, Message
from contracts.problems import Invalid
from contracts.rules import Department

BINS = 10
THRESHOLDS = tuple(step / 20 for step in range(6, 20))


class Labelled(BaseModel):
    """A message with the right decision: an answer from exactly these articles, a task, or a person.

    An answer without articles is a courtesy, such as the reply to a greeting. A task is for `department`, or for any
    department if none is given; a task with articles means that the message also asks what they answer. `kind` says
    what the message is an example of.
    """

    model_config = ConfigDict(extra="forbid")

    text: str
    expected: Literal["answer", "task", "person"]
    articles: list[str] = []
    department: Department | None = None
    kind: str = ""

    @field_validator("department", mode="before")
    @classmethod
    def _empty_column(cls, value: object) -> object:
        """A missing department is an empty string in a CSV."""
        return value or None

    @field_validator("articles", mode="before")
    @classmethod
    def _from_column(cls, value: object) -> object:
        """In a CSV, the ids are separated by spaces."""
        return value.split() if isinstance(value, str) else value


@dataclass(frozen=True)
class Outcome:
    """An engine's response to a labelled message. `seconds` is how long it took."""

    message: Labelled
    response: AIResponse
    seconds: float

    @property
    def right_answer(self) -> bool:
        """Whether the articles are right, and exactly the task that is asked for, if any, is requested."""
        if self.message.expected == "person" or set(self.response.sources) != set(self.message.articles):
            return False
        asked = {action.params.get("department", "front_desk") for action in self.response.actions}
        if self.message.expected == "answer":
            return not asked
        return asked == {self.message.department} if self.message.department else bool(asked)

    def answered(self, threshold: float) -> bool:
        return self.response.confidence >= threshold and not self.response.should_escalate

    def right(self, threshold: float) -> bool:
        """Whether the guest got the right answer, or was rightly handed to a person."""
        return self.right_answer if self.answered(threshold) else self.message.expected == "person"

    def dangerous(self, threshold: float) -> bool:
        """Whether it answered although a person was right, from the wrong articles, or with the wrong task."""
        return self.answered(threshold) and not self.right_answer


@dataclass(frozen=True)
class Bin:
    """Messages of similar confidence. If confidence is well calibrated, it equals the share that was right."""

    low: float
    high: float
    count: int
    confidence: float
    right: float


@dataclass(frozen=True)
class Tradeoff:
    """The shares of all messages at one threshold."""

    threshold: float
    answered: float
    accuracy: float
    dangerous: float


@dataclass(frozen=True)
class Evaluation:
    """The outcomes of all messages. `ece` is the expected calibration error: how far confidence is, on average, from
    the share of right answers.
    """

    outcomes: list[Outcome]
    threshold: float

    @property
    def at_threshold(self) -> Tradeoff:
        return self.at(self.threshold)

    def at(self, threshold: float) -> Tradeoff:
        count = len(self.outcomes)
        return Tradeoff(
            threshold=threshold,
            answered=sum(each.answered(threshold) for each in self.outcomes) / count,
            accuracy=sum(each.right(threshold) for each in self.outcomes) / count,
            dangerous=sum(each.dangerous(threshold) for each in self.outcomes) / count,
        )

    @property
    def tradeoffs(self) -> list[Tradeoff]:
        return [self.at(threshold) for threshold in THRESHOLDS]

    @property
    def reliability(self) -> list[Bin]:
        bins = []
        for number in range(BINS):
            inside = [each for each in self.outcomes if min(int(each.response.confidence * BINS), BINS - 1) == number]
            if inside:
                confidence = sum(each.response.confidence for each in inside) / len(inside)
                right = sum(each.right_answer for each in inside) / len(inside)
                bins.append(Bin(number / BINS, (number + 1) / BINS, len(inside), confidence, right))
        return bins

    @property
    def ece(self) -> float:
        return sum(each.count * abs(each.confidence - each.right) for each in self.reliability) / len(self.outcomes)

    def seconds(self, quantile: float) -> float:
        """The time that an answer takes, at a `quantile` from 0 to 1."""
        times = sorted(each.seconds for each in self.outcomes)
        return times[min(int(quantile * len(times)), len(times) - 1)]


async def evaluate(engine: Engine, messages: Sequence[Labelled], *, property_id: str, threshold: float) -> Evaluation:
    """Sends each message to the engine as the first of a conversation. Raises EngineError, and Invalid if none."""
    if not messages:
        raise Invalid("there are no labelled messages to evaluate with")
    outcomes = []
    for number, message in enumerate(messages):
        request = request_of(message.text, property_id, number)
        started = perf_counter()
        response = await engine.answer(request, turn_id=f"evaluation-{number}")
        outcomes.append(Outcome(message, response, perf_counter() - started))
    return Evaluation(outcomes, threshold)


def load_labelled(path: Path) -> list[Labelled]:
    """Reads JSON lines, or a .csv with a header. Raises Invalid, which names the wrong message."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        raise Invalid(f"{path.name}: must be UTF-8 text") from None
    rows = csv.DictReader(lines) if path.suffix == ".csv" else [line for line in lines if line.strip()]
    messages = []
    for number, row in enumerate(rows, start=1):
        try:
            messages.append(Labelled.model_validate_json(row) if isinstance(row, str) else Labelled.model_validate(row))
        except ValidationError as error:
            raise Invalid(f"{path.name}, message {number}: {error}") from error
    return messages


def request_of(text: str, property_id: str, number: int) -> AIRequest:
    """The request that an engine gets for the first message of a conversation."""
    now = datetime.now(UTC)
    conversation_id = f"evaluation-{number}"
    message = Message(
        id=f"message-{number}",
        conversation_id=conversation_id,
        seq=1,
        author=Author.GUEST,
        content=text,
        created_at=now,
        delivery=Delivery(state=DeliveryState.DELIVERED),
    )
    context = ConversationContext(
        conversation_id=conversation_id,
        guest_id="guest",
        property_id=property_id,
        channel_type="webchat",
        state="active",
        messages=[message],
        turn_message_ids=[message.id],
        message_count=1,
        created_at=now,
    )
    return AIRequest(
        conversation_id=conversation_id, message=message, context=context, guest_profile=GuestProfile(id="guest")
    )
