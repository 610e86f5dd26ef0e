"""Searchers of other projects beside ours, where they are installed: pymoo's NSGA-II, DyNAS-T's LINAS.

Both ask a generation at a time and keep state, so they break the law that ``ask`` changes
nothing: good enough for a comparison, not for a study. Repeats are answered from memory and cost
no evaluation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from nas.errors import MissingExtraError
from nas.pareto import FloatArray
from nas.search.knowledge import NOTHING, Knowledge
from nas.search.searcher import SearcherFactory
from nas.types import Constraint, Evaluation, Objective
from searchspaces.genes import archs_of, option_counts
from searchspaces.space import Arch, SearchSpace

POPULATION = 20  # small populations waste fewer evaluations: 237 against 373 to 99 % with 50
WORST = 1e6  # cost of an arch that failed
MAX_GENERATIONS = 200  # without a new arch before it counts as exhausted


class PymooNSGA2:
    """pymoo's NSGA-II on integer genes, through its own ask and tell."""

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        constraints: Sequence[Constraint] = (),
        known: Knowledge = NOTHING,  # noqa: ARG002 - it has no use for predictors
        seed: int,
    ) -> None:
        """Raises MissingExtraError when pymoo is not installed."""
        if find_spec("pymoo") is None:
            raise MissingExtraError("pymoo is not installed: pip install pymoo")
        if constraints:
            raise ValueError("this comparison runs without constraints")
        self._space, self._objectives = space, tuple(objectives)
        self._costs: dict[Arch, FloatArray] = {}
        self._waiting: list[Arch] = []
        self._population: Any = None
        self._algorithm = _pymoo_algorithm(space, len(self._objectives), seed)

    def ask(self, n: int, pending: Collection[Arch] = ()) -> list[Arch]:
        """Up to ``n`` new archs of the current generation; the next one when all of it is known."""
        for _ in range(MAX_GENERATIONS):
            new = [arch for arch in self._waiting if arch not in self._costs and arch not in pending]
            if new:
                return new[:n]
            self._advance()
        return []

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """See Searcher."""
        for evaluation in evaluations:
            costs = np.full(len(self._objectives), WORST)
            if evaluation.error is None:
                costs = np.array([o.cost(evaluation.values[o.metric]) for o in self._objectives])
            self._costs[evaluation.arch] = costs

    def _advance(self) -> None:
        """Tell pymoo the finished generation and take its next one."""
        if self._population is not None:
            self._population.set("F", np.array([self._costs[arch] for arch in self._generation]))
            self._algorithm.tell(infills=self._population)
        self._population = self._algorithm.ask()
        genes = np.asarray(self._population.get("X"), dtype=np.float64).round().astype(np.int64)
        self._generation = archs_of(self._space, genes)
        self._waiting = list(dict.fromkeys(self._generation))


def _pymoo_algorithm(space: SearchSpace, n_objectives: int, seed: int) -> Any:
    """NSGA-II with integer operators and duplicate elimination, as its documentation sets it up."""
    rounding = import_module("pymoo.operators.repair.rounding").RoundingRepair()
    crossover = import_module("pymoo.operators.crossover.sbx").SBX
    mutation = import_module("pymoo.operators.mutation.pm").PM
    problem = import_module("pymoo.core.problem").Problem(
        n_var=len(space.choices), n_obj=n_objectives, xl=0, xu=option_counts(space) - 1, vtype=int
    )
    algorithm = import_module("pymoo.algorithms.moo.nsga2").NSGA2(
        pop_size=POPULATION,
        sampling=import_module("pymoo.operators.sampling.rnd").IntegerRandomSampling(),
        crossover=crossover(prob=0.9, eta=3.0, vtype=float, repair=rounding),
        mutation=mutation(eta=3.0, vtype=float, repair=rounding),
        eliminate_duplicates=True,
    )
    algorithm.setup(problem, termination=("n_gen", 10**6), seed=seed, verbose=False)
    return algorithm


def dynast_linas(
    space: SearchSpace,
    objectives: Sequence[Objective],
    *,
    constraints: Sequence[Constraint] = (),
    known: Knowledge = NOTHING,
    seed: int,
) -> PymooNSGA2:
    """Raises MissingExtraError: DyNAS-T drives its own evaluation loop and has no ask and tell.

    Its algorithm is measured as "linas", which is ours.
    """
    del space, objectives, constraints, known, seed
    state = "has no ask and tell" if find_spec("dynast") else "is not installed"
    raise MissingExtraError(f"DyNAS-T {state}; its algorithm is measured as linas")


EXTERNAL: Mapping[str, SearcherFactory] = {"pymoo-nsga2": PymooNSGA2, "dynast-linas": dynast_linas}
