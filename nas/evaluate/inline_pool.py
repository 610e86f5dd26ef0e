"""InlinePool: an EvaluationPool that evaluates in the calling thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from nas.evaluate.evaluator import Evaluator
from nas.types import Evaluation
from searchspaces.space import Arch


class InlinePool:
    """Runs each chunk inside ``submit``; for tests, notebooks and searches too short for workers."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._closed = False

    @property
    def capacity(self) -> int:
        """One chunk at a time."""
        return 1

    def recall(self, archs: Sequence[Arch]) -> Mapping[Arch, Evaluation]:  # noqa: ARG002
        """Nothing is at hand."""
        return {}

    def submit(self, archs: Sequence[Arch]) -> Future[list[Evaluation]]:
        """A finished future; what the evaluator raises is raised here, so nothing runs on unseen.

        Raises RuntimeError after ``close``.
        """
        if self._closed:
            raise RuntimeError("the pool is closed")
        future: Future[list[Evaluation]] = Future()
        future.set_result(self._evaluator.evaluate(archs))
        return future

    def close(self) -> None:
        """Refuse further chunks."""
        self._closed = True
