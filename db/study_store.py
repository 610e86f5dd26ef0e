"""SqlStudyStore: nas.store.StudyStore over a database, and questions across studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import ColumnElement, insert, select, update
from sqlalchemy.orm import Session

from db.backend.checks import check_finite, check_integer, check_positive, check_text, clean_text
from db.backend.cursor import Keyset
from db.backend.upsert import insert_new
from db.errors import InvalidRecordError, SubnetNotFoundError
from db.fronts import admit, effective_latency, front_points, is_stored_front_right, nondominated_union
from db.records import FrontPoint, Page
from db.schema.base import database_now
from db.schema.convert import study_columns, study_of
from db.schema.registry_rows import LatencySampleRow
from db.schema.study_rows import FrontMemberRow, StudyRow, TrialRow
from db.schema.trials import ON_FRONT, load_trials, recalled_values, store_finished, with_values
from db.session import Transactions
from nas.errors import StudyExistsError, StudyNotFoundError, TrialFinishedError, TrialNotFoundError
from nas.store import check_archs, check_evaluation
from nas.types import Evaluation, Study, Trial, TrialState
from searchspaces.space import Arch

NEWEST_FIRST = Keyset("studies", (StudyRow.created_at, StudyRow.id), descending=True)
BY_NUMBER = Keyset("trials", (TrialRow.number,))
MAX_INT32 = 2**31 - 1
RECALLED_AT_ONCE = 10_000  # archs per query: databases bound the number of a statement's parameters


class SqlStudyStore:
    """Studies, trials and fronts. Over ``Database.fenced`` it writes for the holder of a job only.

    The study's row is locked by every write to the study, so trials are numbered densely and the
    front is updated by one trial at a time, whatever number of processes report.
    """

    def __init__(self, database: Transactions) -> None:
        self._database = database

    def create_study(self, study: Study) -> None:
        """See StudyStore. Raises InvalidRecordError for settings that cannot be stored."""
        _check_study(study)
        columns = {**study_columns(study), "next_number": 0, "created_at": database_now()}

        def work(session: Session) -> None:
            if not insert_new(session, StudyRow, columns) and _study(session, study.id) != study:
                raise StudyExistsError(f"study {study.id!r} exists with other settings")

        self._database.run_write(work)

    def get_study(self, study_id: str) -> Study:
        """See StudyStore."""
        with self._database.read() as session:
            return _study(session, study_id)

    def list_studies(
        self,
        supernet: str | None = None,
        device: str | None = None,
        race: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Study]:
        """Studies, newest first; ``race`` is the id of the study that unites one.

        Raises InvalidCursorError and InvalidRecordError (limit).
        """
        conditions = _of(supernet, device, None)
        if race is not None:
            conditions.append(StudyRow.race == race)
        statement = select(StudyRow).where(*conditions)
        filters = {"supernet": supernet, "device": device, "race": race}
        with self._database.read() as session:
            return NEWEST_FIRST.page(
                session, statement, study_of, limit=limit, cursor=cursor, filters=filters
            )

    def start_trials(self, study_id: str, archs: Sequence[Arch]) -> list[Trial]:
        """See StudyStore."""

        def work(session: Session) -> list[Trial]:
            study = _study(session, study_id, lock=True)
            check_archs(study, archs)
            following = update(StudyRow).where(StudyRow.id == study_id)
            following = following.values(next_number=StudyRow.next_number + len(archs))
            first = session.scalars(following.returning(StudyRow.next_number)).one() - len(archs)
            rows = [
                {
                    "study_id": study_id,
                    "number": first + i,
                    "state": TrialState.RUNNING.value,
                    "arch_key": arch.key,
                    "genes": list(arch.genes),
                }
                for i, arch in enumerate(archs)
            ]
            if rows:
                session.execute(insert(TrialRow).values(started_at=database_now()), rows)
            return [Trial(first + i, TrialState.RUNNING, Evaluation(arch)) for i, arch in enumerate(archs)]

        return self._database.run_write(work)

    def finish_trial(self, study_id: str, number: int, evaluation: Evaluation) -> Trial:
        """See StudyStore."""
        return self.finish_trials(study_id, {number: evaluation})[0]

    def finish_trials(self, study_id: str, evaluations: Mapping[int, Evaluation]) -> list[Trial]:
        """See StudyStore."""
        storable = {number: _storable(evaluation) for number, evaluation in evaluations.items()}

        def work(session: Session) -> list[Trial]:
            study = _study(session, study_id, lock=True)
            trials = _trials(session, study, list(storable))
            for number, evaluation in storable.items():
                check_evaluation(study, trials[number], evaluation)
                is_new = trials[number].state is TrialState.RUNNING
                if not is_new and trials[number].evaluation != evaluation:
                    raise TrialFinishedError(
                        f"trial {number} of study {study_id!r} is finished with another evaluation"
                    )
            running = [number for number in storable if trials[number].state is TrialState.RUNNING]
            finished = store_finished(session, study, {number: storable[number] for number in running})
            admit(session, study, finished)
            trials |= {trial.number: trial for trial in finished}
            return [trials[number] for number in storable]

        return self._database.run_write(work)

    def list_trials(self, study_id: str) -> list[Trial]:
        """See StudyStore."""
        with self._database.read() as session:
            return load_trials(session, _study(session, study_id))

    def page_trials(
        self, study_id: str, *, state: TrialState | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page[Trial]:
        """Trials by number. Raises StudyNotFoundError, InvalidCursorError, InvalidRecordError (limit)."""
        statement = select(TrialRow).where(TrialRow.study_id == study_id)
        if state is not None:
            statement = statement.where(TrialRow.state == state.value)
        filters = {"study": study_id, "state": state}
        with self._database.read() as session:
            study = _study(session, study_id)
            page = BY_NUMBER.page(
                session, statement, lambda row: row, limit=limit, cursor=cursor, filters=filters
            )
            shown = TrialRow.number.in_([row.number for row in page.items])
            return Page(with_values(session, study, page.items, shown), page.next_cursor)

    def front(self, study_id: str) -> list[Trial]:
        """See StudyStore; read from the stored front."""
        with self._database.read() as session:
            return load_trials(session, _study(session, study_id), ON_FRONT)

    def record_measured(
        self, study_id: str, number: int, *, latency_ms: float | None = None, top1_test: float | None = None
    ) -> None:
        """Add what was measured of a front member; what is None stays as it is.

        Raises InvalidRecordError for a latency not above 0 or an accuracy outside [0, 1],
        StudyNotFoundError, and TrialNotFoundError for a trial that is not on the front.
        """
        measured: dict[str, float] = {}
        if latency_ms is not None:
            measured["measured_latency_ms"] = check_positive("latency_ms", latency_ms)
        if top1_test is not None:
            measured["test_top1"] = check_finite("top1_test", top1_test)
            if not 0.0 <= top1_test <= 1.0:
                raise InvalidRecordError(f"top1_test must lie in [0, 1]; got {top1_test!r}")

        def work(session: Session) -> None:
            _study(session, study_id, lock=True)
            member = session.get(FrontMemberRow, (study_id, number)) if 0 <= number <= MAX_INT32 else None
            if member is None:
                raise TrialNotFoundError(f"study {study_id!r} has no trial {number} on its front")
            for column, value in measured.items():
                setattr(member, column, value)

        self._database.run_write(work)

    def fronts(
        self,
        *,
        device: str | None = None,
        supernet: str | None = None,
        study: str | None = None,
        max_latency_ms: float | None = None,
        min_top1: float | None = None,
    ) -> list[FrontPoint]:
        """The stored fronts that match, merged: see ``db.fronts.nondominated_union``.

        Latency means the measured one where there is one, else the predicted. Studies without a
        supernet or device, or whose trials lack top1 or latency_ms, have no part in it; nor, unless
        it is asked for by its id, has a racer's, because the study of its race holds all it found.
        """
        conditions = _of(supernet, device, study)
        if study is None:
            conditions.append(StudyRow.race.is_(None))
        if max_latency_ms is not None:
            conditions.append(effective_latency <= check_finite("max_latency_ms", max_latency_ms))
        if min_top1 is not None:
            conditions.append(FrontMemberRow.top1 >= check_finite("min_top1", min_top1))
        with self._database.read() as session:
            return nondominated_union(front_points(session, conditions))

    def find_arch(self, supernet: str, arch_key: str) -> Arch:
        """The arch of this key among the supernet's trials and samples; raises SubnetNotFoundError."""
        tried = (
            select(StudyRow.space, TrialRow.genes)
            .join(TrialRow, TrialRow.study_id == StudyRow.id)
            .where(TrialRow.arch_key == arch_key, StudyRow.supernet == supernet)
        )
        measured = select(LatencySampleRow.space, LatencySampleRow.genes).where(
            LatencySampleRow.supernet == supernet, LatencySampleRow.arch_key == arch_key
        )
        with self._database.read() as session:
            found = session.execute(tried.limit(1)).first() or session.execute(measured.limit(1)).first()
        if found is None:
            raise SubnetNotFoundError(
                f"no trial or sample of supernet {supernet!r} has arch key {arch_key!r}"
            )
        return Arch(found.space, tuple(found.genes))

    def recall(
        self, supernet: str, archs: Sequence[Arch], metrics: Sequence[str], *, where: tuple[str, float]
    ) -> dict[Arch, dict[str, float]]:
        """Values of ``metrics`` from the supernet's complete trials of these archs, in any study.

        Only trials that hold all of them count, and only those whose value of the metric ``where[0]``
        is ``where[1]``. Archs that have no such trial are left out.
        """
        found: dict[Arch, dict[str, float]] = {}
        with self._database.read() as session:
            for first in range(0, len(archs), RECALLED_AT_ONCE):
                part = archs[first : first + RECALLED_AT_ONCE]
                found |= recalled_values(session, StudyRow.supernet == supernet, part, metrics, where)
        return found

    def check_fronts(self) -> list[str]:
        """Ids of the studies whose stored front is not the one recomputed from all their trials."""
        with self._database.read() as session:
            ids = session.scalars(select(StudyRow.id).order_by(StudyRow.id)).all()
            return [i for i in ids if not is_stored_front_right(session, _study(session, i))]


def _study(session: Session, study_id: str, *, lock: bool = False) -> Study:
    """The study; ``lock`` keeps other writers of it out until the transaction ends."""
    statement = select(StudyRow).where(StudyRow.id == study_id)
    row = session.scalar(statement.with_for_update(key_share=True) if lock else statement)
    if row is None:
        raise StudyNotFoundError(f"no study {study_id!r}")
    return study_of(row)


def _trials(session: Session, study: Study, numbers: Sequence[int]) -> dict[int, Trial]:
    """The trials of these numbers; raises TrialNotFoundError."""
    possible = [number for number in numbers if 0 <= number <= MAX_INT32]
    found = {trial.number: trial for trial in load_trials(session, study, TrialRow.number.in_(possible))}
    if missing := [number for number in numbers if number not in found]:
        raise TrialNotFoundError(f"study {study.id!r} has no trial {missing[0]}")
    return found


def _storable(evaluation: Evaluation) -> Evaluation:
    values = {check_text("metric", metric): float(value) for metric, value in evaluation.values.items()}
    error = None if evaluation.error is None else clean_text(evaluation.error)
    return replace(evaluation, values=values, error=error)


def _of(supernet: str | None, device: str | None, study: str | None) -> list[ColumnElement[bool]]:
    """Conditions on StudyRow; None matches every study."""
    wanted = ((StudyRow.supernet, supernet), (StudyRow.device, device), (StudyRow.id, study))
    return [column == value for column, value in wanted if value is not None]


def _check_study(study: Study) -> None:
    for field in ("id", "space", "searcher"):
        check_text(field, getattr(study, field))
    for field in ("supernet", "device", "predictor", "race"):
        check_text(field, getattr(study, field) or "")
    for field in ("budget", "batch_size"):
        check_integer(field, getattr(study, field), 0, MAX_INT32)
    check_integer("seed", study.seed)
    for objective in study.objectives:
        check_text("objective", objective.metric)
        check_finite(f"reference of {objective.metric}", objective.reference)
    for constraint in study.constraints:
        check_text("constraint", constraint.metric)
        for bound in (constraint.minimum, constraint.maximum):
            if bound is not None:
                check_finite(f"bound of {constraint.metric}", bound)
