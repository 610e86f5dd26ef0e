"""Knowledge: what a searcher may use besides the evaluations of its own study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from nas.pareto import FloatArray, IntArray
from nas.types import Evaluation
from predictors.predictor import Predictor

# Maps canonical genes (n, c) to finite values (n,).
Hint: TypeAlias = Callable[[IntArray], FloatArray]


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Fitted predictors by metric, and evaluations of earlier studies of the same supernet.

    A metric with a predictor is *known*: its value for any arch costs no evaluation, and the
    predictor's standard deviation says how well it is known. ``evaluations`` are no trials of the
    study: a searcher learns from them, and may ask their archs again. ``hints`` are values of archs,
    in any unit, that go up or down with a metric that is not known, more or less: features to learn
    from, such as ``predictors.accuracy.effects.ChoiceEffects``.
    """

    predictors: Mapping[str, Predictor] = field(default_factory=dict)
    evaluations: Sequence[Evaluation] = ()
    hints: Sequence[Hint] = ()


NOTHING = Knowledge()
