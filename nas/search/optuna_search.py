"""Search through Optuna: "tpe" (multi-objective TPE), "gp" (Gaussian processes, qLogEHVI), "nsga3".

Optuna's own study lives for one ``ask`` only. It is filled with what was told, as finished
trials, and with what is pending, as running trials, which both samplers account for; the
sampler is seeded by the number told and pending. So ``ask`` changes nothing and a fresh searcher
told the same proposes the same. Parameters are option indices: integers where the values of a
choice are ordered numbers, categories where they are names.

TPE (Ozaki et al. 2022) sees a conditional space: inactive choices are not parameters of a trial.
The GP needs one fixed set of parameters, so there inactive choices are parameters held at 0. It
costs seconds per arch in a space of sixty choices, against hundredths for TPE: it serves where an
evaluation takes longer than that.

A proposal that is already taken is drawn again a bounded number of times, then varied by
mutation, and if that fails too replaced by a random unseen arch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIIISampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from nas.pareto import cost_matrix
from nas.search.history import History, in_order
from nas.search.knowledge import NOTHING, Knowledge
from nas.search.unseen import unseen_archs, unseen_variant
from nas.types import Constraint, Evaluation, Objective
from searchspaces.space import Arch, Choice, SearchSpace

STARTUP_TRIALS = 20
EI_CANDIDATES = 48  # twice Optuna's default: with sixty choices, 24 draws miss good combinations
REDRAWS = 4
GENERATION = 20  # of NSGA-III; Optuna's default of 50 leaves few generations to a budget of hundreds

SamplerFactory: TypeAlias = Callable[[int], BaseSampler]


class OptunaSearcher:
    """Lets a sampler of Optuna propose. ``conditional`` leaves inactive choices out of the trials."""

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        constraints: Sequence[Constraint] = (),
        seed: int,
        make_sampler: SamplerFactory,
        conditional: bool,
        attributes: Callable[[int], dict[str, int]] = lambda _: {},
    ) -> None:
        """``attributes``: what the sampler would have noted on the i-th trial told."""
        self._history = History(space, objectives, constraints)
        self._seed = seed
        self._make_sampler = make_sampler
        self._conditional = conditional
        self._attributes = attributes
        self._distributions = [_distribution(choice) for choice in space.choices]
        self._trials: list[FrozenTrial] = []

    def ask(self, n: int, pending: Collection[Arch] = ()) -> list[Arch]:
        """See Searcher."""
        space = self._history.space
        rng = self._history.rng(self._seed, pending)
        taken = self._history.taken(pending)
        archs: list[Arch] = []
        with _quiet():
            study = self._study(int(rng.integers(2**31)), pending)
            for _ in range(n):
                arch = self._propose(study, taken, rng)
                if arch is None:
                    break
                archs.append(arch)
                taken.add(arch)
        return archs + unseen_archs(space, n - len(archs), taken, rng)

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """See Searcher."""
        self._history.tell(evaluations)
        for evaluation in evaluations:
            self._trials.append(self._trial(evaluation))

    def _study(self, seed: int, pending: Collection[Arch]) -> optuna.Study:
        study = optuna.create_study(
            directions=["minimize"] * len(self._history.objectives), sampler=self._make_sampler(seed)
        )
        study.add_trials(self._trials)
        for arch in in_order(pending):
            study.add_trial(self._running(arch))
        return study

    def _propose(self, study: optuna.Study, taken: set[Arch], rng: np.random.Generator) -> Arch | None:
        """An arch outside ``taken``, which the study then holds as a running trial."""
        for _ in range(1 + REDRAWS):
            trial = study.ask()
            arch = self._suggest(trial)
            if arch not in taken:
                return arch
            study.tell(trial, state=TrialState.FAIL)
        variant = unseen_variant(self._history.space, arch, taken, rng)
        if variant is not None:
            study.add_trial(self._running(variant))
        return variant

    def _suggest(self, trial: Trial) -> Arch:
        space = self._history.space
        genes = [0] * len(space.choices)
        for i, (choice, distribution) in enumerate(zip(space.choices, self._distributions, strict=True)):
            if self._conditional and not space.active(genes)[i]:
                continue
            if isinstance(distribution, IntDistribution):
                genes[i] = trial.suggest_int(choice.name, distribution.low, distribution.high)
            else:
                genes[i] = trial.suggest_categorical(choice.name, range(len(choice.values)))
        return space.arch(genes)

    def _running(self, arch: Arch) -> FrozenTrial:
        params, distributions = self._parameters(arch)
        return create_trial(state=TrialState.RUNNING, params=params, distributions=distributions)

    def _trial(self, evaluation: Evaluation) -> FrozenTrial:
        params, distributions = self._parameters(evaluation.arch)
        if not self._history.usable(evaluation):
            return create_trial(state=TrialState.FAIL, params=params, distributions=distributions)
        return create_trial(
            params=params,
            distributions=distributions,
            values=cost_matrix([evaluation], self._history.objectives)[0].tolist(),
            constraints=_excesses(evaluation, self._history.constraints),
            system_attrs=self._attributes(len(self._trials)),
        )

    def _parameters(self, arch: Arch) -> tuple[dict[str, int], dict[str, BaseDistribution]]:
        space = self._history.space
        used = [
            (choice.name, gene, distribution)
            for choice, gene, distribution, on in zip(
                space.choices, arch.genes, self._distributions, space.active(arch.genes), strict=True
            )
            if on or not self._conditional
        ]
        return {name: gene for name, gene, _ in used}, {name: dist for name, _, dist in used}


def tpe(
    space: SearchSpace,
    objectives: Sequence[Objective],
    *,
    constraints: Sequence[Constraint] = (),
    known: Knowledge = NOTHING,  # noqa: ARG001 - learns from its own study only
    seed: int,
) -> OptunaSearcher:
    """Multi-objective tree-structured Parzen estimator over the conditional space."""

    def make_sampler(sampler_seed: int) -> BaseSampler:
        return TPESampler(
            seed=sampler_seed,
            n_startup_trials=STARTUP_TRIALS,
            n_ei_candidates=EI_CANDIDATES,
            constant_liar=True,
        )

    return OptunaSearcher(
        space, objectives, constraints=constraints, seed=seed, make_sampler=make_sampler, conditional=True
    )


def gp(
    space: SearchSpace,
    objectives: Sequence[Objective],
    *,
    constraints: Sequence[Constraint] = (),
    known: Knowledge = NOTHING,  # noqa: ARG001 - learns from its own study only
    seed: int,
) -> OptunaSearcher:
    """Gaussian processes with batch log expected hypervolume improvement (Daulton et al. 2020)."""

    def make_sampler(sampler_seed: int) -> BaseSampler:
        return GPSampler(seed=sampler_seed, n_startup_trials=STARTUP_TRIALS, deterministic_objective=False)

    return OptunaSearcher(
        space, objectives, constraints=constraints, seed=seed, make_sampler=make_sampler, conditional=False
    )


def nsga3(
    space: SearchSpace,
    objectives: Sequence[Objective],
    *,
    constraints: Sequence[Constraint] = (),
    known: Knowledge = NOTHING,  # noqa: ARG001 - learns from its own study only
    seed: int,
) -> OptunaSearcher:
    """NSGA-III (Deb & Jain 2014); trials belong to generations in the order told."""

    def make_sampler(sampler_seed: int) -> BaseSampler:
        return NSGAIIISampler(seed=sampler_seed, population_size=GENERATION)

    def attributes(number: int) -> dict[str, int]:
        return {f"{NSGAIIISampler.__name__}:generation": number // GENERATION}

    return OptunaSearcher(
        space,
        objectives,
        constraints=constraints,
        seed=seed,
        make_sampler=make_sampler,
        conditional=False,
        attributes=attributes,
    )


def _distribution(choice: Choice) -> BaseDistribution:
    if all(isinstance(value, int | float) for value in choice.values):
        return IntDistribution(0, len(choice.values) - 1)
    return CategoricalDistribution(tuple(range(len(choice.values))))


def _excesses(evaluation: Evaluation, constraints: Sequence[Constraint]) -> dict[str, float]:
    """How far each bound is exceeded; negative inside, which tells a GP more than a violation of 0."""
    excesses: dict[str, float] = {}
    for i, constraint in enumerate(constraints):
        value = evaluation.values[constraint.metric]
        if constraint.minimum is not None:
            excesses[f"{i}.minimum"] = constraint.minimum - value
        if constraint.maximum is not None:
            excesses[f"{i}.maximum"] = value - constraint.maximum
    return excesses


@contextmanager
def _quiet() -> Iterator[None]:
    """No log lines and no notices of experimental features while Optuna works."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
