"""Searchers that break one law each; the contract must notice."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

import numpy as np

from nas.search.random import RandomSearcher
from nas.types import Constraint, Evaluation, Objective
from searchspaces.space import Arch, SearchSpace


class _Wrong(RandomSearcher):
    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        constraints: Sequence[Constraint] = (),
        seed: int,
    ) -> None:
        super().__init__(space, objectives, constraints=constraints, seed=seed)
        self.space, self.seed = space, seed


class RepeatsTold(_Wrong):
    def ask(self, n: int, pending: Collection[Arch] = ()) -> list[Arch]:
        rng = np.random.default_rng([self.seed, len(pending)])
        drawn = dict.fromkeys(self.space.sample(rng) for _ in range(20 * n))
        return [arch for arch in drawn if arch not in set(pending)][:n]


class RepeatsItself(_Wrong):
    def ask(self, n: int, pending: Collection[Arch] = ()) -> list[Arch]:
        archs = super().ask(n, pending)
        return [archs[0]] * len(archs) if archs else []


class HiddenCounter(_Wrong):
    calls = 0

    def ask(self, n: int, pending: Collection[Arch] = ()) -> list[Arch]:
        self.calls += 1
        archs = super().ask(n + self.calls, pending)
        return archs[-n:] if n else []


class NotCanonical(_Wrong):
    def ask(self, n: int, pending: Collection[Arch] = ()) -> list[Arch]:
        archs = super().ask(n, pending)
        return [Arch(arch.space, tuple(g or 1 for g in arch.genes)) for arch in archs]


class IgnoresPending(_Wrong):
    def ask(self, n: int, pending: Collection[Arch] = ()) -> list[Arch]:
        return super().ask(n)


class OrdersByHash(_Wrong):
    def ask(self, n: int, pending: Collection[Arch] = ()) -> list[Arch]:
        return sorted(super().ask(20 * n, pending), key=hash)[:n]


class HangsWhenExhausted(_Wrong):
    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        constraints: Sequence[Constraint] = (),
        seed: int,
    ) -> None:
        super().__init__(space, objectives, constraints=constraints, seed=seed)
        self.told: set[Arch] = set()

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        self.told.update(evaluation.arch for evaluation in evaluations)

    def ask(self, n: int, pending: Collection[Arch] = ()) -> list[Arch]:
        rng = np.random.default_rng([self.seed, len(self.told), len(pending)])
        found: list[Arch] = []
        while len(found) < n:
            arch = self.space.sample(rng)
            if arch not in self.told and arch not in pending and arch not in found:
                found.append(arch)
        return found


class GivesUpEarly(_Wrong):
    def ask(self, n: int, pending: Collection[Arch] = ()) -> list[Arch]:
        rng = np.random.default_rng([self.seed, self._history.n_told, len(pending)])
        taken = self._history.taken(pending)
        drawn = dict.fromkeys(self.space.sample(rng) for _ in range(n))
        return [arch for arch in drawn if arch not in taken]


class MutatesInput(_Wrong):
    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        super().tell(evaluations)
        if isinstance(evaluations, list):
            evaluations.sort(key=lambda evaluation: evaluation.arch.genes, reverse=True)


class Unseeded(_Wrong):
    _count = itertools.count()

    def ask(self, n: int, pending: Collection[Arch] = ()) -> list[Arch]:
        self._seed = next(self._count)
        return super().ask(n, pending)


class IgnoresSeed(_Wrong):
    def ask(self, n: int, pending: Collection[Arch] = ()) -> list[Arch]:
        self._seed = 0
        return super().ask(n, pending)


class FailsOnErrors(_Wrong):
    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        assert all(evaluation.values["top1"] >= 0 for evaluation in evaluations)
        super().tell(evaluations)
