"""Subnets as ONNX models for agents to measure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from db.records import Job
from db.remote.records import Candidate
from predictors.runtimes.onnx_export import OnnxExporter
from searchspaces.space import Arch
from service.agents.measuring import store_model
from service.jobs.context import JobContext
from service.jobs.inputs import Trained


def export_candidates(
    trained: Trained, archs: Sequence[Arch], job: Job, context: JobContext
) -> Iterator[Candidate]:
    """The archs' networks as stored models; batch-norm statistics do not matter for their latency."""
    exporter = OnnxExporter()
    for index, arch in enumerate(archs):
        context.check_stop()
        network = trained.network(arch)
        model = exporter.export(network, trained.example(network)).SerializeToString()
        yield Candidate(arch, store_model(f"{arch.key}.onnx", model, job, context))
        context.report("export", index + 1, len(archs))
