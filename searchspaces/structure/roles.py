"""Structure of chain-shaped spaces, read off the names of their choices.

Choices that differ only in the numbers of their names play the same *role* at different
positions: ``s0.b1.kernel`` and ``s2.b0.kernel`` are the kernels of two blocks. Accuracy depends
much more on how many blocks of each kind there are, in which stage and how wide, than on which
gene says so; counts and sums per role and per stage say it in few columns.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from searchspaces.space import Choice

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

_NUMBER = re.compile(r"\d+")


class RoleStructure:
    """Views: "totals" over the whole chain, "stages" and "genes" (one-hot)."""

    def __init__(self, choices: tuple[Choice, ...]) -> None:
        self._choices = choices
        self._totals = _groups(choices, stages=False)
        self._stages = _groups(choices, stages=True)

    def features(self, genes: IntArray, active: BoolArray) -> Mapping[str, FloatArray]:
        """See Structure."""
        totals = np.hstack([self._role(group, genes, active) for group in self._totals])
        stages = np.hstack([self._role(group, genes, active) for group in self._stages])
        hot = np.hstack([self._one_hot(column, genes, active) for column in range(len(self._choices))])
        return {"totals": totals, "stages": stages, "genes": hot}

    def connected(self, genes: IntArray, active: BoolArray) -> BoolArray:  # noqa: ARG002
        """See Structure: a chain always is."""
        return np.ones(len(genes), dtype=np.bool_)

    def _role(self, group: list[int], genes: IntArray, active: BoolArray) -> FloatArray:
        """Names: how often each occurs, and how often it changes along the chain.

        Numbers: how many choices are active, and their sum, mean and logarithm of the mean.
        """
        if all(isinstance(value, str) for column in group for value in self._choices[column].values):
            return self._names(group, genes, active)
        return self._numbers(group, genes, active)

    def _names(self, group: list[int], genes: IntArray, active: BoolArray) -> FloatArray:
        values = list(dict.fromkeys(value for column in group for value in self._choices[column].values))
        chain = np.full((len(genes), len(group)), -1, dtype=np.int64)
        for place, column in enumerate(group):
            ids = np.array([values.index(value) for value in self._choices[column].values])
            chain[:, place] = np.where(active[:, column], ids[genes[:, column]], -1)
        counts = np.stack([(chain == i).sum(axis=1) for i in range(len(values))], axis=1)
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        return np.hstack([counts, share, _changes(chain)[:, None]]).astype(np.float64)

    def _numbers(self, group: list[int], genes: IntArray, active: BoolArray) -> FloatArray:
        on = active[:, group]
        amounts = np.zeros(on.shape)
        for place, column in enumerate(group):
            values = self._choices[column].values
            numeric = all(isinstance(value, int | float) for value in values)
            scale = np.array(values if numeric else range(len(values)), dtype=np.float64)
            amounts[:, place] = np.where(on[:, place], scale[genes[:, column]], 0.0)
        number, total = on.sum(axis=1), amounts.sum(axis=1)
        mean = total / np.maximum(number, 1)
        log = np.sign(mean) * np.log1p(np.abs(mean))
        return np.stack([number, total, mean, log], axis=1).astype(np.float64)

    def _one_hot(self, column: int, genes: IntArray, active: BoolArray) -> FloatArray:
        options = np.arange(len(self._choices[column].values))
        hot = (genes[:, [column]] == options) & active[:, [column]]
        return np.asarray(hot, dtype=np.float64)


def _changes(chain: IntArray) -> IntArray:
    """How often (n,) consecutive present entries of a row differ; -1 is absent."""
    last = chain[:, 0]
    changes = np.zeros(len(chain), dtype=np.int64)
    for entry in chain.T[1:]:
        present = entry >= 0
        changes += present & (last >= 0) & (entry != last)
        last = np.where(present, entry, last)
    return changes


def _groups(choices: tuple[Choice, ...], *, stages: bool) -> list[list[int]]:
    """Columns of equal role; with ``stages`` the first number of a dotted name tells roles apart."""
    groups: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for column, choice in enumerate(choices):
        stage = choice.name.partition(".")[0] if stages and "." in choice.name else ""
        groups[stage, _NUMBER.sub("", choice.name)].append(column)
    return list(groups.values())
