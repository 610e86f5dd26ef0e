"""The job that checks a supernet's ranking, on an untrained tiny supernet and digits."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from db.records import Job, JobKind, SupernetRecord
from nas.data.load import load_data
from nas.errors import FidelityError
from nas.fidelity.alone import alone_in
from nas.fidelity.report import FidelityReport
from nas.fidelity.runs import StandaloneRun, StandaloneRuns, load_runs
from nas.supernet.checkpoint import save_supernet
from nas.supernet.supernet import Supernet
from searchspaces.errors import TableError
from searchspaces.registry import get_space
from service.errors import JobStoppedError
from service.jobs.context import JobContext, Reporter, StopFlag
from service.jobs.fidelity import run
from service.jobs.inputs import SPLIT_SEED
from service.schemas.fidelity import FidelityJob
from service.settings import Settings
from service.stores import Stores
from service.validate import payload_of
from tests.service.conftest import SPACE

Submit = Callable[..., Job]


@pytest.fixture
def submit(stores: Stores, settings: Settings) -> Submit:
    """``submit(**body)`` queues a fidelity job of the supernet "s"."""
    torch.manual_seed(0)
    supernet = Supernet(SPACE, n_classes=10, in_channels=1)
    data = load_data("digits", seed=SPLIT_SEED)
    folder = settings.folder / "s"
    info = {"data_digest": data.digest, "seed": 0, "config": {"batch_size": 256}}
    digest = save_supernet(folder, supernet, info=info)
    now = datetime.now(UTC)
    record = SupernetRecord("s", SPACE.id, "digits", 10, 1, 8, str(folder), digest, {}, None, now)
    stores.supernets.put(record)

    def start(**body: Any) -> Job:
        job = FidelityJob(kind="fidelity", supernet="s", images=50, **body)
        return stores.jobs.submit(JobKind.FIDELITY, payload_of(job))

    return start


def context_of(stores: Stores, settings: Settings, seen: list[dict[str, Any]], stop: StopFlag) -> JobContext:
    report = Reporter(lambda data: seen.append(dict(data)))
    return JobContext(settings, stores, report, lambda message: None, stop)


@pytest.fixture
def work(stores: Stores, settings: Settings) -> Callable[[Job], dict[str, Any]]:
    return lambda job: dict(run(job, context_of(stores, settings, [], StopFlag())))


def write_runs(path: Path, n: int = 5) -> Path:
    runs = StandaloneRuns(SPACE.id, {"epochs": 1, "train_images": 100})
    for seed in range(n):
        arch = SPACE.sample(np.random.default_rng(seed))
        runs = runs.with_run(StandaloneRun(arch.key, arch.genes, (seed + 1) / 10, 1.0, 1, 1, 1))
    runs.save(path)
    return path


def test_runs_in_a_file_are_the_truth(
    submit: Submit, work: Callable[[Job], dict[str, Any]], stores: Stores, tmp_path: Path
) -> None:
    job = submit(truth=str(write_runs(tmp_path / "runs.json")))
    result = work(job)
    record = stores.supernets.fidelity(["s"])["s"]
    assert result["fidelity"] == record.report.to_dict()
    assert FidelityReport.from_dict(result["fidelity"]) == record.report
    assert (record.job_id, record.report.subnets, record.report.metric) == (job.id, 5, "top1")
    assert "runs.json" in record.report.truth
    kept = alone_in(Path(stores.supernets.get("s").folder), SPACE)
    assert kept is not None
    assert kept.runs == load_runs(tmp_path / "runs.json")


def test_subnets_are_trained_alone_and_kept_when_the_job_is_stopped(
    submit: Submit, stores: Stores, settings: Settings
) -> None:
    job = submit(train_alone=3, epochs=1, metric="log_likelihood")
    stop, seen = StopFlag(), list[dict[str, Any]]()

    def stop_in_the_second(data: dict[str, Any]) -> None:
        if data["stage"] == "train alone" and data["done"] > data["total"] / 3:
            stop.set()

    context = context_of(stores, settings, seen, stop)
    context.report.store = lambda data: stop_in_the_second(dict(data))
    context.report.clock = iter(range(10**6)).__next__
    with pytest.raises(JobStoppedError, match="subnet 2 of 3"):
        run(job, context)
    assert stores.supernets.fidelity(["s"]) == {}
    (file,) = (settings.folder / "fidelity").iterdir()
    first = json.loads(file.read_text())["runs"]
    assert len(first) == 1
    result = run(job, context_of(stores, settings, seen, StopFlag()))
    assert json.loads(file.read_text())["runs"][0] == first[0]
    assert result["fidelity"]["subnets"] == 3
    assert seen[-1]["stage"] == "estimate"


def test_truth_of_another_space_is_refused_before_anything_is_read(
    submit: Submit, work: Callable[[Job], dict[str, Any]], tmp_path: Path, stores: Stores
) -> None:
    other = get_space("nasbench201")
    choices = [{"name": choice.name, "values": list(choice.values)} for choice in other.choices]
    np.savez(
        tmp_path / "t.npz",
        genes=np.ones((5, 6), np.int16),
        choices=json.dumps(choices),
        top1_cifar10=np.linspace(0.1, 0.5, 5),
    )
    with pytest.raises(TableError, match=r"t\.npz.*hybrid-tiny@1"):
        work(submit(truth=str(tmp_path / "t.npz")))
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(FidelityError, match=r"bad\.json"):
        work(submit(truth=str(tmp_path / "bad.json")))
    assert stores.supernets.fidelity(["s"]) == {}
