"""EvaluationStore: everything that was ever evaluated of a supernet, whatever study asked for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, select, tuple_
from sqlalchemy.orm import Session

from db.schema.study_rows import StudyRow, TrialRow, TrialValueRow
from db.session import Transactions
from nas.types import TrialState
from searchspaces.space import Arch

OF_DEVICES = "latency%"  # metrics that belong to the device that a study searched for


@dataclass(frozen=True, slots=True)
class EvaluatedArch:
    """A complete trial with its values, those apart that belong to the study's device."""

    study_id: str
    number: int
    arch: Arch
    values: Mapping[str, float]


class EvaluationStore:
    """Evaluations of supernets, across studies."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    def supernets(self) -> list[str]:
        """Names of the supernets that any study evaluated."""
        statement = select(StudyRow.supernet).where(StudyRow.supernet.is_not(None)).distinct()
        with self._database.read() as session:
            return sorted(name for name in session.scalars(statement) if name is not None)

    def of_supernet(self, supernet: str) -> list[EvaluatedArch]:
        """All complete trials of the supernet's archs, by study, oldest first; perhaps an arch twice."""
        with self._database.read() as session:
            return evaluated_archs(session, StudyRow.supernet == supernet)

    def newest(self, supernet: str, *, where: tuple[str, float], limit: int) -> list[EvaluatedArch]:
        """The ``limit`` newest complete trials of the supernet's archs, oldest first; each arch once.

        Only trials whose value of the metric ``where[0]`` is ``where[1]`` count, and no racer's, for
        the study of its race holds them too.
        """
        metric, value = where
        newest = (
            select(TrialValueRow.study_id, TrialValueRow.number)
            .join(StudyRow, StudyRow.id == TrialValueRow.study_id)
            .where(StudyRow.supernet == supernet, StudyRow.race.is_(None))
            .where(TrialValueRow.metric == metric, TrialValueRow.value == value)
            .order_by(StudyRow.created_at.desc(), StudyRow.id.desc(), TrialValueRow.number.desc())
            .limit(limit)
        )
        with self._database.read() as session:
            found = evaluated_archs(session, tuple_(TrialRow.study_id, TrialRow.number).in_(newest))
        first: dict[Arch, EvaluatedArch] = {}
        for one in found:
            first.setdefault(one.arch, one)
        return list(first.values())


def evaluated_archs(session: Session, *conditions: ColumnElement[bool]) -> list[EvaluatedArch]:
    """The complete trials that meet the conditions on StudyRow and TrialRow, by study, oldest first."""
    statement = (
        select(StudyRow.space, TrialRow.study_id, TrialRow.number, TrialRow.genes)
        .add_columns(TrialValueRow.metric, TrialValueRow.value)
        .join(StudyRow, StudyRow.id == TrialRow.study_id)
        .join(
            TrialValueRow,
            and_(TrialValueRow.study_id == TrialRow.study_id, TrialValueRow.number == TrialRow.number),
        )
        .where(*conditions, TrialRow.state == TrialState.COMPLETE.value)
        .where(TrialValueRow.metric.not_like(OF_DEVICES))
        .order_by(StudyRow.created_at, TrialRow.study_id, TrialRow.number)
    )
    archs: dict[tuple[str, int], Arch] = {}
    values: defaultdict[tuple[str, int], dict[str, float]] = defaultdict(dict)
    for space, study_id, number, genes, metric, value in session.execute(statement):
        key = study_id, number
        if key not in archs:
            archs[key] = Arch(space, tuple(genes))
        values[key][metric] = value
    return [EvaluatedArch(*key, arch, values[key]) for key, arch in archs.items()]
