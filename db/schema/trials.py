"""Reading trials: their rows together with the rows of their values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, exists, select
from sqlalchemy.orm import Session

from db.schema.convert import trial_of
from db.schema.study_rows import FrontMemberRow, TrialRow, TrialValueRow
from nas.types import Study, Trial

OF_TRIAL = and_(TrialValueRow.study_id == TrialRow.study_id, TrialValueRow.number == TrialRow.number)
ON_FRONT = exists().where(
    FrontMemberRow.study_id == TrialRow.study_id, FrontMemberRow.number == TrialRow.number
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
    statement = (
        select(TrialValueRow.number, TrialValueRow.metric, TrialValueRow.value)
        .join(TrialRow, OF_TRIAL)
        .where(TrialRow.study_id == study.id, *conditions)
    )
    values: defaultdict[int, dict[str, float]] = defaultdict(dict)
    if rows:
        for number, metric, value in session.execute(statement):
            values[number][metric] = value
    return [trial_of(row, study.space, values[row.number]) for row in rows]
