"""The contract of nas.search.searcher.Searcher. Subclass it and give ``path``.

No fixtures: each check is a plain method, so that the negative controls can call it on searchers
that are wrong on purpose.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

from nas.search.registry import get_searcher
from nas.search.searcher import Searcher
from nas.types import Constraint, Direction, Evaluation, Objective
from searchspaces.space import Arch, SearchSpace
from tests.contracts.toy import LIMIT, OBJECTIVES, toy_evaluate, toy_space, toy_values

MAX_ARCHS = 100_000  # archs that one check may construct before it counts as a hang
N_TOLD = 26  # more than any start-up phase, so that the model or the population is at work


class GuardedSpace(SearchSpace):
    """A space that fails a caller who keeps constructing archs: a hang that ends."""

    @cached_property
    def _constructed(self) -> list[int]:
        return [0]

    def arch(self, genes: Sequence[int]) -> Arch:
        self._constructed[0] += 1
        assert self._constructed[0] <= MAX_ARCHS, "the searcher hangs"
        return super().arch(genes)


def guarded(n_blocks: int) -> GuardedSpace:
    toy = toy_space(n_blocks)
    return GuardedSpace(toy.name, toy.version, toy.choices, toy.fabric, toy.build)


def told_history(space: SearchSpace, n: int = N_TOLD) -> list[Evaluation]:
    """Evaluations spread over the space, every seventh failed."""
    archs = list(toy_space(3).archs())[:: 155 // n][:n]
    return [
        Evaluation(arch, error="does not fit") if i % 7 == 3 else Evaluation(arch, toy_values(space, arch))
        for i, arch in enumerate(archs)
    ]


def replay(path: str, seed: int) -> list[str]:
    """Keys of what a searcher asks after a history, with pending archs in a set (run in any process)."""
    space = toy_space()
    searcher = get_searcher(path, allow_import=True)(space, OBJECTIVES, constraints=(LIMIT,), seed=seed)
    searcher.tell(told_history(space))
    pending = set(list(space.archs())[1:9])
    return [arch.key for arch in searcher.ask(4, pending)]


class SearcherContract:
    """Every law of the protocol. ``steers`` is False for a searcher that ignores constraints."""

    path: ClassVar[str]
    steers: ClassVar[bool] = True

    def make(
        self,
        space: SearchSpace,
        *,
        seed: int = 1,
        objectives: Sequence[Objective] = OBJECTIVES,
        constraints: Sequence[Constraint] = (),
    ) -> Searcher:
        factory = get_searcher(self.path, allow_import=True)
        return factory(space, objectives, constraints=constraints, seed=seed)

    def _told(self, space: SearchSpace, *, seed: int = 1) -> Searcher:
        searcher = self.make(space, seed=seed)
        searcher.tell(told_history(space))
        return searcher

    def test_first_archs_are_canonical_and_distinct(self) -> None:
        space = guarded(3)
        archs = self.make(space).ask(30)
        assert len(archs) == 30
        assert len(set(archs)) == 30
        assert all(arch == space.arch(arch.genes) for arch in archs)

    def test_later_archs_are_canonical_and_new(self) -> None:
        space = guarded(3)
        told = {evaluation.arch for evaluation in told_history(space)}
        archs = self._told(space).ask(6)
        assert len(set(archs)) == len(archs) == 6
        assert all(arch == space.arch(arch.genes) for arch in archs)
        assert not told & set(archs)

    def test_pending_archs_are_not_asked(self) -> None:
        space = guarded(3)
        for searcher in (self.make(space), self._told(space)):
            pending: list[Arch] = []
            for _ in range(3):
                pending += searcher.ask(2, pending)
            assert len(set(pending)) == len(pending) == 6

    def test_asking_for_none_gives_none(self) -> None:
        assert self.make(guarded(3)).ask(0) == []
        assert self._told(guarded(3)).ask(0) == []

    def test_ask_changes_nothing(self) -> None:
        searcher = self._told(guarded(3))
        first = searcher.ask(4)
        searcher.ask(2, first[:1])
        assert searcher.ask(4) == first

    def test_fresh_searcher_told_the_same_asks_the_same(self) -> None:
        space = guarded(3)
        history = told_history(space)
        chunked = self.make(space)
        for start in range(0, len(history), 5):
            chunked.ask(3)
            chunked.tell(history[start : start + 5])
        assert chunked.ask(4) == self._told(space).ask(4)

    def test_pending_in_any_order_asks_the_same(self) -> None:
        space = guarded(3)
        pending = list(toy_space(3).archs())[1:7]
        searcher = self._told(space)
        assert searcher.ask(3, pending) == searcher.ask(3, pending[::-1]) == searcher.ask(3, set(pending))

    def test_another_process_asks_the_same(self) -> None:
        one, other = [self._replayed(hash_seed) for hash_seed in (1, 4242)]
        assert one == other

    def _replayed(self, hash_seed: int) -> list[str]:
        """``replay`` in a process of its own with this order of hashed strings."""
        code = (
            "import json; from tests.contracts.searcher import replay; "
            f"print(json.dumps(replay({self.path!r}, 5)))"
        )
        there = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            env={
                **os.environ,
                "PYTHONHASHSEED": str(hash_seed),
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            capture_output=True,
            text=True,
            check=True,
        )
        asked: list[str] = json.loads(there.stdout.splitlines()[-1])
        return asked

    def test_seeds_differ(self) -> None:
        space = guarded(3)
        assert len({tuple(self._told(space, seed=seed).ask(4)) for seed in range(4)}) > 1

    def test_inputs_are_left_alone(self) -> None:
        space = guarded(3)
        history = told_history(space)
        pending = list(toy_space(3).archs())[1:4]
        before = copy.deepcopy((history, pending))
        searcher = self.make(space)
        searcher.tell(history)
        searcher.ask(3, pending)
        assert (history, pending) == before

    def test_exhausted_space_gives_fewer_then_none(self) -> None:
        space = guarded(2)
        searcher = self.make(space)
        seen: list[Arch] = []
        for _ in range(space.size()):  # each round but the last must make progress
            archs = searcher.ask(7)
            if not archs:
                break
            seen += archs
            searcher.tell(toy_evaluate(space, archs))
        assert len(seen) == len(set(seen)) == space.size()
        assert searcher.ask(1) == []

    def test_asking_for_more_than_there_is_gives_all(self) -> None:
        space = guarded(2)
        archs = self.make(space).ask(10_000)
        assert len(archs) == len(set(archs)) == space.size()
        assert self.make(space).ask(5, archs) == []

    def test_only_failures_are_survived(self) -> None:
        space = guarded(3)
        failed = [Evaluation(arch, error="no") for arch in list(toy_space(3).archs())[:30]]
        searcher = self.make(space)
        searcher.tell(failed)
        archs = searcher.ask(5)
        assert len(archs) == 5
        assert not {e.arch for e in failed} & set(archs)

    def test_one_and_three_objectives(self) -> None:
        space = guarded(3)
        params = Objective("params", Direction.MINIMIZE, 100.0)
        history = [
            Evaluation(e.arch, {**e.values, "params": float(sum(e.arch.genes))}, e.error)
            for e in told_history(space)
        ]
        for objectives in (OBJECTIVES[:1], (*OBJECTIVES, params)):
            searcher = self.make(space, objectives=objectives)
            searcher.tell(history)
            assert len(searcher.ask(3)) == 3

    def test_constant_objectives_are_survived(self) -> None:
        space = guarded(3)
        values = {"top1": 0.5, "latency_ms": 2.0}
        told = [Evaluation(e.arch, values, e.error) for e in told_history(space)]
        searcher = self.make(space)
        searcher.tell(told)
        archs = searcher.ask(2)
        assert len(set(archs)) == 2
        assert not {e.arch for e in told} & set(archs)

    def test_a_space_of_one_point_has_one_arch(self) -> None:
        toy = toy_space(1)
        only = [
            replace(choice, values=choice.values[:1] if choice.name != "b0.operator" else ("conv",))
            for choice in toy.choices
            if not choice.name.endswith("heads")
        ]
        space = GuardedSpace("toy", 1, tuple(only), toy.fabric, toy.build)
        assert space.size() == 1
        searcher = self.make(space)
        archs = searcher.ask(5)
        assert archs == [space.extreme(largest=True)]
        assert self.make(space).ask(5, archs) == []
        searcher.tell([Evaluation(archs[0], {"top1": 0.5, "latency_ms": 2.0})])
        assert searcher.ask(5) == []

    def test_infeasible_history_is_survived(self) -> None:
        space = guarded(3)
        searcher = self.make(space, constraints=(Constraint("latency_ms", maximum=-1.0),))
        searcher.tell(told_history(space))
        assert len(searcher.ask(3)) == 3

    def test_constraints_steer(self) -> None:
        if not self.steers:
            return
        space = guarded(4)
        archs = list(toy_space(4).archs())
        limit = Constraint("latency_ms", maximum=9.0)  # 43 % of the archs, and of those told, satisfy it
        asked: list[Arch] = []
        for seed in range(3):
            searcher = self.make(space, seed=seed, constraints=(limit,))
            searcher.tell(toy_evaluate(space, archs[:: len(archs) // 40]))
            asked += searcher.ask(6)
        feasible = sum(limit.violation(toy_values(space, arch)["latency_ms"]) == 0 for arch in asked)
        assert feasible / len(asked) > 0.6
