"""What a whole turn asks for: its messages read part by part, and what the parts come to together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from activities.ai.acts import QUESTION, Act
from activities.ai.calibration import Calibration, evidence
from activities.ai.language import is_foreign
from activities.ai.reader import OTHER_TOPIC, Reader, Reading
from activities.ai.segments import clauses, sentences

SURE = 0.7
"""Confidence at which a part is a question that knowledge answers."""
SUSPICION = 0.35
"""Score at which a grave act counts, whatever else the message is like."""
PLAIN = 0.6
"""Score at which a mere clause is taken for what it is like."""
LIKELY = 0.3
"""Score at which the likeliest act is named."""

Kind = Literal["answer", "smalltalk", "context", "handover", "unsure"]
_RANKS: dict[Kind, int] = {"handover": 0, "unsure": 1, "answer": 2, "smalltalk": 3, "context": 4}


@dataclass(frozen=True)
class Part:
    """One thing a guest said. `intent` is an article's id, an act's name or `unknown`."""

    kind: Kind
    intent: str
    confidence: float
    act: Act | None = None

    @property
    def sure(self) -> bool:
        return self.kind == "answer" and self.confidence >= SURE


class Understanding:
    def __init__(self, reader: Reader, acts: dict[str, Act], calibration: Calibration) -> None:
        self._reader = reader
        self._acts = acts
        self._calibration = calibration

    def parts(self, messages: Sequence[str]) -> list[Part]:
        """What the guest said in a turn's messages, the most pressing first."""
        foreign = [part for message in messages if (part := self._foreign(message))]
        found = foreign or self._of_turn("\n".join(messages))
        return sorted(found, key=lambda part: (_RANKS[part.kind], _urgency(part)))

    def _foreign(self, message: str) -> Part | None:
        reading = self._reader.read(message)
        likeliest, score = self._acts[reading.act], reading.acts[reading.act]
        another = next(act for act in self._acts.values() if act.about == "another language")
        if not is_foreign(message, known=reading.english) and (likeliest != another or score < LIKELY):
            return None
        understood = likeliest if likeliest.foreign and score >= LIKELY else another
        return Part("handover", understood.name, 0.0, understood)

    def _of_turn(self, turn: str) -> list[Part]:
        parts: list[Part] = []
        for sentence in sentences(turn):
            parts += self._of_sentence(sentence, follows=bool(parts))
        asked = [part for part in parts if part.kind in ("answer", "unsure")]
        if len(parts) > 1 and asked and not any(part.kind == "handover" or part.sure for part in parts):
            return [self._judged(self._reader.read(turn)), *(part for part in parts if part not in asked)]
        return parts

    def _of_sentence(self, sentence: str, *, follows: bool) -> list[Part]:
        """`follows`: it comes after another sentence, which a question without a topic is about."""
        reading = self._reader.read(sentence)
        if reading.names:
            return [Part("context", "unknown", 0.0)]
        if follows and reading.act == QUESTION and not reading.topical:
            return []
        whole = self._judged(reading)
        texts = clauses(sentence)
        judged = {text: self._clause(text) for text in texts} if len(texts) > 1 else {sentence: whole}
        if pressing := [part for part in judged.values() if part.kind == "handover"]:
            return pressing
        asking = {
            text: part
            for text, part in judged.items()
            if part.kind in ("answer", "unsure") and not self._reader.read(text).names
        }
        topics = [text for text in asking if self._reader.read(text).topical]
        if whole.kind == "handover" or not asking:
            return [whole]
        if len(topics) > 1 and all(asking[text].sure for text in topics):
            return _distinct([asking[text] for text in topics])
        if both := self._both(sentence):
            return both
        if len(asking) < len(judged):
            asked = self._judged(self._reader.read(", ".join(asking)))
            return [whole if whole.kind == "answer" and whole.confidence > asked.confidence else asked]
        return [whole]

    def _both(self, sentence: str) -> list[Part]:
        """Answers to a question that names two things at once, where there is one for each."""
        texts = self._reader.apart(sentence)
        parts = [self._judged(self._reader.read(text)) for text in texts]
        return _distinct(parts) if len(texts) > 1 and all(part.sure for part in parts) else []

    def _clause(self, text: str) -> Part:
        """A clause alone says little: only what is plain counts."""
        reading = self._reader.read(text)
        part = self._judged(reading)
        if part.kind == "answer" or reading.acts[reading.act] >= PLAIN:
            return part
        return Part("unsure", part.intent, part.confidence)

    def _judged(self, reading: Reading) -> Part:
        if reading.empty:
            return Part("unsure", "unknown", 0.0)
        act = self._acts[reading.act]
        score = reading.acts[reading.act]
        if grave := self._grave(reading):
            return Part("handover", grave.name, 0.0, grave)
        if reading.alarms:
            plain = act.kind in ("person", "work") and act.about == "the hotel"
            alarmed = act if plain else self._acts[reading.alarms[0]]
            return Part("handover", alarmed.name, 0.0, alarmed)
        if act.kind in ("person", "work") and act.about == "the hotel" and score >= LIKELY:
            return Part("handover", act.name, 0.0, act)
        if (act.kind == "smalltalk" or act.kind == "context") and score >= LIKELY:
            return Part(act.kind, act.name, _courtesy(score), act)
        if act.name != QUESTION or reading.article == OTHER_TOPIC or not reading.topical:
            return Part("unsure", "unknown", 0.0)
        return Part("answer", reading.article, self._calibration.confidence(evidence(reading, self._acts)))

    def _grave(self, reading: Reading) -> Act | None:
        graves = [act for act in self._acts.values() if act.grave]
        likeliest = max(graves, key=lambda act: (act.name in reading.alarms, reading.acts[act.name]))
        suspected = likeliest.name in reading.alarms or reading.acts[likeliest.name] >= SUSPICION
        return likeliest if suspected else None


def _distinct(parts: list[Part]) -> list[Part]:
    """The surest part of each intent, in the order they were asked."""
    surest: dict[str, Part] = {}
    for part in parts:
        if part.intent not in surest or part.confidence > surest[part.intent].confidence:
            surest[part.intent] = part
    return list(surest.values())


def _courtesy(score: float) -> float:
    """How sure one may be of a greeting or thanks: these are seldom anything else."""
    return 1 - (1 - min(score, 0.9)) ** 3


def _urgency(part: Part) -> int:
    return 0 if part.act is None or part.act.grave else 1 if part.act.kind == "person" else 2
