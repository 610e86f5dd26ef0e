"""Whatever the stores accept comes back equal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.devices import DeviceStore
from db.ids import new_id
from db.jobs import JobStore
from db.records import JobKind, PredictorRecord, SupernetRecord
from db.session import Database
from db.study_store import SqlStudyStore
from db.supernets import SupernetStore
from nas.types import Constraint, Direction, Evaluation, Objective, Study
from predictors.device import Device
from predictors.sample import LatencySample
from searchspaces.space import Arch

SETTINGS = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
named = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
numbers = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(min_value=0.0, allow_infinity=False)
times = st.datetimes(
    min_value=datetime(1970, 1, 1) - timedelta(days=1),
    max_value=datetime(9999, 1, 1),
    timezones=st.just(UTC),
)
genes = st.lists(st.integers(0, 1000), max_size=10).map(tuple)
counts = st.integers(1, 2**31 - 1)
json_objects = st.dictionaries(
    texts,
    st.recursive(
        st.none() | st.booleans() | numbers | st.integers(-(2**53), 2**53) | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)
metrics = st.dictionaries(texts, numbers, max_size=4)
objectives = st.builds(Objective, texts, st.sampled_from(Direction), numbers)
constraints = st.builds(Constraint, texts, st.none() | numbers, st.none() | numbers)
studies = st.builds(
    Study,
    id=st.builds(lambda text: f"{text}-{new_id()}", texts),
    space=texts,
    objectives=st.lists(objectives, max_size=3).map(tuple),
    searcher=texts,
    budget=counts,
    seed=st.integers(0, 2**63 - 1),
    batch_size=counts,
    constraints=st.lists(constraints, max_size=3).map(tuple),
    supernet=st.none() | texts,
    device=st.none() | texts,
    predictor=st.none() | texts,
)
devices = st.builds(
    Device,
    name=named,
    hardware=texts,
    runtime=texts,
    runtime_version=texts,
    threads=counts,
    precision=texts,
    batch_size=counts,
)


@SETTINGS
@given(studies, genes, metrics, st.none() | texts)
def test_study_and_trial(
    database: Database,
    study: Study,
    arch: tuple[int, ...],
    values: dict[str, float],
    error: str | None,
) -> None:
    store = SqlStudyStore(database)
    store.create_study(study)
    store.create_study(study)
    assert store.get_study(study.id) == study
    complete = dict.fromkeys([x.metric for x in (*study.objectives, *study.constraints)], 0.5)
    evaluation = Evaluation(Arch(study.space, arch), {**complete, **values}, error)
    store.start_trials(study.id, [evaluation.arch])
    finished = store.finish_trial(study.id, 0, evaluation)
    assert finished.evaluation == evaluation
    assert store.list_trials(study.id) == [finished]
    assert store.finish_trial(study.id, 0, evaluation) == finished


@SETTINGS
@given(json_objects, json_objects, json_objects)
def test_job(
    database: Database,
    payload: dict[str, object],
    progress: dict[str, object],
    result: dict[str, object],
) -> None:
    jobs = JobStore(database)
    job = jobs.submit(JobKind.EXTRACT, payload)
    assert job.payload == payload
    held = jobs.claim("w", ttl_s=60)
    assert held is not None
    jobs.progress(held.id, held.epoch, progress)
    done = jobs.succeed(held.id, held.epoch, result)
    assert jobs.get(job.id) == done
    assert (done.payload, done.progress, done.result) == (payload, progress, result)
    assert jobs.events(job.id)[2].data == progress


@SETTINGS
@given(devices, genes, st.lists(positive, min_size=1, max_size=4), st.lists(positive, min_size=1, max_size=4))
def test_device_and_sample(
    database: Database, device: Device, arch: tuple[int, ...], cpu: list[float], wall: list[float]
) -> None:
    store = DeviceStore(database)
    store.put_device(device)
    assert store.get_device(device.name).device == device
    sample = LatencySample(Arch("toy@1", arch), device, tuple(cpu), tuple(wall))
    store.add_samples("digits", [sample], campaign=new_id())
    assert store.list_samples("digits", device.fingerprint)[-1] == sample


@SETTINGS
@given(texts, texts, metrics, times, st.integers(0, 2**31 - 1), st.none() | texts)
def test_supernet_and_predictor(
    database: Database,
    folder: str,
    digest: str,
    quality: dict[str, float],
    created_at: datetime,
    n_samples: int,
    job_id: str | None,
) -> None:
    name = new_id()
    supernet = SupernetRecord(name, "toy@1", "digits", 10, 1, 8, folder, digest, quality, job_id, created_at)
    SupernetStore(database).put(supernet)
    assert SupernetStore(database).get(name) == supernet
    store = DeviceStore(database)
    device = Device(name, "a processor", "eager", "1")
    store.put_device(device)
    predictor = PredictorRecord(
        name,
        name,
        device.fingerprint,
        name,
        "toy@1",
        "latency_ms",
        folder,
        digest,
        quality,
        n_samples,
        created_at,
    )
    store.put_predictor(predictor)
    assert store.latest_predictor(name, name) == store.get_predictor(name) == predictor
