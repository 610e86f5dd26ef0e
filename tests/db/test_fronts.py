"""Stored fronts: equal to a recomputation after any history, and what is asked of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from db.devices import DeviceStore
from db.errors import InvalidCursorError, InvalidRecordError, SubnetNotFoundError
from db.ids import new_id
from db.session import Database
from db.study_store import SqlStudyStore
from nas.errors import StudyNotFoundError, TrialNotFoundError
from nas.types import Constraint, Direction, Evaluation, Objective, Study, TrialState
from predictors.device import Device
from predictors.sample import LatencySample
from searchspaces.space import Arch
from tests.contracts.toy import LIMIT, toy_space, toy_study

ARCHS = tuple(toy_space().archs())
DEVICE = Device("host-eager", "a processor", "eager", "2.13")
Point = tuple[float, float]  # top1, latency_ms


@pytest.fixture
def store(database: Database) -> SqlStudyStore:
    return SqlStudyStore(database)


def searched(
    store: SqlStudyStore,
    points: Sequence[Point],
    study_id: str = "s1",
    first: int = 0,
    supernet: str = "digits",
    device: str = "host-eager",
) -> Study:
    """A study whose trials number 0, 1, … have these values and the archs from ``first`` on."""
    study = toy_study(study_id, supernet=supernet, device=device)
    store.create_study(study)
    archs = ARCHS[first : first + len(points)]
    store.start_trials(study_id, archs)
    for number, (arch, (top1, latency_ms)) in enumerate(zip(archs, points, strict=True)):
        interval = {"latency_low_ms": latency_ms - 0.5, "latency_high_ms": latency_ms + 0.5}
        values = {"top1": top1, "latency_ms": latency_ms, **interval}
        store.finish_trial(study_id, number, Evaluation(arch, values))
    return study


scores = st.sampled_from([0.0, -0.0, 0.25, 0.5, 0.75, 1.0])
bounds = st.none() | scores


@st.composite
def histories(draw: st.DrawFn) -> tuple[Study, list[Evaluation], list[int]]:
    metrics = ["top1", "latency_ms", "macs"]
    used = draw(st.lists(st.sampled_from(metrics), min_size=1, max_size=3, unique=True))
    objectives = tuple(Objective(m, draw(st.sampled_from(Direction)), 0.0) for m in used)
    constraints = tuple(
        Constraint(m, draw(bounds), draw(bounds)) for m in draw(st.lists(st.sampled_from(metrics)))
    )
    study = Study(new_id(), "toy@1", objectives, "random", 30, 0, constraints=constraints)
    evaluations = []
    for arch in draw(st.lists(st.sampled_from(ARCHS), max_size=12)):
        error = draw(st.none() | st.none() | st.none() | st.just("broken"))
        evaluations.append(
            Evaluation(arch, {m: draw(scores) for m in metrics} if error is None else {}, error)
        )
    order = draw(st.permutations(range(len(evaluations))))
    return study, evaluations, order[: draw(st.integers(0, len(order)))]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories())
def test_stored_front_equals_recomputation(
    sqlite_database: Database, history: tuple[Study, list[Evaluation], list[int]]
) -> None:
    store = SqlStudyStore(sqlite_database)
    study, evaluations, order = history
    store.create_study(study)
    store.start_trials(study.id, [evaluation.arch for evaluation in evaluations])
    for number in order:
        store.finish_trial(study.id, number, evaluations[number])
    assert store.check_fronts() == []
    for trial in store.front(study.id):
        assert trial.state is TrialState.COMPLETE
        assert all(c.violation(trial.evaluation.values[c.metric]) == 0.0 for c in study.constraints)


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM front_members WHERE number = 1",
        "INSERT INTO front_members (study_id, number) VALUES ('s1', 0)",
    ],
)
def test_checker_finds_a_wrong_front(store: SqlStudyStore, database: Database, damage: str) -> None:
    searched(store, [(0.5, 3.0), (0.6, 2.0)])
    searched(store, [(0.5, 3.0)], "s2")
    assert store.check_fronts() == []
    with database.write() as session:
        session.execute(text(damage))
    assert store.check_fronts() == ["s1"]


def test_database_itself_refuses_what_is_not_finite(store: SqlStudyStore, database: Database) -> None:
    store.create_study(toy_study())
    store.start_trials("s1", ARCHS[:1])
    infinity = "9e999" if database.backend == "sqlite" else "'infinity'::double precision"
    for value in (infinity, "NULL" if database.backend == "sqlite" else "'nan'::double precision"):
        with pytest.raises(DBAPIError), database.write() as session:
            session.execute(text(f"INSERT INTO trial_values VALUES ('s1', 0, 'top1', {value})"))


def test_database_itself_keeps_finished_trials_final(store: SqlStudyStore, database: Database) -> None:
    searched(store, [(0.5, 3.0)])
    with pytest.raises(DBAPIError, match="final"), database.write() as session:
        session.execute(text("UPDATE trials SET arch_key = 'other'"))


def test_point_of_a_front(store: SqlStudyStore) -> None:
    searched(store, [(0.5, 2.0)])
    [point] = store.fronts()
    assert point.arch == ARCHS[0]
    assert point.subnet_id == f"digits:{ARCHS[0].key}"
    assert (point.study_id, point.supernet, point.device, point.number) == ("s1", "digits", "host-eager", 0)
    assert (point.top1, point.latency_ms, point.latency_source) == (0.5, 2.0, "predicted")
    assert (point.predicted_latency_ms, point.latency_low_ms, point.latency_high_ms) == (2.0, 1.5, 2.5)
    assert (point.measured_latency_ms, point.test_top1) == (None, None)
    assert point.values == {"top1": 0.5, "latency_ms": 2.0, "latency_low_ms": 1.5, "latency_high_ms": 2.5}


def test_measured_values_take_the_place_of_predicted_ones(store: SqlStudyStore) -> None:
    searched(store, [(0.5, 2.0), (0.6, 3.0)])
    store.record_measured("s1", 0, latency_ms=2.5)
    store.record_measured("s1", 0, top1_test=0.45)
    point = store.fronts()[0]
    assert (point.latency_ms, point.latency_source, point.predicted_latency_ms) == (2.5, "measured", 2.0)
    assert point.test_top1 == 0.45
    assert [p.number for p in store.fronts(max_latency_ms=2.2)] == []
    store.record_measured("s1", 0, latency_ms=3.5)  # slower than the better one: it leads nowhere
    assert [p.number for p in store.fronts()] == [1]
    assert store.check_fronts() == []  # the stored front is about what the search saw


def test_measuring_needs_a_member_and_sense(store: SqlStudyStore) -> None:
    searched(store, [(0.5, 2.0), (0.4, 3.0)])
    with pytest.raises(StudyNotFoundError, match="nope"):
        store.record_measured("nope", 0, latency_ms=1.0)
    for number in (1, 2, -1, 2**40):
        with pytest.raises(TrialNotFoundError, match=str(number)):
            store.record_measured("s1", number, latency_ms=1.0)
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InvalidRecordError, match="latency_ms"):
            store.record_measured("s1", 0, latency_ms=bad)
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(InvalidRecordError, match="top1_test"):
            store.record_measured("s1", 0, latency_ms=1.0, top1_test=bad)
    assert store.fronts()[0].measured_latency_ms is None


def test_fronts_of_studies_are_merged_per_supernet_and_device(store: SqlStudyStore) -> None:
    searched(store, [(0.5, 2.0), (0.7, 4.0)], "a")
    searched(store, [(0.6, 2.0), (0.65, 5.0)], "b", first=2)
    searched(store, [(0.1, 9.0)], "c", first=4, device="phone")
    merged = store.fronts()
    assert [(p.study_id, p.number) for p in merged] == [("b", 0), ("a", 1), ("c", 0)]
    assert [p.study_id for p in store.fronts(device="phone")] == ["c"]
    assert [(p.study_id, p.number) for p in store.fronts(study="a")] == [("a", 0), ("a", 1)]
    assert [p.number for p in store.fronts(device="host-eager", max_latency_ms=4.0, min_top1=0.65)] == [1]
    assert store.fronts(supernet="other") == []


def test_arch_found_twice_counts_once_and_measured_wins(store: SqlStudyStore) -> None:
    searched(store, [(0.5, 2.0)], "a")
    searched(store, [(0.5, 2.0)], "b")
    assert [p.study_id for p in store.fronts()] == ["b"]
    store.record_measured("a", 0, latency_ms=2.1)
    assert [(p.study_id, p.latency_ms) for p in store.fronts()] == [("a", 2.1)]


def test_equal_points_of_different_archs_both_stay(store: SqlStudyStore) -> None:
    searched(store, [(0.5, 2.0), (0.5, 2.0)])
    assert len(store.fronts()) == 2


def test_slower_point_of_equal_accuracy_is_left_out_of_the_union(store: SqlStudyStore) -> None:
    searched(store, [(0.5, 2.0)], "a")
    searched(store, [(0.5, 3.0)], "b", first=1)
    searched(store, [(0.4, 2.0)], "c", first=2)
    assert [p.study_id for p in store.fronts()] == ["a"]


def test_studies_without_device_or_latency_have_no_part(store: SqlStudyStore) -> None:
    plain = toy_study("plain")
    costs = Study(
        "costs",
        "toy@1",
        (Objective("macs", Direction.MINIMIZE, 9.0),),
        "random",
        5,
        0,
        supernet="n",
        device="d",
    )
    for study in (plain, costs):
        store.create_study(study)
        store.start_trials(study.id, ARCHS[:1])
    store.finish_trial("plain", 0, Evaluation(ARCHS[0], {"top1": 0.5, "latency_ms": 1.0}))
    store.finish_trial("costs", 0, Evaluation(ARCHS[0], {"macs": 5.0}))
    assert store.fronts() == []
    assert len(store.front("costs")) == 1


def test_arch_is_found_by_key_among_trials_and_samples(store: SqlStudyStore, database: Database) -> None:
    searched(store, [(0.5, 2.0)])
    DeviceStore(database).add_samples(
        "digits", [LatencySample(ARCHS[5], DEVICE, (1.0,), (1.0,))], campaign="c"
    )
    assert store.find_arch("digits", ARCHS[0].key) == ARCHS[0]
    assert store.find_arch("digits", ARCHS[5].key) == ARCHS[5]
    for supernet, arch in (("digits", ARCHS[1]), ("other", ARCHS[0])):
        with pytest.raises(SubnetNotFoundError, match=arch.key):
            store.find_arch(supernet, arch.key)


def test_studies_are_listed_newest_first_in_pages(store: SqlStudyStore) -> None:
    for i in range(5):
        store.create_study(toy_study(f"s{i}", supernet=f"net{i % 2}", device="d"))
    first = store.list_studies(limit=3)
    second = store.list_studies(limit=3, cursor=first.next_cursor)
    assert sorted(s.id for s in first.items + second.items) == [f"s{i}" for i in range(5)]
    assert second.next_cursor is None
    assert {s.id for s in store.list_studies(supernet="net1").items} == {"s1", "s3"}
    assert store.list_studies(device="other").items == []


def test_trials_are_listed_in_pages(store: SqlStudyStore) -> None:
    searched(store, [(0.1 * i, float(i)) for i in range(5)])
    store.start_trials("s1", [Arch("toy@1", ARCHS[9].genes)])
    everything = store.list_trials("s1")
    first = store.page_trials("s1", limit=4)
    assert first.items == everything[:4]
    assert store.page_trials("s1", limit=4, cursor=first.next_cursor).items == everything[4:]
    assert store.page_trials("s1", state=TrialState.RUNNING).items == everything[5:]
    with pytest.raises(InvalidCursorError):
        store.page_trials("s1", state=TrialState.RUNNING, cursor=first.next_cursor)
    with pytest.raises(StudyNotFoundError):
        store.page_trials("nope")


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": -1},
        {"seed": 2**63},
        {"budget": 2**31},
        {"supernet": "nul\0"},
        {"constraints": (Constraint("top1", minimum=float("nan")),)},
    ],
)
def test_settings_that_cannot_be_stored_are_refused(store: SqlStudyStore, changes: dict[str, object]) -> None:
    with pytest.raises(InvalidRecordError):
        store.create_study(toy_study(**changes))  # type: ignore[arg-type]
    assert store.list_studies().items == []


def test_constraint_of_the_study_keeps_points_off_the_front(store: SqlStudyStore) -> None:
    store.create_study(toy_study(constraints=(LIMIT,), supernet="digits", device="d"))
    store.start_trials("s1", ARCHS[:1])
    store.finish_trial("s1", 0, Evaluation(ARCHS[0], {"top1": 0.9, "latency_ms": 6.5}))
    assert store.fronts() == []
