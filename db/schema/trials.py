"""Reading and finishing trials: their rows together with the rows of their values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, and_, bindparam, exists, insert, select, tuple_, update
from sqlalchemy.orm import Session, aliased

from db.schema.base import database_now
from db.schema.convert import trial_of
from db.schema.study_rows import FrontMemberRow, StudyRow, TrialRow, TrialValueRow
from nas.types import Evaluation, Study, Trial, TrialState
from searchspaces.space import Arch

# Values are asked for by the keys of their trials: joined, SQLite reads all values of a study for a few.
VALUE_KEY = tuple_(TrialValueRow.study_id, TrialValueRow.number)
ON_FRONT = tuple_(TrialRow.study_id, TrialRow.number).in_(
    select(FrontMemberRow.study_id, FrontMemberRow.number)
)


def load_trials(session: Session, study: Study, *conditions: ColumnElement[bool]) -> list[Trial]:
    """The study's trials that meet the conditions on TrialRow, by number."""
    statement = select(TrialRow).where(TrialRow.study_id == study.id, *conditions)
    rows = session.scalars(statement.order_by(TrialRow.number)).all()
    return with_values(session, study, rows, *conditions)


def with_values(
    session: Session, study: Study, rows: Sequence[TrialRow], *conditions: ColumnElement[bool]
) -> list[Trial]:
    """The trials of these rows; ``conditions`` on TrialRow admit at least these."""
    statement = select(TrialValueRow.number, TrialValueRow.metric, TrialValueRow.value)
    statement = statement.where(TrialValueRow.study_id == study.id)
    if conditions:
        keys = select(TrialRow.study_id, TrialRow.number).where(TrialRow.study_id == study.id, *conditions)
        statement = statement.where(VALUE_KEY.in_(keys))
    values: defaultdict[int, dict[str, float]] = defaultdict(dict)
    if rows:
        for number, metric, value in session.execute(statement):
            values[number][metric] = value
    return [trial_of(row, study.space, values[row.number]) for row in rows]


def store_finished(session: Session, study: Study, evaluations: Mapping[int, Evaluation]) -> list[Trial]:
    """Finish running trials by number, their values in storable form; the trials in the order given."""
    states = {
        number: TrialState.COMPLETE if evaluation.error is None else TrialState.FAILED
        for number, evaluation in evaluations.items()
    }
    finish = (
        update(TrialRow)
        .where(TrialRow.study_id == study.id, TrialRow.number == bindparam("of_number"))
        .where(TrialRow.state == TrialState.RUNNING.value)
        .values(state=bindparam("to_state"), error=bindparam("with_error"), finished_at=database_now())
    )
    changes = [
        {"of_number": number, "to_state": states[number].value, "with_error": evaluation.error}
        for number, evaluation in evaluations.items()
    ]
    rows = [
        {"study_id": study.id, "number": number, "metric": metric, "value": value}
        for number, evaluation in evaluations.items()
        for metric, value in evaluation.values.items()
    ]
    if changes:
        session.connection().execute(finish, changes)
    if rows:
        session.execute(insert(TrialValueRow), rows)
    return [Trial(number, states[number], evaluation) for number, evaluation in evaluations.items()]


def recalled_values(
    session: Session,
    of_study: ColumnElement[bool],
    archs: Sequence[Arch],
    metrics: Sequence[str],
    where: tuple[str, float],
) -> dict[Arch, dict[str, float]]:
    """Arch to its values of all ``metrics``, from complete trials whose value of one metric is given.

    ``of_study`` is a condition on StudyRow. Of several such trials of an arch the first study's counts.
    """
    wanted = {(arch.space, arch.genes): arch for arch in archs}
    mark, value = where
    marked = exists().where(
        *(TrialValueRow.study_id == TrialRow.study_id, TrialValueRow.number == TrialRow.number),
        *(TrialValueRow.metric == mark, TrialValueRow.value == value),
    )
    values = aliased(TrialValueRow)
    statement = (
        select(StudyRow.space, TrialRow.study_id, TrialRow.genes, values.metric, values.value)
        .join(StudyRow, StudyRow.id == TrialRow.study_id)
        .join(values, and_(values.study_id == TrialRow.study_id, values.number == TrialRow.number))
        .where(of_study, marked, TrialRow.state == TrialState.COMPLETE.value)
        .where(TrialRow.arch_key.in_([arch.key for arch in archs]), values.metric.in_(metrics))
        .order_by(StudyRow.created_at.desc(), TrialRow.study_id.desc())
    )
    rows: defaultdict[tuple[str, tuple[int, ...]], dict[str, dict[str, float]]] = defaultdict(dict)
    for space, study_id, genes, metric, number in session.execute(statement):
        rows[space, tuple(genes)].setdefault(study_id, {})[metric] = number
    found: dict[Arch, dict[str, float]] = {}
    for key, studies in rows.items():
        complete = [row for row in studies.values() if len(row) == len(set(metrics))]
        if key in wanted and complete:
            found[wanted[key]] = complete[-1]
    return found
