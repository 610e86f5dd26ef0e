"""Supernets, devices, samples, predictors and artifacts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from db.artifacts import ArtifactStore
from db.devices import DeviceStore
from db.errors import (
    ArtifactExistsError,
    ArtifactNotFoundError,
    DeviceNotFoundError,
    InvalidRecordError,
    PredictorExistsError,
    PredictorNotFoundError,
    SupernetExistsError,
    SupernetNotFoundError,
)
from db.ids import new_id
from db.records import ArtifactRecord, FidelityRecord, PredictorRecord, SupernetRecord
from db.session import Database
from db.supernets import SupernetStore
from nas.fidelity.report import Agreement, FidelityReport, Interval
from predictors.device import Device
from predictors.sample import LatencySample
from tests.contracts.toy import toy_space

NOW = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
DEVICE = Device("host-eager", "a processor, x86_64, 2 cores", "eager", "2.13.0")
ARCHS = tuple(toy_space().archs())
BAD_NAMES = ["", "../../x", "a b", ".hidden", "a/b", "a\0b", "ä", "x" * 101, "a\n"]
SUPERNET = SupernetRecord(
    "digits", "toy@1", "digits", 10, 1, 8, "/data/digits", "ab" * 32, {"top1": 0.9}, "job", NOW
)


def sample(i: int, device: Device = DEVICE, ms: float = 1.5) -> LatencySample:
    return LatencySample(ARCHS[i], device, (ms, ms + 0.25), (ms + 1.0, ms + 2.0))


def predictor(minutes: int = 0, device: Device = DEVICE, **changes: object) -> PredictorRecord:
    record = PredictorRecord(
        new_id(),
        device.name,
        device.fingerprint,
        "digits",
        "toy@1",
        "latency_ms",
        "/data/p",
        "cd" * 32,
        {"spearman": 0.98},
        80,
        NOW + timedelta(minutes=minutes),
    )
    return replace(record, **changes)  # type: ignore[arg-type]


def fidelity_record(minutes: int = 0, **changes: object) -> FidelityRecord:
    report = FidelityReport(
        space="toy@1",
        supernet="digits",
        subnets=40,
        metric="top1",
        truth="a table",
        spearman=0.9,
        kendall_tau=0.7,
        interval=Interval((0.8, 0.95), (0.6, 0.8)),
        top_regret=0.01,
        seed=0,
        resamples=100,
        proxies={"params": Agreement(0.5, 0.4)},
    )
    record = FidelityRecord("digits", report, "job", NOW + timedelta(minutes=minutes))
    return replace(record, **changes)  # type: ignore[arg-type]


class TestFidelity:
    @pytest.fixture
    def store(self, database: Database) -> SupernetStore:
        store = SupernetStore(database)
        store.put(SUPERNET)
        return store

    def test_comes_back_equal(self, store: SupernetStore) -> None:
        assert store.fidelity(["digits"]) == {}
        store.put_fidelity(fidelity_record())
        assert store.fidelity(["digits", "none", "digits"]) == {"digits": fidelity_record()}

    def test_the_newest_report_counts(self, store: SupernetStore) -> None:
        store.put_fidelity(fidelity_record())
        newer = fidelity_record(5, report=replace(fidelity_record().report, spearman=0.5), job_id=None)
        store.put_fidelity(newer)
        assert store.fidelity(["digits"]) == {"digits": newer}

    def test_a_report_that_cannot_be_stored_changes_nothing(self, store: SupernetStore) -> None:
        store.put_fidelity(fidelity_record())
        with pytest.raises(SupernetNotFoundError, match="nobody"):
            store.put_fidelity(fidelity_record(supernet="nobody"))
        with pytest.raises(InvalidRecordError, match="report"):
            store.put_fidelity(
                fidelity_record(report=replace(fidelity_record().report, spearman=float("nan")))
            )
        assert store.fidelity(["digits", "nobody"]) == {"digits": fidelity_record()}


class TestSupernets:
    @pytest.fixture
    def store(self, database: Database) -> SupernetStore:
        return SupernetStore(database)

    def test_comes_back_equal(self, store: SupernetStore) -> None:
        store.put(SUPERNET)
        assert store.get("digits") == SUPERNET

    def test_same_weights_again_change_nothing(self, store: SupernetStore) -> None:
        store.put(SUPERNET)
        store.put(replace(SUPERNET, created_at=NOW + timedelta(days=1)))
        assert store.get("digits") == SUPERNET

    def test_other_weights_are_refused(self, store: SupernetStore) -> None:
        store.put(SUPERNET)
        with pytest.raises(SupernetExistsError, match="digits"):
            store.put(replace(SUPERNET, digest="cd" * 32))
        assert store.get("digits") == SUPERNET

    def test_unknown_is_named(self, store: SupernetStore) -> None:
        with pytest.raises(SupernetNotFoundError, match="nope"):
            store.get("nope")

    @pytest.mark.parametrize("name", BAD_NAMES)
    def test_bad_names_are_refused(self, store: SupernetStore, name: str) -> None:
        with pytest.raises(InvalidRecordError, match="supernet"):
            store.put(replace(SUPERNET, name=name))
        assert store.list().items == []

    def test_metrics_must_be_finite(self, store: SupernetStore) -> None:
        with pytest.raises(InvalidRecordError, match="metrics"):
            store.put(replace(SUPERNET, metrics={"top1": float("nan")}))

    def test_listed_by_name_in_pages(self, store: SupernetStore) -> None:
        for name in ("c", "a", "b"):
            store.put(replace(SUPERNET, name=name))
        first = store.list(limit=2)
        assert [s.name for s in first.items] == ["a", "b"]
        rest = store.list(limit=2, cursor=first.next_cursor)
        assert ([s.name for s in rest.items], rest.next_cursor) == (["c"], None)


class TestDevices:
    @pytest.fixture
    def store(self, database: Database) -> DeviceStore:
        return DeviceStore(database)

    def test_comes_back_equal(self, store: DeviceStore) -> None:
        store.put_device(DEVICE, allowed_kinds=("conv", "attention"))
        record = store.get_device("host-eager")
        assert (record.device, record.allowed_kinds) == (DEVICE, ("conv", "attention"))
        assert store.list_devices().items == [record]

    def test_unknown_is_named(self, store: DeviceStore) -> None:
        with pytest.raises(DeviceNotFoundError, match="nope"):
            store.get_device("nope")

    @pytest.mark.parametrize("name", BAD_NAMES)
    def test_bad_names_are_refused(self, store: DeviceStore, name: str) -> None:
        with pytest.raises(InvalidRecordError, match="device"):
            store.put_device(replace(DEVICE, name=name))

    def test_device_that_changed_keeps_its_old_samples_and_loses_its_predictor(
        self, store: DeviceStore
    ) -> None:
        store.put_device(DEVICE)
        store.add_samples("digits", [sample(0)], campaign="c")
        store.put_predictor(predictor())
        newer = replace(DEVICE, runtime_version="2.14.0")
        store.put_device(newer)
        assert store.get_device("host-eager").device == newer
        assert store.list_samples("digits", DEVICE.fingerprint) == [sample(0)]
        assert store.list_samples("digits", newer.fingerprint) == []
        with pytest.raises(PredictorNotFoundError, match="as it is now"):
            store.latest_predictor("digits", "host-eager")
        store.put_device(DEVICE)
        assert store.latest_predictor("digits", "host-eager").fingerprint == DEVICE.fingerprint

    def test_samples_come_back_equal_and_in_order(self, store: DeviceStore) -> None:
        samples = [sample(i, ms=0.1 + i) for i in (3, 1, 2)]
        assert store.add_samples("digits", samples, campaign="c") == 3
        assert store.list_samples("digits", DEVICE.fingerprint) == samples
        assert store.list_samples("other", DEVICE.fingerprint) == []

    def test_campaign_keeps_its_first_times(self, store: DeviceStore) -> None:
        store.add_samples("digits", [sample(0)], campaign="c")
        assert store.add_samples("digits", [sample(0, ms=9.0), sample(1)], campaign="c") == 1
        assert store.list_samples("digits", DEVICE.fingerprint) == [sample(0), sample(1)]

    def test_another_campaign_measures_again(self, store: DeviceStore) -> None:
        for campaign in ("first", "second"):
            store.add_samples("digits", [sample(0)], campaign=campaign)
        assert store.list_samples("digits", DEVICE.fingerprint) == [sample(0)] * 2

    @pytest.mark.parametrize("times", [(), (float("nan"),), (1.0, -1.0), (float("inf"),)])
    def test_bad_times_store_nothing(self, store: DeviceStore, times: tuple[float, ...]) -> None:
        with pytest.raises(InvalidRecordError, match="cpu_ms"):
            store.add_samples("digits", [sample(0), replace(sample(1), cpu_ms=times)], campaign="c")
        assert store.list_samples("digits", DEVICE.fingerprint) == []

    def test_newest_predictor_of_the_metric_wins(self, store: DeviceStore) -> None:
        store.put_device(DEVICE)
        old, new, other = predictor(0), predictor(2), predictor(3, metric="energy_mj")
        for record in (new, old, other):
            store.put_predictor(record)
        assert store.latest_predictor("digits", "host-eager") == new
        assert store.latest_predictor("digits", "host-eager", "energy_mj") == other
        assert store.list_predictors().items == [other, new, old]
        assert store.list_predictors("nope").items == []
        page = store.list_predictors(device="host-eager", limit=2)
        assert store.list_predictors(device="host-eager", limit=2, cursor=page.next_cursor).items == [old]

    def test_predictor_is_stored_once(self, store: DeviceStore) -> None:
        record = predictor()
        store.put_predictor(record)
        store.put_predictor(record)
        with pytest.raises(PredictorExistsError, match=record.id):
            store.put_predictor(replace(record, n_samples=81))
        assert store.list_predictors().items == [record]


class TestArtifacts:
    FILE = ArtifactRecord("ab" * 32, 2**40, "application/octet-stream", "model.onnx", "job", NOW)

    @pytest.fixture
    def store(self, database: Database) -> ArtifactStore:
        return ArtifactStore(database)

    def test_comes_back_equal(self, store: ArtifactStore) -> None:
        store.put(self.FILE)
        store.put(self.FILE)
        assert store.get(self.FILE.sha256) == self.FILE
        assert store.list_for_job("job") == [self.FILE]

    def test_file_without_a_job(self, store: ArtifactStore) -> None:
        store.put(replace(self.FILE, job_id=None))
        assert store.get(self.FILE.sha256).job_id is None

    def test_two_jobs_may_make_the_same_file(self, store: ArtifactStore) -> None:
        other = replace(self.FILE, job_id="job2", name="again.onnx", created_at=NOW + timedelta(hours=1))
        store.put(self.FILE)
        store.put(other)
        assert store.get(self.FILE.sha256) == self.FILE
        assert store.list_for_job("job2") == [other]

    def test_another_size_is_refused(self, store: ArtifactStore) -> None:
        store.put(self.FILE)
        with pytest.raises(ArtifactExistsError, match=self.FILE.sha256):
            store.put(replace(self.FILE, size=1, name="other"))
        assert store.list_for_job("job") == [self.FILE]

    def test_unknown_is_named(self, store: ArtifactStore) -> None:
        with pytest.raises(ArtifactNotFoundError, match="nope"):
            store.get("nope")
        assert store.list_for_job("nope") == []

    @pytest.mark.parametrize(
        ("field", "value"), [("sha256", "AB" * 32), ("sha256", "ab"), ("size", -1), ("name", "a\0b")]
    )
    def test_bad_fields_are_named(self, store: ArtifactStore, field: str, value: object) -> None:
        with pytest.raises(InvalidRecordError, match=field):
            store.put(replace(self.FILE, **{field: value}))  # type: ignore[arg-type]


def test_odd_names_are_not_found_and_never_a_defect(database: Database) -> None:
    for name in ("", "../../x", "'; DROP TABLE jobs; --", "x" * 10_000, "%"):
        with pytest.raises(SupernetNotFoundError):
            SupernetStore(database).get(name)
    with pytest.raises((SupernetNotFoundError, InvalidRecordError)):
        SupernetStore(database).get("nul\0")
