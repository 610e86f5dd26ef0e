"""Measuring subnets of a supernet on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from predictors.campaign import Campaign
from predictors.device import Device
from predictors.errors import UnstableMeasurementError
from predictors.profiler import Candidates, MeasurementProtocol, run_campaign
from predictors.references.modules import reference_candidates
from predictors.runtimes.registry import get_runtime
from predictors.runtimes.runtime import Runtime
from predictors.trust import unstable
from searchspaces.space import Arch
from service.jobs.context import JobContext
from service.jobs.inputs import Trained

ATTEMPTS = 2


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
    *,
    references: Candidates = MappingProxyType({}),
) -> Campaign:
    """Time the extracted networks of ``archs`` one beside the other; see ``run_campaign``.

    What comes back was not judged: see ``measure_and_store``.
    """
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
        references=references,
        should_stop=context.should_stop,
    )


def measure_and_store(
    campaign_id: str,
    trained: Trained,
    archs: Sequence[Arch],
    runtime: Runtime,
    device: Device,
    protocol: MeasurementProtocol,
    context: JobContext,
) -> Campaign:
    """Measure beside the reference networks; the campaign is stored, and returned on the device's scale.

    It is judged by the rule of all devices. Raises UnstableMeasurementError, which says why and what to
    try, for a suspect one: its raw times are stored, and enter no fit.
    """
    references = reference_candidates(device.batch_size)
    campaign = measure(trained, archs, runtime, device, protocol, context, references=references)
    record = context.stores.campaigns.add(
        campaign_id, trained.record.name, campaign, device=device, protocol=protocol
    )
    if record.reason is not None:
        raise unstable(record.reason, record.repeatability)
    return campaign.scaled(record.scale)


def measure_patiently(
    campaign_id: str,
    trained: Trained,
    archs: Sequence[Arch],
    runtime: Runtime,
    device: Device,
    seed: int,
    context: JobContext,
) -> Campaign | None:
    """``measure_and_store`` once more if the first campaign is suspect; None, and a log, if both are."""
    for attempt in range(ATTEMPTS):
        protocol = MeasurementProtocol(seed=seed + attempt)
        name = f"{campaign_id}-{attempt}"
        try:
            return measure_and_store(name, trained, archs, runtime, device, protocol, context)
        except UnstableMeasurementError as error:
            context.log(str(error))
    return None
