"""NNI 3.0's tuners as searchers, without its manager: "nni-tpe" and "nni-evolution".

Both minimise one number, so the objectives are scalarised, with another weight vector for each
proposal. They keep no state between calls to ``ask``: NNI's TPE is a function of a history, and the
population of its evolution tuner is refilled with the best told so far. NNI's own removal of
duplicates is left out, because it walks a grid of raw parameters and knows no inactive choices;
duplicates are varied by mutation instead. NNI is archived; it is pinned and optional.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from nas.errors import MissingExtraError
from nas.pareto import FloatArray
from nas.search.history import History, in_order
from nas.search.knowledge import NOTHING, Knowledge
from nas.search.scalarize import chebyshev, weight_vectors
from nas.search.unseen import unseen_archs, unseen_variant
from nas.types import Constraint, Evaluation, Objective
from searchspaces.space import Arch, SearchSpace

STARTUP_TRIALS = 20
POPULATION = 32  # the tuner's own default


class Proposer(Protocol):
    """One proposal from archs and their costs (n,), lower is better; ``lies`` are pending archs."""

    def __call__(
        self,
        space: SearchSpace,
        archs: Sequence[Arch],
        costs: FloatArray,
        lies: Sequence[Arch],
        rng: np.random.Generator,
    ) -> Arch:
        """A canonical arch, possibly one of those given."""
        ...


class NNISearcher:
    """Scalarises the history and lets NNI propose one arch at a time."""

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        constraints: Sequence[Constraint] = (),
        seed: int,
        propose: Proposer,
    ) -> None:
        self._history = History(space, objectives, constraints)
        self._seed = seed
        self._propose = propose
        self._weights = weight_vectors(len(self._history.objectives))

    def ask(self, n: int, pending: Collection[Arch] = ()) -> list[Arch]:
        """See Searcher."""
        history = self._history
        rng = history.rng(self._seed, pending)
        taken = history.taken(pending)
        told = [evaluation.arch for evaluation in history.complete]
        unit_costs, violations = history.unit_costs(), history.violations()
        archs: list[Arch] = []
        while len(archs) < n and len(told) >= STARTUP_TRIALS:
            weights = self._weights[(history.n_told + len(pending) + len(archs)) % len(self._weights)]
            costs = chebyshev(unit_costs, violations, weights)
            arch = self._propose(history.space, told, costs, [*in_order(pending), *archs], rng)
            unseen = arch if arch not in taken else unseen_variant(history.space, arch, taken, rng)
            if unseen is None:
                break
            archs.append(unseen)
            taken.add(unseen)
        return archs + unseen_archs(history.space, n - len(archs), taken, rng)

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """See Searcher."""
        self._history.tell(evaluations)


def tpe(
    space: SearchSpace,
    objectives: Sequence[Objective],
    *,
    constraints: Sequence[Constraint] = (),
    known: Knowledge = NOTHING,  # noqa: ARG001 - learns from its own study only
    seed: int,
) -> NNISearcher:
    """NNI's tree-structured Parzen estimator. Raises MissingExtraError when nni is not installed."""
    _nni("tpe_tuner")
    return NNISearcher(space, objectives, constraints=constraints, seed=seed, propose=_propose_tpe)


def evolution(
    space: SearchSpace,
    objectives: Sequence[Objective],
    *,
    constraints: Sequence[Constraint] = (),
    known: Knowledge = NOTHING,  # noqa: ARG001 - learns from its own study only
    seed: int,
) -> NNISearcher:
    """NNI's naive evolution (Real et al. 2017). Raises MissingExtraError when nni is not installed."""
    _nni("evolution_tuner")
    return NNISearcher(space, objectives, constraints=constraints, seed=seed, propose=_propose_evolution)


def _propose_tpe(
    space: SearchSpace,
    archs: Sequence[Arch],
    costs: FloatArray,
    lies: Sequence[Arch],
    rng: np.random.Generator,
) -> Arch:
    """TpeTuner's algorithm; each parameter learns from the archs in which it is active.

    Pending archs count as good as the best (the tuner's default liar).
    """
    module = _nni("tpe_tuner")
    parameters = _format_space(space)
    keys = list(parameters)
    history: defaultdict[object, list[Any]] = defaultdict(list)
    losses = [*costs.tolist(), *([float(costs.min())] * len(lies))]
    for arch, loss in zip([*archs, *lies], losses, strict=True):
        for key, gene, on in zip(keys, arch.genes, space.active(arch.genes), strict=True):
            if on:
                history[key].append(module.Record(gene, loss))
    suggested = module.suggest(module.TpeArguments(), rng, parameters, history)
    return space.arch([int(suggested[key]) for key in keys])


def _propose_evolution(
    space: SearchSpace,
    archs: Sequence[Arch],
    costs: FloatArray,
    lies: Sequence[Arch],  # noqa: ARG001 - evolution has no use for pending archs
    rng: np.random.Generator,
) -> Arch:
    """A tournament of two among the best, the winner mutated in one choice by EvolutionTuner."""
    module = _nni("evolution_tuner")
    tuner = module.EvolutionTuner("minimize", POPULATION)
    tuner.searchspace_json = _json_space(space)
    tuner.space = module.json2space(tuner.searchspace_json)
    tuner.random_state = np.random.RandomState(int(rng.integers(2**31)))
    best = np.argsort(costs, kind="stable")[:POPULATION]
    tuner.population = [
        module.Individual(_configuration(space, archs[i]), result=-float(costs[i])) for i in best
    ]
    with _global_seed(int(rng.integers(2**31))):
        parameters = tuner.generate_parameters(0)
    return space.arch([int(parameters[choice.name]) for choice in space.choices])


def _json_space(space: SearchSpace) -> dict[str, Any]:
    """NNI's search-space JSON over option indices; choices are all at the top level."""
    return {c.name: {"_type": "choice", "_value": list(range(len(c.values)))} for c in space.choices}


def _format_space(space: SearchSpace) -> Mapping[Any, Any]:
    formatted: Mapping[Any, Any] = _nni("tpe_tuner").format_search_space(_json_space(space))
    return formatted


def _configuration(space: SearchSpace, arch: Arch) -> dict[str, dict[str, int]]:
    return {
        choice.name: {"_index": gene, "_value": gene}
        for choice, gene in zip(space.choices, arch.genes, strict=True)
    }


def _nni(tuner: str) -> ModuleType:
    try:
        return import_module(f"nni.algorithms.hpo.{tuner}")
    except ImportError as error:
        raise MissingExtraError(
            f"the searchers of NNI need nni: pip install 'stitchnas[nni]' ({error})"
        ) from error


@contextmanager
def _global_seed(seed: int) -> Iterator[None]:
    """Seed the module ``random``, which the tuner draws from, and put it back afterwards."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
