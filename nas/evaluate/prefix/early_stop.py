"""Early stop: subnets that cannot reach the front see only a part of the validation images.

The images are visited in a random order. Among the first n of N images, a subnet that classifies K
of all N right gets H right, where H is hypergeometric (N, K, n): drawing without replacement. If it
takes at least K0 right ones to reach the front and only c were right so far, then for every K >= K0
the chance of so few is at most P(H(N, K0, n) <= c), because H grows stochastically with K. The
subnet is dropped when that chance is at most delta / looks. By the union bound over the looks, a
subnet that would have reached the front is dropped with probability at most delta, over the order
of the images. The test is exact where Hoeffding's and Serfling's inequalities are bounds of it.

Off in search jobs: on recorded studies it saved 11 to 30 % of the images at delta = .01, while half
to three quarters of the trials lost the value that surrogates learn from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import hypergeom
from torch import Tensor

from nas.data.types import Split
from nas.errors import ConfigError
from nas.evaluate.accuracy import BATCH
from nas.evaluate.evaluator import Evaluator
from nas.evaluate.joint import JointEvaluator
from nas.evaluate.prefix.evaluator import MAX_BYTES, PrefixEvaluator, Tally
from nas.supernet.supernet import Supernet
from nas.types import Constraint, Direction, Evaluation, Objective
from searchspaces.space import Arch

TOP1 = "top1"
PARTIAL, UPPER, N_SEEN = "top1_partial", "top1_upper", "top1_images"  # of a dropped arch, which has no top1


@dataclass(frozen=True, slots=True)
class StopRule:
    """Wrong drops have probability at most ``delta`` per subnet; ``total`` images, ``looks`` tests.

    Raises ConfigError for a delta outside (0, 1) or fewer than one image.
    """

    delta: float
    total: int
    looks: int

    def __post_init__(self) -> None:
        if not 0 < self.delta < 1:
            raise ConfigError(f"delta must lie in (0, 1); got {self.delta}")
        if self.total < 1:
            raise ConfigError(f"total must be at least 1 image; got {self.total}")

    def is_hopeless(self, tally: Tally, needed: int) -> bool:
        """Whether to give up on ``needed`` right ones of all images after this tally."""
        if needed > self.total:
            return True
        return self._chance(tally, needed) <= self.delta / max(1, self.looks)

    def upper(self, tally: Tally) -> float:
        """The largest top1 that this tally does not rule out: an upper confidence bound."""
        low, high = tally.correct, self.total - (tally.seen - tally.correct)
        while low < high:  # the chance falls as the count rises
            middle = (low + high + 1) // 2
            if self._chance(tally, middle) > self.delta / max(1, self.looks):
                low = middle
            else:
                high = middle - 1
        return low / self.total

    def _chance(self, tally: Tally, n_right: int) -> float:
        return float(hypergeom.cdf(tally.correct, self.total, n_right, tally.seen))


def needed_count(
    evaluation: Evaluation,
    front: Sequence[Evaluation],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    total: int,
) -> int:
    """How many of ``total`` images an arch must get right lest it be dominated or break a bound of top1.

    ``evaluation`` holds its other objectives. The answer is ``total + 1`` when no count is enough.
    """
    others = [objective for objective in objectives if objective.metric != TOP1]
    costs = [o.cost(evaluation.values[o.metric]) for o in others]
    needed = max([0, *(_at_least(c.minimum, total) for c in constraints if c.metric == TOP1 and c.minimum)])
    for member in front:
        rival = [o.cost(member.values[o.metric]) for o in others]
        if all(r <= c for r, c in zip(rival, costs, strict=True)):
            bound = _at_least(member.values[TOP1], total)
            is_equal = bound / total == member.values[TOP1]
            needed = max(needed, bound + (is_equal and rival != costs))
    return min(needed, total + 1)


def _at_least(share: float | None, total: int) -> int:
    """The smallest count whose share of ``total`` is at least ``share``."""
    count = max(0, math.floor((share or 0.0) * total) - 1)
    while count / total < (share or 0.0):
        count += 1
    return count


class StoppingEvaluator:
    """Values of ``cheap`` evaluators, and top1 of the archs that may reach a given front.

    An arch that is dropped has an error that says so and, instead of ``top1``, its share of right
    ones among the images seen, an upper bound on its top1, and how many images it saw. So it is
    stored as a failed trial, never enters a front, and is no evaluation to anyone who looks for one.
    The result depends on the archs, the front and ``seed`` alone.
    """

    def __init__(
        self,
        supernet: Supernet,
        split: Split,
        calibration: Sequence[Tensor],
        *,
        cheap: Sequence[Evaluator],
        objectives: Sequence[Objective],
        constraints: Sequence[Constraint] = (),
        delta: float = 0.01,
        seed: int = 0,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """``seed`` orders the images. Raises ConfigError for a delta outside (0, 1) or a top1 to minimise."""
        if any(o.metric == TOP1 and o.direction is Direction.MINIMIZE for o in objectives):
            raise ConfigError("an early stop needs top1 to be maximised or no objective; it is minimised")
        order = np.random.default_rng([seed, 6]).permutation(len(split.labels))
        shuffled = Split(split.images[order], split.labels[order])
        self._accuracy = PrefixEvaluator(supernet, shuffled, calibration, max_bytes=max_bytes)
        self._cheap = JointEvaluator(cheap)
        self._objectives, self._constraints = tuple(objectives), tuple(constraints)
        self._rule = StopRule(delta, len(order), math.ceil(len(order) / BATCH) - 1)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the values of an arch that was not dropped."""
        return (*self._cheap.metrics, TOP1)

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        """See Evaluator: against an empty front, which drops nobody but for a constraint on top1."""
        return self.evaluate_against(archs, ())

    def evaluate_against(self, archs: Sequence[Arch], front: Sequence[Evaluation]) -> list[Evaluation]:
        """One evaluation per arch; ``front`` holds complete evaluations with the objectives' values.

        For a search that can be resumed, give all parts of a batch the front from before the batch.
        """
        known = self._cheap.evaluate(archs)
        sound = [i for i, evaluation in enumerate(known) if evaluation.error is None]
        needed = [
            needed_count(known[i], front, self._objectives, self._constraints, self._rule.total)
            for i in sound
        ]
        tallies = self._accuracy.tallies(
            [archs[i] for i in sound], lambda k, tally: self._rule.is_hopeless(tally, needed[k])
        )
        for i, tally in zip(sound, tallies, strict=True):
            known[i] = self._judged(known[i], tally)
        return known

    def _judged(self, known: Evaluation, tally: Tally | str) -> Evaluation:
        if isinstance(tally, str):
            return Evaluation(known.arch, error=tally)
        share = tally.correct / tally.seen
        if tally.seen == self._rule.total:
            return Evaluation(known.arch, {**known.values, TOP1: share})
        values = {PARTIAL: share, UPPER: self._rule.upper(tally), N_SEEN: float(tally.seen)}
        error = f"dropped after {tally.seen} of {self._rule.total} images: it cannot reach the front"
        return Evaluation(known.arch, {**known.values, **values}, error)
