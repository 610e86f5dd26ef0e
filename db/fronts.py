"""Stored fronts: kept up by every finished trial, merged for questions, checked by recomputation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Row, and_, delete, func, select
from sqlalchemy.orm import Session

from db.records import FrontPoint
from db.schema.study_rows import FrontMemberRow, StudyRow, TrialRow, TrialValueRow
from db.schema.trials import VALUE_KEY, load_trials
from nas.pareto import FloatArray, cost_matrix, front_mask, is_feasible, is_nondominated
from nas.types import Study, Trial, TrialState
from searchspaces.space import Arch

effective_latency = func.coalesce(FrontMemberRow.measured_latency_ms, FrontMemberRow.predicted_latency_ms)
TRIAL_OF_MEMBER = and_(FrontMemberRow.study_id == TrialRow.study_id, FrontMemberRow.number == TrialRow.number)
STUDY_OF_MEMBER = StudyRow.id == FrontMemberRow.study_id


def admit(session: Session, study: Study, trials: Sequence[Trial]) -> None:
    """Bring the study's front up to date with trials that finish in this transaction.

    The caller has locked the study, so nobody else admits trials of it meanwhile. Members that a
    trial dominates leave; equal costs stay side by side, as in ``nas.pareto``.
    """
    coming = [
        trial
        for trial in trials
        if trial.state is TrialState.COMPLETE and is_feasible(trial.evaluation, study.constraints)
    ]
    if not coming or not study.objectives:  # without objectives there is no front
        return
    members, costs = _member_costs(session, study)
    candidates = np.concatenate(
        [costs, cost_matrix([trial.evaluation for trial in coming], study.objectives)]
    )
    stays = is_nondominated(candidates)
    leaving = [member for member, keep in zip(members, stays, strict=False) if not keep]
    if leaving:
        condition = and_(FrontMemberRow.study_id == study.id, FrontMemberRow.number.in_(leaving))
        session.execute(delete(FrontMemberRow).where(condition))
    session.add_all(
        _member(study, trial) for trial, keep in zip(coming, stays[len(members) :], strict=True) if keep
    )
    session.flush()


def _member(study: Study, trial: Trial) -> FrontMemberRow:
    values = trial.evaluation.values
    return FrontMemberRow(
        study_id=study.id,
        number=trial.number,
        top1=values.get("top1"),
        predicted_latency_ms=values.get("latency_ms"),
        latency_low_ms=values.get("latency_low_ms"),
        latency_high_ms=values.get("latency_high_ms"),
    )


def _member_costs(session: Session, study: Study) -> tuple[list[int], FloatArray]:
    """Numbers of the n members of the study's stored front and their costs (n, objectives)."""
    members = select(FrontMemberRow.study_id, FrontMemberRow.number)
    members = members.where(FrontMemberRow.study_id == study.id)
    statement = (
        select(TrialValueRow.number, TrialValueRow.metric, TrialValueRow.value)
        .where(VALUE_KEY.in_(members))
        .where(TrialValueRow.metric.in_([objective.metric for objective in study.objectives]))
    )
    values: defaultdict[int, dict[str, float]] = defaultdict(dict)
    for number, metric, value in session.execute(statement):
        values[number][metric] = value
    costs = np.empty((len(values), len(study.objectives)))
    for row, member in zip(costs, values.values(), strict=True):
        row[:] = [objective.cost(member[objective.metric]) for objective in study.objectives]
    return list(values), costs


def is_stored_front_right(session: Session, study: Study) -> bool:
    """Whether the stored front is the one that all complete trials of the study give."""
    trials = load_trials(session, study, TrialRow.state == TrialState.COMPLETE.value)
    mask = front_mask([trial.evaluation for trial in trials], study.objectives, study.constraints)
    belonging = [trial.number for trial, keep in zip(trials, mask, strict=True) if keep]
    stored = select(FrontMemberRow.number).where(FrontMemberRow.study_id == study.id)
    return belonging == list(session.scalars(stored.order_by(FrontMemberRow.number)))


def front_points(session: Session, conditions: Sequence[ColumnElement[bool]]) -> list[FrontPoint]:
    """Members of stored fronts that have a supernet, a device, a top1 and a latency, in no order.

    ``conditions`` are on StudyRow, TrialRow, FrontMemberRow and effective_latency.
    """
    usable = (
        StudyRow.supernet.is_not(None),
        StudyRow.device.is_not(None),
        FrontMemberRow.top1.is_not(None),
        effective_latency.is_not(None),
        *conditions,
    )
    value_columns = (TrialValueRow.study_id, TrialValueRow.number, TrialValueRow.metric, TrialValueRow.value)
    shown = select(FrontMemberRow.study_id, FrontMemberRow.number)
    shown = shown.join(TrialRow, TRIAL_OF_MEMBER).join(StudyRow, STUDY_OF_MEMBER).where(*usable)
    of_members = select(*value_columns).where(VALUE_KEY.in_(shown))
    values: defaultdict[tuple[str, int], dict[str, float]] = defaultdict(dict)
    for row in session.execute(of_members):
        values[row.study_id, row.number][row.metric] = row.value
    columns = (FrontMemberRow, StudyRow.supernet, StudyRow.device, StudyRow.space, TrialRow.genes)
    members = select(*columns).join(TrialRow, TRIAL_OF_MEMBER).join(StudyRow, STUDY_OF_MEMBER)
    return [
        _point(row, values[row.FrontMemberRow.study_id, row.FrontMemberRow.number])
        for row in session.execute(members.where(*usable))
    ]


def nondominated_union(points: Iterable[FrontPoint]) -> list[FrontPoint]:
    """Of each (supernet, device) the points that no other one dominates in top1 and latency, by latency.

    An arch that several studies found counts once: an evaluated point before a predicted one, then a
    measured one, then the one of the study that was named later. Points with equal top1 and latency
    all stay.
    """
    archs: dict[tuple[str, str, str], FrontPoint] = {}
    for point in sorted(points, key=_by_worth):
        archs[point.supernet, point.device, point.arch.key] = point
    kept: list[FrontPoint] = []
    best: dict[tuple[str, str], FrontPoint] = {}
    for point in sorted(archs.values(), key=_by_latency):
        group = point.supernet, point.device
        leader = best.get(group)
        if leader is None or point.top1 > leader.top1:
            best[group] = leader = point
        if (point.top1, point.latency_ms) == (leader.top1, leader.latency_ms):
            kept.append(point)
    return kept


def _by_worth(point: FrontPoint) -> tuple[bool, bool, str, int]:
    evaluated, measured = point.top1_source == "evaluated", point.latency_source == "measured"
    return evaluated, measured, point.study_id, point.number


def _by_latency(point: FrontPoint) -> tuple[float, float, str, str, str]:
    return point.latency_ms, -point.top1, point.supernet, point.device, point.arch.key


def _point(row: Row[Any], values: dict[str, float]) -> FrontPoint:
    member: FrontMemberRow = row.FrontMemberRow
    arch = Arch(row.space, tuple(row.genes))
    measured = member.measured_latency_ms
    latency_ms = member.predicted_latency_ms if measured is None else measured
    assert member.top1 is not None  # the query admits no others
    assert latency_ms is not None
    return FrontPoint(
        study_id=member.study_id,
        supernet=row.supernet,
        device=row.device,
        number=member.number,
        arch=arch,
        subnet_id=f"{row.supernet}:{arch.key}",
        top1=member.top1,
        latency_ms=latency_ms,
        latency_source="predicted" if measured is None else "measured",
        predicted_latency_ms=member.predicted_latency_ms,
        latency_low_ms=member.latency_low_ms,
        latency_high_ms=member.latency_high_ms,
        measured_latency_ms=measured,
        test_top1=member.test_top1,
        values=values,
    )
