"""Which constraint of a study binds: what each excludes, and what the front would gain without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nas.pareto import cost_matrix, hypervolume, pareto_front, reference_costs
from nas.types import Constraint, Evaluation, Objective


@dataclass(frozen=True, slots=True)
class ConstraintEffect:
    """What one constraint does to the evaluated archs; shares are of those without error.

    ``excluded`` violate it, ``excluded_alone`` violate no other one. Without it ``new_members``
    evaluated archs would join the front, which would grow by ``hypervolume_gain``, a share of the
    present hypervolume (None where there is none yet). A search steers clear of what is
    forbidden, so the true gain is at least that.
    """

    constraint: Constraint
    excluded: float
    excluded_alone: float
    new_members: int
    hypervolume_gain: float | None

    @property
    def binds(self) -> bool:
        """Whether the front of the evaluated archs would change without it."""
        return self.new_members > 0


def constraint_effects(
    evaluations: Sequence[Evaluation],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
) -> tuple[ConstraintEffect, ...]:
    """One effect per constraint, in their order."""
    complete = [evaluation for evaluation in evaluations if evaluation.error is None]
    front = pareto_front(complete, objectives, constraints)
    present = _volume(front, objectives)
    return tuple(
        _effect(i, complete, front, present, objectives, constraints) for i in range(len(constraints))
    )


def _effect(
    index: int,
    complete: Sequence[Evaluation],
    front: Sequence[Evaluation],
    present: float,
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
) -> ConstraintEffect:
    constraint = constraints[index]
    others = [*constraints[:index], *constraints[index + 1 :]]
    excluded = [e for e in complete if constraint.violation(e.values[constraint.metric]) > 0]
    alone = [e for e in excluded if all(o.violation(e.values[o.metric]) == 0 for o in others)]
    # What the front excludes now it would exclude then too, so it and the newly allowed are enough.
    relaxed = pareto_front([*front, *alone], objectives, others)
    members = {evaluation.arch for evaluation in front}
    joining = sum(evaluation.arch not in members for evaluation in relaxed)
    growth = _volume(relaxed, objectives) - present
    gain = growth / present if present > 0 else None
    n = max(1, len(complete))
    return ConstraintEffect(constraint, len(excluded) / n, len(alone) / n, joining, gain)


def _volume(front: Sequence[Evaluation], objectives: Sequence[Objective]) -> float:
    return hypervolume(cost_matrix(front, objectives), reference_costs(objectives))
