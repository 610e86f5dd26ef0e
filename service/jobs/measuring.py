"""Measuring subnets of a supernet on this machine."""

from __future__ import annotations

from collections.abc import Sequence

from predictors.campaign import Campaign
from predictors.device import Device
from predictors.profiler import MeasurementProtocol, run_campaign
from predictors.runtimes.registry import get_runtime
from predictors.runtimes.runtime import Runtime
from searchspaces.space import Arch
from service.jobs.context import JobContext
from service.jobs.inputs import Trained


def local_runtime(device: Device) -> Runtime | None:
    """The runtime that makes this machine the given device, or None if it cannot."""
    runtime = get_runtime(device.runtime)
    here = runtime.device(device.name, threads=device.threads, batch_size=device.batch_size)
    return runtime if here.fingerprint == device.fingerprint else None


def measure(
    trained: Trained,
    archs: Sequence[Arch],
    runtime: Runtime,
    device: Device,
    protocol: MeasurementProtocol,
    context: JobContext,
) -> Campaign:
    """Time the extracted networks of ``archs`` one beside the other; see ``run_campaign``."""
    candidates = {}
    for index, arch in enumerate(archs):
        context.check_stop()
        network = trained.network(arch)
        candidates[arch] = (network, trained.example(network, device.batch_size))
        context.report("extract", index + 1, len(archs))
    return run_campaign(
        runtime,
        device,
        candidates,
        protocol,
        lambda progress: context.report("measure", progress.done, progress.total),
        should_stop=context.should_stop,
    )
