"""A searcher that is told known metrics as they are known now, not as they were when a trial ended."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from nas.search.searcher import Searcher
from nas.types import Evaluation
from predictors.predictor import Predictor
from searchspaces.space import Arch


class RelabellingSearcher:
    """Tells ``searcher`` every sound evaluation with the means of ``predictors`` in place of its values.

    For studies whose predictor is refitted on the way: values of one history must come from one fit.
    """

    def __init__(self, searcher: Searcher, predictors: Mapping[str, Predictor]) -> None:
        self._searcher = searcher
        self._predictors = dict(predictors)

    def ask(self, n: int, pending: Collection[Arch] = ()) -> list[Arch]:
        """See Searcher."""
        return self._searcher.ask(n, pending)

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """See Searcher; what a predictor raises is raised here, and nothing is told then."""
        archs = [evaluation.arch for evaluation in evaluations if evaluation.error is None]
        fresh: dict[Arch, dict[str, float]] = {arch: {} for arch in archs}
        for metric, predictor in self._predictors.items() if archs else ():
            for arch, value in zip(archs, predictor.predict(archs).mean.tolist(), strict=True):
                fresh[arch][metric] = value
        self._searcher.tell(
            [
                replace(evaluation, values={**evaluation.values, **fresh[evaluation.arch]})
                if evaluation.error is None
                else evaluation
                for evaluation in evaluations
            ]
        )
