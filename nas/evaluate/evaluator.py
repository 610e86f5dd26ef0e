"""The Evaluator and EvaluationPool protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Protocol

from nas.types import Evaluation
from searchspaces.space import Arch

# A resource of a Ray that this project starts, one per CPU: taken by processes that compute only while
# no chunk of archs runs.
SLOT = "nas_slot"
PROTOCOL = "top1_protocol"  # the metric that says how top1 was evaluated; see nas.evaluate.recall


class Evaluator(Protocol):
    """Gives archs their metrics. A bad arch yields an ``error``; a broken evaluator raises."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the values that every successful evaluation holds."""
        ...

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        """One evaluation per arch, in the same order."""
        ...


class EvaluationPool(Protocol):
    """Runs an evaluator on chunks of archs, perhaps elsewhere."""

    @property
    def capacity(self) -> int:
        """How many chunks run at once."""
        ...

    def recall(self, archs: Sequence[Arch]) -> Mapping[Arch, Evaluation]:
        """Evaluations of these archs that are at hand already; asked once for a whole batch."""
        ...

    def submit(self, archs: Sequence[Arch]) -> Future[list[Evaluation]]:
        """Start evaluating a chunk; the future holds its evaluations in order, or raises."""
        ...

    def close(self) -> None:
        """Release workers; submitted chunks may be lost."""
        ...
