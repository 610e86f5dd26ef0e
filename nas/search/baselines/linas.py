"""LINAS (Cummings et al. 2022, arXiv 2205.10358): evolution on cheap predictors between evaluations.

After each batch a ridge regression on the one-hot genes is fitted per metric, NSGA-II runs many
generations on the predictions alone, and the best unseen archs it met are evaluated. A metric
with a predictor of its own is taken from that one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from nas.pareto import FloatArray, IntArray
from nas.search.history import History
from nas.search.knowledge import NOTHING, Knowledge
from nas.search.nsga2 import survival_order
from nas.search.unseen import unseen_archs
from nas.types import Constraint, Evaluation, Objective
from searchspaces.genes import archs_of, cross_genes, gene_matrix, mutate_genes, one_hot, sample_genes
from searchspaces.space import Arch, SearchSpace

FOUNDERS = 20
POPULATION = 50
GENERATIONS = 20
RIDGE = 1.0
CHOICE = 2  # a batch is drawn from so many times as many of the best predicted


class LinasSearcher:
    """Random founders, then the best archs of an inner evolution on predictions."""

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        constraints: Sequence[Constraint] = (),
        known: Knowledge = NOTHING,
        seed: int,
    ) -> None:
        self._history = History(space, objectives, constraints)
        self._seed = seed
        self._predictors = dict(known.predictors)

    def ask(self, n: int, pending: Collection[Arch] = ()) -> list[Arch]:
        """See Searcher."""
        history = self._history
        rng = history.rng(self._seed, pending)
        taken = history.taken(pending)
        archs = unseen_archs(history.space, min(n, FOUNDERS - len(taken)), taken, rng)
        taken.update(archs)
        if history.complete and len(archs) < n:
            wanted = n - len(archs)
            met = [arch for arch in self._evolve(rng) if arch not in taken][: CHOICE * wanted]
            archs += [met[i] for i in rng.permutation(len(met))[:wanted]]
            taken.update(archs)
        return archs + unseen_archs(history.space, n - len(archs), taken, rng)

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """See Searcher."""
        self._history.tell(evaluations)

    def _evolve(self, rng: np.random.Generator) -> list[Arch]:
        """Every arch the inner evolution met, best predicted first."""
        space = self._history.space
        weights = {
            metric: self._ridge(metric) for metric in self._metrics() if metric not in self._predictors
        }
        told = gene_matrix(space, [evaluation.arch for evaluation in self._history.complete])
        order = survival_order(self._history.costs(), self._history.violations())
        genes = np.concatenate([told[order[: POPULATION // 2]], sample_genes(space, POPULATION // 2, rng)])
        costs, violations = self._predicted(genes, weights)
        for _ in range(GENERATIONS):
            best = genes[survival_order(costs, violations)[:POPULATION]]
            mothers, fathers = (
                best[np.minimum(*rng.integers(len(best), size=(2, POPULATION)))] for _ in "ab"
            )
            children = mutate_genes(space, cross_genes(space, mothers, fathers, rng), rng, changes=1.0)
            more, violated = self._predicted(children, weights)
            genes, first = np.unique(np.concatenate([genes, children]), axis=0, return_index=True)
            costs, violations = (
                np.concatenate([costs, more])[first],
                np.concatenate([violations, violated])[first],
            )
        return archs_of(space, genes[survival_order(costs, violations)])

    def _metrics(self) -> list[str]:
        history = self._history
        names = [o.metric for o in history.objectives] + [c.metric for c in history.constraints]
        return list(dict.fromkeys(names))

    def _ridge(self, metric: str) -> FloatArray:
        """Weights (d + 1,) of the one-hot genes, the intercept last and hardly shrunk."""
        complete = self._history.complete
        x = self._features(gene_matrix(self._history.space, [e.arch for e in complete]))
        y = np.array([evaluation.values[metric] for evaluation in complete])
        penalty = np.full(x.shape[1], RIDGE)
        penalty[-1] = 1e-6
        return np.asarray(np.linalg.solve(x.T @ x + np.diag(penalty), x.T @ y), dtype=np.float64)

    def _features(self, genes: IntArray) -> FloatArray:
        return np.hstack([one_hot(self._history.space, genes), np.ones((len(genes), 1))])

    def _predicted(self, genes: IntArray, weights: dict[str, FloatArray]) -> tuple[FloatArray, FloatArray]:
        """Predicted costs (n, m) and total violations (n,)."""
        values = {}
        for metric in self._metrics():
            if metric in weights:
                values[metric] = self._features(genes) @ weights[metric]
            else:
                archs = archs_of(self._history.space, genes)
                values[metric] = self._predictors[metric].predict(archs).mean
        costs = [[o.cost(v) for v in values[o.metric].tolist()] for o in self._history.objectives]
        violations = np.zeros(len(genes))
        for constraint in self._history.constraints:
            violations += [constraint.violation(v) for v in values[constraint.metric].tolist()]
        return np.array(costs, dtype=np.float64).T, violations
