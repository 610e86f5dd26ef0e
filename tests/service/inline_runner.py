"""The real runner without Ray, with accuracies that are a function of the genes: searches take seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nas.evaluate.inline_pool import InlinePool
from nas.types import Evaluation
from searchspaces.space import Arch
from service.jobs.searching import evaluation
from service.runner import main


class ToyAccuracy:
    """Stands where a search's evaluator of accuracies does."""

    metrics = ("top1",)

    def __init__(self, *_: object) -> None:
        """Takes what the real one does, and needs none of it."""

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        return [Evaluation(arch, {"top1": toy_top1(arch)}) for arch in archs]


def toy_top1(arch: Arch) -> float:
    taste = np.random.default_rng(2).normal(0.1, 0.4, len(arch.genes))
    return float(1.0 / (1.0 + np.exp(-taste @ np.array(arch.genes))))


def inline_pool(factory: Any, arrays: Mapping[str, Any], *_: object, **__: object) -> InlinePool:
    return InlinePool(factory(arrays))


if __name__ == "__main__":
    evaluation.RayPool = inline_pool  # type: ignore[misc, assignment]
    evaluation.PrefixEvaluator = ToyAccuracy  # type: ignore[misc, assignment]
    raise SystemExit(main())
