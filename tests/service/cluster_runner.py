"""The real runner, whose evaluation workers write down which node has evaluated which arch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from numpy.typing import NDArray

from nas.evaluate.evaluator import Evaluator
from nas.evaluate.ray_pool import RayPool
from nas.evaluate.ray_workers import EvaluatorFactory
from nas.types import Evaluation
from searchspaces.space import Arch
from service.jobs.searching import evaluation
from service.runner import main

WITNESS = "NAS_TEST_WITNESS"  # environment variable: file of lines "NODE ARCHKEY"


class Witness:
    """Evaluates as ``inner`` does, then appends a line for each arch."""

    def __init__(self, inner: Evaluator, file: str) -> None:
        self.metrics = inner.metrics
        self._inner, self._file = inner, file

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        evaluations = self._inner.evaluate(archs)
        node = ray.get_runtime_context().get_node_id()
        with open(self._file, "a") as stream:
            stream.write("".join(f"{node} {arch.key}\n" for arch in archs))
        return evaluations


@dataclass(frozen=True)
class WitnessFactory:
    """Makes witnesses of the evaluators of ``inner``, and is otherwise like it."""

    inner: EvaluatorFactory
    file: str

    def __call__(self, arrays: Mapping[str, NDArray[Any]]) -> Evaluator:
        return Witness(self.inner(arrays), self.file)


def witnessed_pool(factory: EvaluatorFactory, *rest: Any, **options: Any) -> RayPool:
    return RayPool(WitnessFactory(factory, os.environ[WITNESS]), *rest, **options)


if __name__ == "__main__":
    evaluation.RayPool = witnessed_pool  # type: ignore[misc, assignment]
    raise SystemExit(main())
