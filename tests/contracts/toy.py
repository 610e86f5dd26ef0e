"""Toy: a small conditional search space with closed-form objectives, for tests without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nas.types import Constraint, Direction, Evaluation, Objective, Study
from searchspaces.fabric import Fabric
from searchspaces.space import Arch, Choice, SearchSpace, Value
from searchspaces.subnet import HeadSpec, Layer, StemSpec, SubnetSpec

OBJECTIVES = (Objective("top1", Direction.MAXIMIZE, 0.0), Objective("latency_ms", Direction.MINIMIZE, 20.0))
LIMIT = Constraint("latency_ms", maximum=6.0)


def _build(values: Mapping[str, Value]) -> SubnetSpec:
    width = 8 * int(values["depth"])
    return SubnetSpec(8, (Layer("stem", StemSpec(width, 1)), Layer("head", HeadSpec(width))))


def toy_space(n_blocks: int = 3) -> SearchSpace:
    """Depth 1..n_blocks; each present block has an operator, and kernels or heads according to it."""
    depths = tuple(range(1, n_blocks + 1))
    choices = [Choice("depth", depths)]
    for b in range(n_blocks):
        present = None if b == 0 else ("depth", frozenset[Value](d for d in depths if d > b))
        operator = f"b{b}.operator"
        choices += [
            Choice(operator, ("conv", "attention"), present),
            Choice(f"b{b}.kernel", (3, 5, 7), (operator, frozenset[Value](["conv"]))),
            Choice(f"b{b}.heads", (1, 2), (operator, frozenset[Value](["attention"]))),
        ]
    fabric = Fabric(StemSpec(8 * n_blocks, 1), (), HeadSpec(8 * n_blocks))
    return SearchSpace("toy", 1, tuple(choices), fabric, _build)


def toy_values(space: SearchSpace, arch: Arch) -> dict[str, float]:
    """A smooth trade-off: deeper and larger is more accurate and slower."""
    values = space.values(arch)
    latency = 0.0
    for name, value in values.items():
        if name.endswith("kernel"):
            latency += float(value) / 2
        elif name.endswith("heads"):
            latency += 1.0 + float(value)
    bonus = sum(0.02 for value in values.values() if value == "attention")
    return {"top1": 1.0 - float(np.exp(-latency / 5.0)) * 0.9 + bonus, "latency_ms": latency}


def toy_evaluate(space: SearchSpace, archs: Sequence[Arch]) -> list[Evaluation]:
    """One evaluation per arch."""
    return [Evaluation(arch, toy_values(space, arch)) for arch in archs]


class ToyEvaluator:
    """Evaluator of the toy space; archs whose key is in ``bad`` get an error."""

    metrics = ("top1", "latency_ms")

    def __init__(self, space: SearchSpace, bad: frozenset[str] = frozenset()) -> None:
        self._space, self._bad = space, bad

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        """One evaluation per arch, in the same order."""
        return [
            Evaluation(arch, error="does not build")
            if arch.key in self._bad
            else Evaluation(arch, toy_values(self._space, arch))
            for arch in archs
        ]


def toy_study(study_id: str = "s1", *, searcher: str = "random", **changes: object) -> Study:
    """A study of the toy space with two objectives."""
    settings: dict[str, object] = {"budget": 20, "seed": 1, "batch_size": 6, **changes}
    return Study(study_id, "toy@1", OBJECTIVES, searcher, **settings)  # type: ignore[arg-type]
