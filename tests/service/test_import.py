"""Trained supernets from folders: what is taken, what is refused, and what can be done without images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from db.ids import new_id
from db.records import Job, JobKind, PredictorRecord
from nas.errors import CheckpointError, ConfigError, DataError, FidelityError
from nas.fidelity.alone import FILE, alone_in
from nas.fidelity.runs import load_runs
from nas.search.knowledge import Knowledge
from nas.search.registry import get_searcher
from nas.search.searcher import Searcher
from nas.supernet.checkpoint import save_supernet
from nas.supernet.supernet import Supernet
from predictors.accuracy.effects import ChoiceEffects, has_effects
from predictors.accuracy.predictor import AccuracyPredictor
from predictors.errors import CorruptFitError
from predictors.latency import LatencyPredictor
from searchspaces.registry import get_space
from searchspaces.space import Arch
from service.answers import answers
from service.jobs import extract, search, train
from service.jobs.context import JobContext, Reporter, StopFlag
from service.schemas.jobs import ExtractJob, SearchJob, SubnetGenes, TrainJob
from service.settings import Settings
from service.stores import Stores
from service.validate import payload_of
from tests.contracts.predictor import sample_archs
from tests.service.checkpoints import write_checkpoint_folder
from tests.service.conftest import DEVICE, SPACE

JOBS: dict[JobKind, tuple[type, Callable[..., Any]]] = {
    JobKind.TRAIN: (TrainJob, train.run),
    JobKind.SEARCH: (SearchJob, search.run),
    JobKind.EXTRACT: (ExtractJob, extract.run),
}
Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original") / "tiny"
    write_checkpoint_folder(folder)
    return folder


@pytest.fixture
def checkpoint(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "tiny"))


@pytest.fixture
def run(stores: Stores, settings: Settings) -> Run:
    """``run(kind, **body)`` does a job here and now."""

    def do(kind: JobKind, **body: Any) -> dict[str, Any]:
        model, function = JOBS[kind]
        job: Job = stores.jobs.submit(kind, payload_of(model(kind=kind.value, **body)))
        context = JobContext(settings, stores, Reporter(lambda data: None), lambda message: None, StopFlag())
        return dict(function(job, context))

    return do


def put_latency_predictor(stores: Stores, settings: Settings, supernet: str) -> None:
    archs = sample_archs(SPACE, 30)
    predictor = LatencyPredictor(SPACE, DEVICE)
    predictor.fit(archs, np.array([0.1 * len(SPACE.decode(arch).layers) for arch in archs]))
    record_id = new_id()
    folder = settings.folder / "predictors" / record_id
    digest = predictor.save(folder)
    stores.devices.put_device(DEVICE)
    names = (record_id, DEVICE.name, DEVICE.fingerprint, supernet, SPACE.id, "latency_ms", str(folder))
    stores.devices.put_predictor(PredictorRecord(*names, digest, {}, 30, datetime.now(UTC)))


def test_all_that_a_checkpoint_holds_is_taken(checkpoint: Path, run: Run, stores: Stores) -> None:
    result = run(JobKind.TRAIN, supernet="t", checkpoint=str(checkpoint))
    record = stores.supernets.get("t")
    assert (record.space, record.data, record.resolution) == (SPACE.id, "none", 8)
    assert record.digest == json.loads((checkpoint / "supernet.json").read_text())["sha256"]
    assert result["metrics"]["accuracy_predictor_archs"] == 30
    assert stores.supernets.fidelity(["t"])["t"].report.supernet == "t"
    shutil.rmtree(checkpoint)  # the copy needs it no more
    assert {path.name for path in Path(record.folder).iterdir()} >= {"supernet.json", "accuracy"}
    assert ChoiceEffects.load(Path(record.folder), SPACE, record.digest).n_subnets == 100
    alone = alone_in(Path(record.folder), SPACE)
    assert alone is not None
    assert len(alone.runs.runs) == 5


def test_images_of_another_set_are_refused(checkpoint: Path, run: Run, stores: Stores) -> None:
    header = json.loads((checkpoint / "supernet.json").read_text())
    (checkpoint / "supernet.json").write_text(
        json.dumps({**header, "info": {**header["info"], "data_digest": "0" * 64}})
    )
    with pytest.raises(DataError, match=r"digits: .* not those that .*tiny was trained on"):
        run(JobKind.TRAIN, supernet="t", checkpoint=str(checkpoint), data="digits")
    assert stores.supernets.list().items == []


def damaged_weights(folder: Path) -> None:
    (file,) = folder.glob("supernet-*.safetensors")
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)


def other_weights(folder: Path) -> None:
    torch.manual_seed(9)
    info = json.loads((folder / "supernet.json").read_text())["info"]
    save_supernet(folder, Supernet(SPACE, n_classes=10, in_channels=1), info=info)


def bare_header(folder: Path) -> None:
    header = json.loads((folder / "supernet.json").read_text())
    (folder / "supernet.json").write_text(json.dumps({**header, "info": {}}))


def other_tensors(folder: Path) -> None:
    header = json.loads((folder / "supernet.json").read_text())
    (folder / "supernet.json").write_text(json.dumps({**header, "n_classes": 7}))


def other_effects(folder: Path) -> None:
    weights = np.zeros(SPACE.encode([SPACE.extreme(largest=True)]).shape[1])
    ChoiceEffects(SPACE, "e" * 64, weights, 100, 64).save(folder)


def other_likelihood(folder: Path) -> None:
    predictor = AccuracyPredictor(SPACE, supernet="e" * 64)
    predictor.fit(sample_archs(SPACE, 5), np.full(5, 0.5))
    predictor.save(folder / "likelihood")


def other_runs(folder: Path) -> None:
    replace(load_runs(folder / FILE), space="nats-size@1").save(folder / FILE)


def other_report(folder: Path) -> None:
    report = json.loads((folder / "fidelity.json").read_text())
    (folder / "fidelity.json").write_text(json.dumps({**report, "space": "nats-size@1"}))


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda folder: (folder / "supernet.json").unlink(), CheckpointError, r"supernet\.json: no such"),
        (damaged_weights, CheckpointError, r"supernet-.*safetensors: damaged"),
        (other_weights, CheckpointError, r"tiny/accuracy: predicts accuracies of other weights"),
        (other_likelihood, CheckpointError, r"tiny/likelihood: predicts accuracies of other weights"),
        (bare_header, CheckpointError, r"supernet\.json: info lacks 'data_digest'"),
        (other_tensors, CheckpointError, r"supernet\.json: not the tensors"),
        (other_effects, CorruptFitError, r"tiny/effects\.json: of other weights than the supernet's"),
        (other_runs, FidelityError, r"standalone\.json: holds subnets of space nats-size@1"),
        (other_report, FidelityError, r"fidelity\.json: is about nats-size@1"),
        (lambda folder: (folder / "fidelity.json").write_text("[1"), FidelityError, r"fidelity\.json"),
        (lambda folder: (folder / "calibration.json").unlink(), CheckpointError, "no data is named"),
        (lambda folder: (folder / "accuracy/accuracy.json").write_text("{"), CorruptFitError, "not JSON"),
    ],
)
def test_an_unsound_checkpoint_is_refused_by_name_and_leaves_nothing(
    checkpoint: Path,
    run: Run,
    stores: Stores,
    settings: Settings,
    spoil: Callable[[Path], None],
    error: type[Exception],
    message: str,
) -> None:
    spoil(checkpoint)
    with pytest.raises(error, match=message):
        run(JobKind.TRAIN, supernet="t", checkpoint=str(checkpoint))
    assert stores.supernets.list().items == []
    assert not any((settings.folder / "supernets").glob("*.partial"))


def test_a_search_without_images_predicts_and_says_so(
    checkpoint: Path, run: Run, stores: Stores, settings: Settings
) -> None:
    run(JobKind.TRAIN, supernet="t", checkpoint=str(checkpoint))
    put_latency_predictor(stores, settings, "t")
    body = {"supernet": "t", "budget": 24, "batch_size": 12, "study": "s", "accuracy": "predicted"}
    assert run(JobKind.SEARCH, searcher="random", **body)["n_trials"] == 24
    points = stores.studies.fronts(supernet="t")
    assert points
    for point in points:
        assert point.top1_source == "predicted"
        assert point.top1_low is not None
        assert point.top1_high is not None
        assert point.top1_low <= point.top1 <= point.top1_high
        assert point.test_top1 is None
    with pytest.raises(DataError, match="'t' was imported without its images"):
        run(JobKind.SEARCH, searcher="random", **{**body, "study": None, "accuracy": "evaluated"})


def test_a_study_keeps_to_one_source_of_accuracies(
    checkpoint: Path, run: Run, stores: Stores, settings: Settings
) -> None:
    run(JobKind.TRAIN, supernet="t", checkpoint=str(checkpoint), data="digits")
    put_latency_predictor(stores, settings, "t")
    body = {"supernet": "t", "budget": 4, "batch_size": 2, "study": "s", "searcher": "random"}
    run(JobKind.SEARCH, accuracy="predicted", **body)
    assert all(point.test_top1 is not None for point in stores.studies.fronts(supernet="t"))
    with pytest.raises(ConfigError, match="'s' has predicted accuracies, the job asks for evaluated"):
        run(JobKind.SEARCH, accuracy="evaluated", **body)


def test_a_model_is_extracted_with_the_checkpoints_own_calibration(
    checkpoint: Path, run: Run, stores: Stores
) -> None:
    run(JobKind.TRAIN, supernet="bare", checkpoint=str(checkpoint))
    run(JobKind.TRAIN, supernet="full", checkpoint=str(checkpoint), data="digits")
    arch: Arch = SPACE.extreme(largest=False)
    weights = []
    for name in ("bare", "full"):
        subnet = SubnetGenes(supernet=name, genes=list(arch.genes))
        result = run(JobKind.EXTRACT, subnet=subnet, formats=["onnx"])
        assert result["failed"] == {}
        assert (result["top1"] is None) == (name == "bare")
        weights.append({f["sha256"] for f in result["files"] if f["name"] == "model.safetensors"})
    assert weights[0] == weights[1]


def submit(http: TestClient, **body: Any) -> list[tuple[str, str]]:
    response = http.post("/api/v1/jobs", json=body)
    assert response.status_code == 422, response.text
    return [(item["pointer"], item["detail"]) for item in response.json()["errors"]]


def test_jobs_that_cannot_be_done_are_not_queued(
    http: TestClient, checkpoint: Path, run: Run, stores: Stores
) -> None:
    assert submit(http, kind="train", supernet="x") == [("#/data", "Field required")]
    missing = submit(http, kind="train", supernet="x", checkpoint="/no/such/folder")
    assert missing == [("#/checkpoint", "its path does not exist on the server")]
    body = {"kind": "train", "supernet": "x", "checkpoint": str(checkpoint)}
    (error,) = submit(http, **body, config={"epochs": 3})
    assert error == ("#/config", "a checkpoint is taken as it is: leave this out")
    run(JobKind.TRAIN, supernet="t", checkpoint=str(checkpoint))
    found = dict(submit(http, kind="search", supernet="t", budget=5))
    assert 'must be "predicted"' in found["#/accuracy"]
    (error,) = submit(http, kind="fidelity", supernet="t", train_alone=3)
    assert error[0] == "#/supernet"
    shutil.rmtree(checkpoint / "accuracy")
    run(JobKind.TRAIN, supernet="plain", checkpoint=str(checkpoint))
    found = dict(submit(http, kind="search", supernet="plain", budget=5, accuracy="predicted"))
    assert found["#/accuracy"] == "supernet 'plain' has no accuracy predictor"


def test_a_checkpoint_of_an_unknown_space_names_it(checkpoint: Path, run: Run) -> None:
    header = json.loads((checkpoint / "supernet.json").read_text())
    assert header["space"] == get_space("hybrid-tiny").id
    (checkpoint / "supernet.json").write_text(json.dumps({**header, "space": "hybrid-tiny@99"}))
    with pytest.raises(CheckpointError, match="made for hybrid-tiny@99, this version has hybrid-tiny@1"):
        run(JobKind.TRAIN, supernet="t", checkpoint=str(checkpoint))


def test_a_search_learns_from_the_effects_of_choices(
    checkpoint: Path, run: Run, stores: Stores, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(JobKind.TRAIN, supernet="t", checkpoint=str(checkpoint))
    put_latency_predictor(stores, settings, "t")
    seen: list[Knowledge] = []

    def factory(*args: Any, known: Knowledge, **settings: Any) -> Searcher:
        seen.append(known)
        return get_searcher("guided")(*args, known=known, **settings)

    monkeypatch.setattr(search, "get_searcher", lambda name: factory)
    body = {"supernet": "t", "budget": 12, "batch_size": 12, "study": "s", "accuracy": "predicted"}
    assert run(JobKind.SEARCH, **body)["n_trials"] == 12
    (hint,) = seen[0].hints
    genes = np.array([SPACE.extreme(largest=True).genes])
    folder = Path(stores.supernets.get("t").folder)
    expected = ChoiceEffects.load(folder, SPACE, stores.supernets.get("t").digest)
    assert hint(genes) == expected(genes)


def test_effects_that_cannot_be_read_are_a_warning_of_the_answers(
    checkpoint: Path, run: Run, stores: Stores, settings: Settings
) -> None:
    run(JobKind.TRAIN, supernet="t", checkpoint=str(checkpoint))
    put_latency_predictor(stores, settings, "t")
    body = {"supernet": "t", "budget": 12, "batch_size": 12, "study": "s", "accuracy": "predicted"}
    run(JobKind.SEARCH, searcher="random", **body)
    assert not any("effects" in warning for warning in answers("s", stores).warnings)
    (Path(stores.supernets.get("t").folder) / "effects.json").write_text("{")
    assert any("effects of the supernet's choices" in text for text in answers("s", stores).warnings)


def test_a_long_training_writes_the_effects_of_its_choices_down(
    run: Run, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    body: dict[str, Any] = {"data": "digits", "space": "nasbench201-c4-n1-r8", "config": {"epochs": 1}}
    run(JobKind.TRAIN, supernet="short", **body)
    assert not has_effects(Path(stores.supernets.get("short").folder))
    monkeypatch.setattr(train, "worth_observing", lambda space, passes: passes > 0)
    run(JobKind.TRAIN, supernet="long", **body)
    record = stores.supernets.get("long")
    effects = ChoiceEffects.load(Path(record.folder), get_space("nasbench201-c4-n1-r8"), record.digest)
    assert np.ptp(effects.weights) > 0
