"""A linear classifier that learns from a few thousand short phrases in a fraction of a second.

It is a ridge regression for each label on TF-IDF features, solved in its dual form. It uses only numpy, because
scikit-learn would add 120 MB to every worker for the same results.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Features = Mapping[str, float]
Floats = NDArray[np.float32]

_STRANGE = 0.5
"""How much an unknown feature counts against a text, relative to the rarest known one."""
_STEPS = 14
_TINY = 1e-12
_COMMON = 512
"""How many of the most common features are multiplied as a dense matrix, which is faster for them."""


@dataclass(frozen=True)
class Example:
    features: Features
    label: str
    weight: float = 1.0


class Classifier:
    """Scores texts: near 1 for a label whose examples are similar, and near 0 for every label if none are."""

    def __init__(self, examples: Sequence[Example], *, ridge: float = 1.0) -> None:
        self.labels = sorted({example.label for example in examples})
        seen_in = Counter(name for example in examples for name in example.features)
        self._index = {name: position for position, (name, _) in enumerate(seen_in.most_common())}
        counts = np.array([count for _, count in seen_in.most_common()], dtype=np.float32)
        self._rarity = np.log((1 + len(examples)) / (1 + counts)) + 1
        self._rarest = _STRANGE * float(self._rarity.max())
        rows = [self._vector(example.features) for example in examples]
        weights = np.array([example.weight for example in examples], dtype=np.float32)
        targets = np.zeros((len(examples), len(self.labels)), dtype=np.float32)
        for row, example in enumerate(examples):
            targets[row, self.labels.index(example.label)] = 1
        products = self._products(rows)
        products[np.diag_indices_from(products)] += ridge / weights
        dual = _solve(products, targets)
        self._weights = np.zeros((len(self._index), len(self.labels)), dtype=np.float32)
        for row, (positions, values) in enumerate(rows):
            self._weights[positions] += np.outer(values, dual[row])

    def scores(self, features: Features) -> dict[str, float]:
        """How similar a text is to each label's examples."""
        positions, values = self._vector(features, unknown=self._rarest)
        return dict(zip(self.labels, (values @ self._weights[positions]).tolist(), strict=True))

    def _vector(self, features: Features, *, unknown: float = 0.0) -> tuple[NDArray[np.intp], Floats]:
        known = [(self._index[name], value) for name, value in features.items() if name in self._index]
        positions = np.array([position for position, _ in known], dtype=np.intp)
        values = np.array([value for _, value in known], dtype=np.float32) * self._rarity[positions]
        strange = sum(value**2 for name, value in features.items() if name not in self._index) * unknown**2
        return positions, values / (np.sqrt(np.square(values).sum() + strange) or 1)

    def _products(self, rows: Sequence[tuple[NDArray[np.intp], Floats]]) -> Floats:
        """The dot products of all pairs of rows: common features by dense matrix, rare ones feature by feature."""
        common = np.zeros((len(rows), _COMMON), dtype=np.float32)
        rare: dict[int, tuple[list[int], list[float]]] = {}
        for row, (positions, values) in enumerate(rows):
            for position, value in zip(positions.tolist(), values.tolist(), strict=True):
                if position < _COMMON:
                    common[row, position] = value
                else:
                    having, of = rare.setdefault(position, ([], []))
                    having.append(row)
                    of.append(value)
        products: Floats = common @ common.T
        for having, of in rare.values():
            if len(having) > 1:
                products[np.ix_(having, having)] += np.outer(of, of)
        return products


def _solve(matrix: Floats, targets: Floats) -> Floats:
    """Solves for all columns at once by conjugate gradients, with as many steps as make a difference to scores."""
    solution = np.zeros_like(targets)
    rest = targets.copy()
    direction = rest.copy()
    size = np.square(rest).sum(axis=0)
    for _ in range(_STEPS):
        image = matrix @ direction
        step = size / np.maximum((direction * image).sum(axis=0), _TINY)
        solution += step * direction
        rest -= step * image
        previous, size = size, np.square(rest).sum(axis=0)
        direction = rest + size / np.maximum(previous, _TINY) * direction
    return solution
