"""Knowledge: what a searcher may use besides the evaluations of its own study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nas.types import Evaluation
from predictors.predictor import Predictor


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Fitted predictors by metric, and evaluations of earlier studies of the same supernet.

    A metric with a predictor is *known*: its value for any arch costs no evaluation, and the
    predictor's standard deviation says how well it is known. ``evaluations`` are no trials of the
    study: a searcher learns from them, and may ask their archs again.
    """

    predictors: Mapping[str, Predictor] = field(default_factory=dict)
    evaluations: Sequence[Evaluation] = ()


NOTHING = Knowledge()
