"""Understands what a whole turn asks for: reads its messages part by part and combines the results."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from activities.ai.actions import DECLINED
from activities.ai.acts import QUESTION, Act
from activities.ai.calibration import Calibration, evidence, request_evidence
from activities.ai.language import is_foreign
from activities.ai.reader import OTHER_TOPIC, Reader, Reading
from activities.ai.segments import clauses, has_title, name_below, name_signed, sentences

SURE = 0.7
"""The confidence from which a part counts as a question that an article answers."""
SUSPICION = 0.35
"""The score from which a grave act counts, whatever else the message resembles."""
DOUBT = 0.2
"""The score of a grave act from which a person sees what would otherwise be work for a department."""
DOUBT_SHARE = 0.4
"""The share of the work's score that it must also reach: "I need an iron" shares only "I need" with an ambulance."""
PLAIN = 0.6
"""The score from which a clause alone counts as the act that it resembles."""
LIKELY = 0.3
"""The score from which the likeliest act is taken."""
COURTESY, RIVALRY = 0.5, 0.7
"""The score that a courtesy with other words in it needs, and the share of it that any other act may reach."""
ASKING = ("question", "person", "work")

_ASKS_TO_KNOW = re.compile(r"\W*(what|when|where|which|how|who|why|is (?!it possible)|are|does)\b", re.IGNORECASE)
"""Openings of questions that ask for information, not for work."""

_STATE = re.compile(
    r"\b(?:closed|shut)\b(?! (?:on|at|in|every)\b)|\bout of (?:order|service)\b|\b(?:renovat|construction)",
    re.IGNORECASE,
)
_WHEN = re.compile(r"\b(?:when|time|hours?|days?)\b", re.IGNORECASE)
"""Words about the current state of a thing, which no article knows, and words that ask for its hours after all."""

Kind = Literal["answer", "smalltalk", "context", "handover", "request", "unsure"]
_RANKS: dict[Kind, int] = {"handover": 0, "request": 1, "unsure": 2, "answer": 3, "smalltalk": 4, "context": 5}


@dataclass(frozen=True)
class Part:
    """One thing that a guest said. `intent` is an article's id, an act's name or `unknown`; `text` is the wording."""

    kind: Kind
    intent: str
    confidence: float
    act: Act | None = None
    text: str = ""
    alarmed: bool = False
    """Whether an alarm word decided it, or a known phrasing of another language."""

    @property
    def sure(self) -> bool:
        return self.kind == "answer" and self.confidence >= SURE


class Understanding:
    def __init__(self, reader: Reader, acts: dict[str, Act], calibration: Calibration) -> None:
        self._reader = reader
        self._acts = acts
        self._calibration = calibration

    def parts(self, messages: Sequence[str]) -> list[Part]:
        """What the guest says in a turn's messages, the most urgent part first."""
        messages = [self._unsigned(message) for message in messages]
        foreign = [part for message in messages if (part := self._foreign(message))]
        found = foreign or self._of_turn("\n".join(messages))
        return sorted(found, key=lambda part: (_RANKS[part.kind], _urgency(part)))

    def _unsigned(self, message: str) -> str:
        """The message without its signature, which means nothing whatever it resembles: Mr Becker asks for no beer."""
        signed = name_signed(message)
        name = signed or name_below(message)
        surely = has_title(name)
        if not surely and not signed and not self._reader.may_be_name(name):
            return message
        means_something = not surely and (self._reader.alarming(name) or self._reader.things_in(name))
        return message if means_something else message[: message.rindex(name)]

    def _foreign(self, message: str) -> Part | None:
        reading = self._reader.read(message)
        likeliest, score = self._acts[reading.act], reading.acts[reading.act]
        another = next(act for act in self._acts.values() if act.about == "another language")
        if not is_foreign(message, known=reading.english) and (likeliest != another or score < LIKELY):
            return None
        if reading.foreign_alarms:
            alarmed = self._acts[reading.foreign_alarms[0]]
            return Part("handover", alarmed.name, 0.0, alarmed, alarmed=True)
        # We know only a few sentences of other languages, and most messages resemble one of them in something.
        likely = score >= (PLAIN if likeliest.grave else LIKELY)
        understood = likeliest if likeliest.foreign and likely else another
        return Part("handover", understood.name, 0.0, understood, alarmed=understood != another)

    def _of_turn(self, turn: str) -> list[Part]:
        parts: list[Part] = []
        left_out = False
        for sentence in sentences(turn):
            found = self._of_sentence(sentence, follows=bool(parts))
            left_out = left_out or not found
            parts += found
        if left_out and all(part.kind in ("smalltalk", "context") for part in parts):
            # "Thanks! And how much is it?" has no topic in this turn, so it is about an earlier one.
            return [*parts, Part("unsure", "unknown", 0.0)]
        asked = [part for part in parts if part.kind in ("answer", "unsure")]
        if len(parts) > 1 and asked and not any(part.kind == "handover" or part.sure for part in parts):
            whole = self._judged(self._reader.read(turn))
            # Thanks next to a question that was not understood do not make the whole a courtesy.
            understood = asked if whole.kind in ("smalltalk", "context") else [whole]
            # Work that the whole turn asks for is requested once, with the whole text.
            known = {whole.intent} if whole.kind == "request" else set()
            return [*understood, *(part for part in parts if part not in asked and part.intent not in known)]
        return parts

    def _of_sentence(self, sentence: str, *, follows: bool) -> list[Part]:
        """`follows` says whether another sentence comes before it, which a question without a topic is then about."""
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
        if whole.kind == "handover":
            return [whole]
        if any(part.kind == "request" for part in judged.values()):
            return self._requests(sentence, whole, judged)
        asking = {
            text: part
            for text, part in judged.items()
            if part.kind in ("answer", "unsure") and not self._reader.read(text).names
        }
        topics = [text for text in asking if self._reader.read(text).topical]
        if whole.kind == "request" or not asking:
            return [whole]
        if len(topics) > 1 and all(asking[text].sure for text in topics):
            return _distinct([asking[text] for text in topics])
        if both := self._both(sentence):
            return both
        if len(asking) < len(judged):
            asked = self._judged(self._reader.read(", ".join(asking)))
            if asked.kind == whole.kind == "smalltalk":
                return [whole]
            return [whole if whole.kind == "answer" and whole.confidence > asked.confidence else asked]
        return [whole]

    def _requests(self, sentence: str, whole: Part, judged: dict[str, Part]) -> list[Part]:
        """The requests, and questions next to them. A clause that is neither only adds details to the work."""
        requests = _distinct([part for part in judged.values() if part.kind == "request"])
        beside = [
            part
            for text, part in judged.items()
            if part.kind in ("answer", "unsure")
            and self._reader.read(text).act == QUESTION
            and self._reader.read(text).topical
        ]
        if len(requests) == 1 and not beside:
            sure = max(requests[0].confidence, whole.confidence if whole.intent == requests[0].intent else 0.0)
            return [replace(requests[0], confidence=sure, text=sentence)]
        return [*requests, *beside]

    def _both(self, sentence: str) -> list[Part]:
        """The answers to a question that names two things at once, if there is a sure one for each."""
        texts = self._reader.apart(sentence)
        parts = [self._judged(self._reader.read(text)) for text in texts]
        return _distinct(parts) if len(texts) > 1 and all(part.sure for part in parts) else []

    def _clause(self, text: str) -> Part:
        """Judges a clause, which says little on its own: anything but an answer needs a high score."""
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
        if grave := self._likeliest_grave(reading, SUSPICION):
            return Part("handover", grave.name, 0.0, grave, alarmed=grave.name in reading.alarms)
        work = work_of(reading, self._acts)
        if work and work.department == "maintenance" and DECLINED.match(reading.text):
            return Part("unsure", "unknown", 0.0)
        if work and (doubt := self._likeliest_grave(reading, max(DOUBT, DOUBT_SHARE * reading.acts[work.name]))):
            return Part("handover", doubt.name, 0.0, doubt)
        if work:
            confidence = self._calibration.request_confidence(request_evidence(reading, work, self._acts))
            return Part("request", work.name, confidence, work, reading.text)
        if reading.alarms:
            plain = act.kind in ("person", "work") and act.about == "the hotel"
            alarmed = act if plain else self._acts[reading.alarms[0]]
            return Part("handover", alarmed.name, 0.0, alarmed, alarmed=True)
        if act.kind in ("person", "work") and act.about == "the hotel" and score >= LIKELY:
            return Part("handover", act.name, 0.0, act)
        if (act.kind == "smalltalk" or act.kind == "context") and score >= LIKELY:
            return Part(act.kind, act.name, self._courtesy(reading), act)
        if act.name != QUESTION or reading.article == OTHER_TOPIC or not reading.topical:
            return Part("unsure", "unknown", 0.0)
        if reading.excluded or (_STATE.search(reading.text) and not _WHEN.search(reading.text)):
            return Part("unsure", "unknown", 0.0)
        return Part("answer", reading.article, self._calibration.confidence(evidence(reading, self._acts)))

    def _courtesy(self, reading: Reading) -> float:
        """The confidence in a greeting or thanks: high, unless there is more in it, as in `thanks, we take it at 5`."""
        score = reading.acts[reading.act]
        rival = max(found for name, found in reading.acts.items() if self._acts[name].kind in ASKING)
        if not reading.courteous and (score < COURTESY or rival > RIVALRY * score):
            return score / 2
        return float(1 - (1 - min(score, 0.9)) ** 3)

    def _likeliest_grave(self, reading: Reading, least: float) -> Act | None:
        graves = [act for act in self._acts.values() if act.grave]
        likeliest = max(graves, key=lambda act: (act.name in reading.alarms, reading.acts[act.name]))
        suspected = likeliest.name in reading.alarms or reading.acts[likeliest.name] >= least
        return likeliest if suspected else None


def work_of(reading: Reading, acts: dict[str, Act]) -> Act | None:
    """The work that a text plainly asks for; None if it has an alarm word for a person, such as `disgusting`."""
    likeliest = acts[reading.act]
    alarmed = next((acts[alarm] for alarm in reading.alarms if acts[alarm].takes), None)
    if alarmed is None and _ASKS_TO_KNOW.match(reading.text):
        return None
    if any(acts[alarm].kind == "person" for alarm in reading.alarms):
        return None
    if likeliest.takes and (reading.acts[likeliest.name] >= LIKELY or likeliest.name in reading.alarms):
        return likeliest
    return alarmed if likeliest.kind != "person" and likeliest.kind != "work" else None


def _distinct(parts: list[Part]) -> list[Part]:
    """The surest part of each intent, in the order of their first mention."""
    surest: dict[str, Part] = {}
    for part in parts:
        if part.intent not in surest or part.confidence > surest[part.intent].confidence:
            surest[part.intent] = part
    return list(surest.values())


def _urgency(part: Part) -> int:
    return 0 if part.act is None or part.act.grave else 1 if part.act.kind == "person" else 2
