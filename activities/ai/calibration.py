"""Turns a reading's scores into the probability that answering from its best article is right.

It is the product of two logistic regressions: is this a question that the hotel's articles answer, and if so, is the
best article the right one? A third gives the probability that a request is the work it looks like. The weights are
fitted to labelled messages and kept in calibration.json; `python -m activities.ai.calibrate` refits them.
"""

from collections.abc import Sequence
from itertools import chain, islice
from math import exp, log
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from activities.ai.acts import QUESTION, Act
from activities.ai.reader import Reading

WEIGHTS = Path(__file__).parent / "calibration.json"
_PULL = 0.0005
"""Regularisation per message: pulls the weights towards zero, so that few messages do not produce extreme ones."""
_STEPS = 50
_LEAST = 0.01
"""Scores are raised to this: below it, differences mean nothing."""

Weights = dict[str, float]


class Evidence(NamedTuple):
    """The features of the two regressions for an answer, by name."""

    answerable: dict[str, float]
    right: dict[str, float]


class Calibration(BaseModel):
    answerable: Weights
    right: Weights
    requested: Weights

    def confidence(self, evidence: Evidence) -> float:
        """The probability that the best article is the right answer."""
        return _chance(self.answerable, evidence.answerable) * _chance(self.right, evidence.right)

    def request_confidence(self, evidence: dict[str, float]) -> float:
        """The probability that the guest asks for this work."""
        return _chance(self.requested, evidence)


def _chance(weights: Weights, evidence: dict[str, float]) -> float:
    return 1 / (1 + exp(-sum(weights[name] * value for name, value in evidence.items())))


def load_calibration() -> Calibration:
    return Calibration.model_validate_json(WEIGHTS.read_bytes())


def evidence(reading: Reading, acts: dict[str, Act]) -> Evidence:
    best, second = (max(score, _LEAST) for score in islice(chain(reading.articles.values(), [0.0]), 2))
    rival = max(score for act, score in reading.acts.items() if acts[act].kind in ("person", "work"))
    clear = log(best)
    return Evidence(
        answerable={
            "constant": 1.0,
            "question": reading.acts[QUESTION] - rival,
            "grave": max(score for act, score in reading.acts.items() if acts[act].grave),
            "article": clear,
            "strange": reading.strange,
        },
        right={"constant": 1.0, "article": clear, "lead": (best - second) / best, "strange": reading.strange},
    )


def request_evidence(reading: Reading, act: Act, acts: dict[str, Act]) -> dict[str, float]:
    """The features of a request for this work. A rival is an act of another department."""
    score = max(reading.acts[act.name], _LEAST)
    rival = max(found for name, found in reading.acts.items() if acts[name].department != act.department)
    return {
        "constant": 1.0,
        "score": score,
        "lead": score - rival,
        "person": max(found for name, found in reading.acts.items() if acts[name].kind == "person"),
        "alarm": float(act.name in reading.alarms),
    }


def fit(rows: Sequence[tuple[Evidence, bool, bool]], requests: Sequence[tuple[dict[str, float], bool]]) -> Calibration:
    """Fits the weights to messages, each with whether it was answerable and whether its best article was right.

    `requests` are the messages that look like work, each with whether it was that work.
    """
    return Calibration(
        requested=_fit(requests),
        answerable=_fit([(found.answerable, answerable) for found, answerable, _ in rows]),
        right=_fit([(found.right, right) for found, answerable, right in rows if answerable]),
    )


def _fit(rows: Sequence[tuple[dict[str, float], bool]]) -> Weights:
    """Fits a logistic regression by Newton's method."""
    names = list(rows[0][0])
    inputs = np.array([[row[name] for name in names] for row, _ in rows])
    outcomes = np.array([outcome for _, outcome in rows], dtype=float)
    pull = np.eye(len(names)) * _PULL * len(rows)
    pull[0, 0] = 0
    weights: NDArray[np.float64] = np.zeros(len(names))
    for _ in range(_STEPS):
        chances = 1 / (1 + np.exp(-inputs @ weights))
        slope = inputs.T @ (chances - outcomes) + pull @ weights
        curve = (inputs * (chances * (1 - chances))[:, None]).T @ inputs + pull
        weights -= np.linalg.solve(curve, slope)
    return dict(zip(names, weights.round(4).tolist(), strict=True))
