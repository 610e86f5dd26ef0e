"""Measure sampled subnets on this machine, then fit the device's latency predictor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import numpy as np

from db.errors import DeviceNotFoundError
from db.ids import new_id
from db.records import Job, PredictorRecord
from db.remote.records import AgentRecord
from predictors.campaign import Campaign
from predictors.device import Device
from predictors.errors import DeviceMismatchError
from predictors.latency import LatencyPredictor
from predictors.profiler import MeasurementProtocol
from predictors.runtimes.registry import get_runtime
from predictors.sample import LatencySample
from searchspaces.space import Arch, SearchSpace
from searchspaces.variation import sample_lean
from service.agents.identity import agent_device
from service.agents.measuring import measure_on_agent
from service.jobs.context import JobContext
from service.jobs.inputs import Trained, open_supernet
from service.jobs.measuring import measure
from service.jobs.remote import export_candidates


def run(job: Job, context: JobContext) -> Mapping[str, Any]:
    """Measure, store the raw times, fit to all that were ever taken on this device, store the fit.

    Raises UnstableMeasurementError, DeviceMismatchError, and for the device of an agent what
    ``measure_on_agent`` raises; MeasurementStoppedError or JobStoppedError when asked to stop.
    """
    payload = job.payload
    trained = open_supernet(payload["supernet"], context)
    archs = sample_archs(trained.supernet.space, payload["samples"], payload["seed"])
    agent = context.stores.agents.find(payload["device"])
    measured = (
        _here(job, trained, archs, context) if agent is None else _there(agent, job, trained, archs, context)
    )
    device, campaign = measured.device, measured.campaign
    for arch, reason in campaign.failures.items():
        context.log(f"arch {arch.key} cannot run on {device.runtime}: {reason}")
    context.report("fit", 0, 1)
    record = _fit(trained, measured, context)
    context.report("fit", 1, 1)
    return {
        "device": device.name,
        "fingerprint": device.fingerprint,
        "predictor": record.id,
        "n_samples": record.n_samples,
        "n_failures": len(campaign.failures),
        "quality": dict(record.quality),
    }


@dataclass(frozen=True, slots=True)
class _Measured:
    """A campaign of this job, and all samples that its device has of the supernet, on one scale."""

    device: Device
    campaign: Campaign
    samples: Sequence[LatencySample]


def _here(job: Job, trained: Trained, archs: Sequence[Arch], context: JobContext) -> _Measured:
    """Measure on this machine."""
    payload, devices = job.payload, context.stores.devices
    runtime = get_runtime(payload["runtime"])
    device = runtime.device(payload["device"], threads=payload["threads"])
    _require_same_machine(device, context)
    protocol = MeasurementProtocol(seed=payload["seed"])
    campaign = measure(trained, archs, runtime, device, protocol, context)
    campaign.require_stable(
        min_spearman=protocol.required_spearman(runtime.name), min_spread=protocol.min_spread
    )
    devices.put_device(device)
    devices.add_samples(trained.record.name, campaign.samples, campaign=job.id)
    return _Measured(device, campaign, devices.list_samples(trained.record.name, device.fingerprint))


def _there(
    agent: AgentRecord, job: Job, trained: Trained, archs: Sequence[Arch], context: JobContext
) -> _Measured:
    """Have an agent measure on its machine."""
    device = agent_device(agent.name, agent.description)
    context.stores.devices.put_device(device)
    protocol = MeasurementProtocol(seed=job.payload["seed"])
    candidates = export_candidates(trained, archs, job, context)
    campaign = measure_on_agent(agent, device, trained.record.name, candidates, protocol, job, context)
    samples = context.stores.measurements.list_samples(trained.record.name, device.fingerprint)
    return _Measured(device, campaign, samples)


def sample_archs(space: SearchSpace, n: int, seed: int) -> list[Arch]:
    """``n`` distinct archs, the smallest and the largest first; all of them if there are no more.

    Every other one leans to the cheap side, where fronts begin and random archs are rare.
    """
    if space.size() <= 2 * n:
        return list(islice(space.archs(), n))
    rng = np.random.default_rng([seed, 6])
    archs = dict.fromkeys((space.extreme(largest=False), space.extreme(largest=True)))
    while len(archs) < n:
        archs[space.sample(rng) if len(archs) % 2 else sample_lean(space, rng)] = None
    return list(archs)


def _fit(trained: Trained, measured: _Measured, context: JobContext) -> PredictorRecord:
    """Fit, save and record a predictor."""
    device, samples = measured.device, measured.samples
    predictor = LatencyPredictor(trained.supernet.space, device)
    predictor.fit_samples(samples)
    record_id = new_id()
    folder = context.settings.folder / "predictors" / record_id
    digest = predictor.save(folder)
    quality = {} if predictor.quality is None else asdict(predictor.quality)
    record = PredictorRecord(
        id=record_id,
        device=device.name,
        fingerprint=device.fingerprint,
        supernet=trained.record.name,
        space=trained.record.space,
        metric="latency_ms",
        folder=str(folder),
        digest=digest,
        quality={**quality, **_repeatability(measured.campaign)},
        n_samples=len(samples),
        created_at=datetime.now(UTC),
    )
    context.stores.devices.put_predictor(record)
    return record


def _repeatability(campaign: Campaign) -> dict[str, float]:
    """How well this campaign repeats itself, as far as that is known."""
    found = {"self_spearman": campaign.self_spearman, "wall_over_cpu": campaign.wall_over_cpu}
    return {name: value for name, value in found.items() if value is not None}


def _require_same_machine(device: Device, context: JobContext) -> None:
    """A name that is taken belongs to the hardware that took it, whatever is installed there now."""
    try:
        known = context.stores.devices.get_device(device.name).device
    except DeviceNotFoundError:
        return
    if (known.hardware, known.threads) != (device.hardware, device.threads):
        raise DeviceMismatchError(
            f"device {device.name!r} is {known.hardware} with {known.threads} threads; "
            f"this machine is {device.hardware} with {device.threads}"
        )
