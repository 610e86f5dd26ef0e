"""StudyInputs: what a study's questions rest on beside its settings.

The trials of earlier studies that its searcher learned from, and the latency predictors that took
over from the one it began with. Both are stored before anything is asked by them, so that a study
that goes on after a crash asks what it would have asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import exists, insert, or_, select, tuple_
from sqlalchemy.orm import Session

from db.backend.checks import check_integer, check_text, clean_text
from db.backend.upsert import insert_new
from db.evaluations import EvaluatedArch, evaluated_archs
from db.schema.study_rows import LearnedTrialRow, StudyPredictorRow, StudyRow, TrialRow
from db.session import Transactions

MAX_INT32 = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Refinement:
    """Trials from ``first_number`` on have their latency from ``predictor``.

    ``n_measured`` subnets were measured for it; ``reason`` says why none were and it is the one before.
    """

    first_number: int
    predictor: str
    n_measured: int
    reason: str | None = None


class StudyInputs:
    """Learned trials and later predictors of studies. Every method is one transaction."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    def is_begun(self, study_id: str) -> bool:
        """Whether anything was asked for the study, or for a racer of it if it unites a race."""
        of_study = or_(StudyRow.id == study_id, StudyRow.race == study_id)
        asked = select(exists().where(TrialRow.study_id == StudyRow.id, of_study))
        with self._database.read() as session:
            return bool(session.scalar(asked))

    def learn(self, study_id: str, trials: Sequence[EvaluatedArch]) -> None:
        """Store what a study learns from, in the order told; once stored it stays."""
        rows = [
            {"study_id": study_id, "position": position, "from_study": one.study_id, "number": one.number}
            for position, one in enumerate(trials)
        ]

        def work(session: Session) -> None:
            there = select(LearnedTrialRow.position).where(LearnedTrialRow.study_id == study_id)
            if rows and session.scalar(there.limit(1)) is None:
                session.execute(insert(LearnedTrialRow), rows)

        self._database.run_write(work)

    def learned(self, study_id: str) -> list[EvaluatedArch]:
        """What the study learns from, in the order told, with all values but those of devices."""
        row = LearnedTrialRow
        keys = select(row.from_study, row.number).where(row.study_id == study_id)
        is_learned = tuple_(TrialRow.study_id, TrialRow.number).in_(keys)
        with self._database.read() as session:
            found = {(one.study_id, one.number): one for one in evaluated_archs(session, is_learned)}
            in_order = session.execute(keys.order_by(row.position))
            return [found[study, number] for study, number in in_order]

    def refine(self, study_id: str, refinement: Refinement) -> None:
        """Store which predictor takes over where; what is stored for that trial already stays."""
        check_text("predictor", refinement.predictor)
        check_integer("first_number", refinement.first_number, 1, MAX_INT32)
        columns = {
            "study_id": study_id,
            "first_number": refinement.first_number,
            "predictor": refinement.predictor,
            "n_measured": check_integer("n_measured", refinement.n_measured, 0, MAX_INT32),
            "reason": None if refinement.reason is None else clean_text(refinement.reason),
        }
        self._database.run_write(lambda session: insert_new(session, StudyPredictorRow, columns))

    def refinements(self, study_id: str) -> list[Refinement]:
        """Which predictors took over in a study, in order; none for most studies."""
        row = StudyPredictorRow
        statement = select(row).where(row.study_id == study_id).order_by(row.first_number)
        with self._database.read() as session:
            return [
                Refinement(one.first_number, one.predictor, one.n_measured, one.reason)
                for one in session.scalars(statement)
            ]
