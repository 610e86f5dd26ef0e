"""Stored evaluations instead of new ones: every arch once per supernet and protocol, across studies.

A *protocol* is everything that a value depends on beside the arch: the supernet's weights, the
images that statistics are taken from, the images that are scored, and how they are batched. It is
known by a number, stored with every evaluation as the metric PROTOCOL, so that values of different
protocols never mix.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from numpy.typing import NDArray

from nas.evaluate.accuracy import BATCH
from nas.evaluate.evaluator import PROTOCOL, EvaluationPool, Evaluator
from nas.evaluate.joint import JointEvaluator
from nas.types import Evaluation
from searchspaces.space import Arch

VERSION = 1  # of how an evaluation computes; another one makes all stored values another protocol's
BITS = 48  # a double holds such integers exactly

Recall = Callable[[Sequence[Arch]], Mapping[Arch, Mapping[str, float]]]


def protocol_number(arrays: Mapping[str, NDArray[Any]]) -> float:
    """An integer below 2**48: from SHA-256 over names, types, shapes and contents of all arrays.

    ``arrays`` are all that an evaluator is built from: weights, calibration and validation images.
    """
    digest = hashlib.sha256(f"{VERSION}:{BATCH}".encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"|{name}:{array.dtype.str}:{array.shape}|".encode())
        digest.update(array.tobytes())
    return float(int.from_bytes(digest.digest()[: BITS // 8]))


class ProtocolEvaluator:
    """Gives every arch the number of the protocol that its other values were obtained by."""

    metrics = (PROTOCOL,)

    def __init__(self, number: float) -> None:
        self._number = number

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        """See Evaluator."""
        return [Evaluation(arch, {PROTOCOL: self._number}) for arch in archs]


class RecallingPool:
    """An EvaluationPool over ``pool`` that has at hand what ``recall`` has stored.

    Recalled values replace those of the evaluators that cost something; ``cheap`` evaluators, whose
    values may differ between studies (latency on another device), are run anew in this process.
    """

    def __init__(self, pool: EvaluationPool, recall: Recall, cheap: Sequence[Evaluator]) -> None:
        self._pool = pool
        self._recall = recall
        self._cheap = tuple(cheap)
        self.n_recalled = 0

    @property
    def capacity(self) -> int:
        """That of the pool behind."""
        return self._pool.capacity

    def recall(self, archs: Sequence[Arch]) -> Mapping[Arch, Evaluation]:
        """See EvaluationPool; what the stored values or a cheap evaluator raise is raised here."""
        stored = self._recall(archs)
        values = {arch: dict(stored[arch]) for arch in archs if arch in stored}
        if self._cheap and values:
            for evaluation in JointEvaluator(self._cheap).evaluate(list(values)):
                values[evaluation.arch] |= evaluation.values
        self.n_recalled += len(values)
        return {arch: Evaluation(arch, row) for arch, row in values.items()}

    def submit(self, archs: Sequence[Arch]) -> Future[list[Evaluation]]:
        """See EvaluationPool: all of these are evaluated, stored or not."""
        return self._pool.submit(archs)

    def close(self) -> None:
        """Close the pool behind."""
        self._pool.close()
