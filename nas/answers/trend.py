"""How the hypervolume of a study grew over its evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nas.pareto import cost_matrix, hypervolume, pareto_front, reference_costs
from nas.types import Constraint, Evaluation, Objective

POINTS = 50  # of a trend, at most
RECENT = 0.25  # share of the evaluations whose gain is stated


@dataclass(frozen=True, slots=True)
class Trend:
    """Hypervolume after ``points[i][0]`` evaluations, the last point after all of them.

    ``recent_gain`` is what the last quarter of the evaluations added, as a share of the final
    hypervolume; 0 where that is 0.
    """

    points: tuple[tuple[int, float], ...]
    recent_gain: float

    @property
    def hypervolume(self) -> float:
        """The final one; 0 without evaluations."""
        return self.points[-1][1] if self.points else 0.0


def trend(
    evaluations: Sequence[Evaluation],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint] = (),
) -> Trend:
    """The trend of evaluations in the order of their trials, failed ones included."""
    n = len(evaluations)
    before = n - max(1, round(RECENT * n)) if n else 0
    marks = sorted({round(n * (i + 1) / POINTS) for i in range(POINTS)} - {0} | ({before, n} - {0}))
    points: list[tuple[int, float]] = []
    front: list[Evaluation] = []
    start = 0
    for end in marks:
        front = pareto_front([*front, *evaluations[start:end]], objectives, constraints)
        points.append((end, hypervolume(cost_matrix(front, objectives), reference_costs(objectives))))
        start = end
    final = points[-1][1] if points else 0.0
    earlier = dict(points).get(before, 0.0)
    return Trend(tuple(points), (final - earlier) / final if final > 0 else 0.0)
