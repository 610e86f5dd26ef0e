"""Whether more budget would pay: the growth that the guided searcher expects of its next batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nas.pareto import hypervolume, pareto_front
from nas.search.guided.searcher import GuidedSearcher, Promise
from nas.search.knowledge import NOTHING, Knowledge
from nas.types import Constraint, Evaluation, Objective
from searchspaces.space import SearchSpace

DRAWS = 256  # joint outcomes of a batch that the expectation is taken over
PAYS = 0.005  # expected growth from which another batch is called worth its evaluations
LEARNED = 1000  # evaluations beside the front's that the searcher is told of a larger study


@dataclass(frozen=True, slots=True)
class Outlook:
    """What ``n_archs`` further evaluations are expected to bring.

    ``expected_gain`` is the expected growth of the hypervolume as a share of what there is, both on
    the scales on which the searcher works (a known latency counts by its logarithm) and up to the
    worst costs there are, so it does not depend on how far off a reference was put. 0 when the
    space is exhausted, None when too little is evaluated for the searcher to know.
    """

    n_archs: int
    expected_gain: float | None

    @property
    def pays(self) -> bool | None:
        """Whether another such batch is worth it; None when that is not known."""
        return None if self.expected_gain is None else self.expected_gain >= PAYS


def outlook(
    space: SearchSpace,
    evaluations: Sequence[Evaluation],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint] = (),
    *,
    known: Knowledge = NOTHING,
    n_archs: int = 20,
    seed: int = 0,
) -> Outlook:
    """The outlook after these evaluations, whichever searcher asked them.

    The guided searcher is told them and asks ``n_archs`` archs. Its beliefs about those (normal
    marginals, taken as independent) and their probabilities of being feasible are drawn from
    DRAWS times; the gain is the mean growth over the draws. Of a large study the searcher is told a
    part, and what it asks that is evaluated already promises nothing.
    """
    searcher = GuidedSearcher(space, objectives, constraints=constraints, known=known, seed=seed)
    searcher.tell(_thin(evaluations, pareto_front(evaluations, objectives, constraints)))
    evaluated = {evaluation.arch for evaluation in evaluations}
    asked = searcher.ask(n_archs if len(evaluated) <= LEARNED else 2 * n_archs)
    archs = [arch for arch in asked if arch not in evaluated][:n_archs]
    if not archs:
        return Outlook(0, 0.0)
    promise = searcher.promise(archs)
    return Outlook(len(archs), None if promise is None else _expected_gain(promise, seed))


def _expected_gain(promise: Promise, seed: int) -> float:
    present = hypervolume(promise.front, promise.reference)
    rng = np.random.default_rng([seed, DRAWS])
    n, m = promise.mean.shape
    draws = promise.mean + promise.std * rng.standard_normal((DRAWS, n, m))
    feasible = rng.random((DRAWS, n)) < promise.feasible
    grown = [
        hypervolume(np.vstack([promise.front, draw[allowed]]), promise.reference) - present
        for draw, allowed in zip(draws, feasible, strict=True)
    ]
    growth = float(np.mean(grown))
    return growth / present if present > 0 else float(growth > 0)


def _thin(evaluations: Sequence[Evaluation], front: Sequence[Evaluation]) -> list[Evaluation]:
    """At most LEARNED of the evaluations, evenly over their order, and those of the front."""
    if len(evaluations) <= LEARNED:
        return list(evaluations)
    keep = set(np.linspace(0, len(evaluations) - 1, LEARNED).round().astype(int).tolist())
    members = {evaluation.arch for evaluation in front}
    return [e for i, e in enumerate(evaluations) if i in keep or e.arch in members]
