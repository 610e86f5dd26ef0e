"""A runner whose jobs are quick and need no torch: the real one but for the job functions.

The supernet's name says how a train job behaves; a search job runs the real loop on a toy evaluator.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from db.records import ArtifactRecord, FidelityRecord, Job, JobKind, SupernetRecord
from db.remote.records import Candidate
from nas.errors import DataError
from nas.evaluate.inline_pool import InlinePool
from nas.fidelity.report import Agreement, FidelityReport, Interval
from nas.search.registry import get_searcher
from nas.study import run_study
from nas.types import Direction, Evaluation, Objective, Study
from predictors.protocol import MeasurementProtocol
from predictors.references.onnx_models import reference_nets
from searchspaces.registry import get_space
from searchspaces.space import Arch, SearchSpace
from service.agents.identity import agent_device
from service.agents.measuring import measure_on_agent, store_model
from service.errors import JobStoppedError
from service.jobs.context import JobContext, JobFunction
from service.runner import main

STEP_S = 0.05
QUICK = MeasurementProtocol(passes=4, rounds=1, warmup=1, seconds=0.0, min_spearman=0.0)


def train(job: Job, context: JobContext) -> Mapping[str, Any]:
    name = job.payload["supernet"]
    steps = int(job.payload["config"].get("epochs", 3))
    for step in range(steps):
        time.sleep(STEP_S)
        context.report("train", step + 1, steps, loss=1.0)
        if not name.startswith("stubborn"):
            context.check_stop()
    if name.startswith("bad"):
        raise DataError("images.bin: truncated")
    if name.startswith("crash") or (name.startswith("flaky") and job.attempts == 1):
        os._exit(3)
    record = SupernetRecord(
        name,
        "hybrid-tiny@1",
        job.payload["data"] or "none",
        10,
        1,
        8,
        "nowhere",
        "0" * 64,
        {},
        job.id,
        datetime.now(UTC),
    )
    context.stores.supernets.put(record)
    return {"supernet": name, "metrics": {"top1_largest": 0.5}}


class ToyEvaluator:
    """A fixed function of the genes, slow enough to be interrupted."""

    metrics = ("top1", "latency_ms")

    def __init__(self, pause_s: float) -> None:
        self.pause_s = pause_s

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        time.sleep(self.pause_s * len(archs))
        return [Evaluation(arch, toy_values(arch)) for arch in archs]


def toy_values(arch: Arch) -> dict[str, float]:
    total = sum((index % 5 + 1) * gene for index, gene in enumerate(arch.genes))
    return {"top1": (total % 97) / 97, "latency_ms": 1.0 + (total * 31 % 101) / 50}


def study_of(job: Job) -> Study:
    payload = job.payload
    return Study(
        id=payload["study"] or job.id,
        space="hybrid-tiny@1",
        objectives=(
            Objective("top1", Direction.MAXIMIZE, 0.0),
            Objective("latency_ms", Direction.MINIMIZE, 10.0),
        ),
        searcher=payload["searcher"],
        budget=payload["budget"],
        seed=payload["seed"],
        batch_size=payload["batch_size"],
        supernet=payload["supernet"],
        device=payload["device"],
    )


def search(job: Job, context: JobContext) -> Mapping[str, Any]:
    study = study_of(job)
    space = get_space("hybrid-tiny")
    searcher = get_searcher(study.searcher)(space, study.objectives, seed=study.seed)
    result = run_study(
        study,
        searcher,
        InlinePool(ToyEvaluator(0.02)),
        context.stores.studies,
        report=lambda progress: context.report("search", progress.n_trials, progress.budget),
        should_stop=context.should_stop,
    )
    if result.stopped:
        raise JobStoppedError("stopped")
    return {"study": study.id, "n_trials": result.n_trials, "front_size": 1, "hypervolume": 0.0}


def profile(job: Job, context: JobContext) -> Mapping[str, Any]:
    """Has an agent measure small models; tasks, results and samples are real."""
    agent = context.stores.agents.get(job.payload["device"])
    device = agent_device(agent.name, agent.description)
    space = get_space("hybrid-tiny")
    archs = sample_archs(space, job.payload["samples"])

    def candidates() -> Iterator[Candidate]:
        for index, arch in enumerate(archs):
            model = reference_nets()[0] + tagged(arch.key)
            yield Candidate(arch, store_model(f"{arch.key}.onnx", model, job, context))
            context.report("export", index + 1, len(archs))

    campaign = measure_on_agent(agent, device, job.payload["supernet"], candidates(), QUICK, job, context)
    return {"device": device.name, "n_samples": len(campaign.samples), "n_failures": len(campaign.failures)}


def sample_archs(space: SearchSpace, n: int) -> list[Arch]:
    rng = np.random.default_rng(n)
    return list(dict.fromkeys(space.sample(rng) for _ in range(2 * n)))[:n]


def tagged(text: str) -> bytes:
    """The field ``doc_string`` of an ONNX model, to be appended to one: protobuf joins messages."""
    return bytes((0x32, len(text))) + text.encode()


def extract(job: Job, context: JobContext) -> Mapping[str, Any]:
    folder = context.settings.folder / "extract"
    folder.mkdir(exist_ok=True)
    file = folder / "model.onnx"
    file.write_bytes(b"not a model")
    digest, size = context.stores.files.put(file)
    record = ArtifactRecord(digest, size, "application/octet-stream", file.name, job.id, datetime.now(UTC))
    context.stores.artifacts.put(record)
    return {"artifacts": [digest]}


def fidelity(job: Job, context: JobContext) -> Mapping[str, Any]:
    name = job.payload["supernet"]
    context.stores.supernets.put_fidelity(FidelityRecord(name, toy_report(name), job.id, datetime.now(UTC)))
    return {"supernet": name, "fidelity": toy_report(name).to_dict()}


def toy_report(name: str) -> FidelityReport:
    return FidelityReport(
        space="hybrid-tiny@1",
        supernet=name,
        subnets=40,
        metric="top1",
        truth="made up",
        spearman=0.91,
        kendall_tau=0.72,
        interval=Interval((0.83, 0.95), (0.6, 0.8)),
        top_regret=0.015,
        seed=0,
        resamples=100,
        proxies={"params": Agreement(0.5, 0.4), "macs": Agreement(0.6, 0.5)},
    )


def find(kind: JobKind) -> JobFunction:
    return {
        JobKind.TRAIN: train,
        JobKind.PROFILE: profile,
        JobKind.SEARCH: search,
        JobKind.EXTRACT: extract,
        JobKind.FIDELITY: fidelity,
    }[kind]


if __name__ == "__main__":
    raise SystemExit(main(find=find))
