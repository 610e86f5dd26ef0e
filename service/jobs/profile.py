"""Measure subnets on a device, then fit its latency predictor, with the help of other devices if few are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
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
from predictors.latency_files import AnyLatencyPredictor
from predictors.profiler import MeasurementProtocol
from predictors.runtimes.registry import get_runtime
from predictors.sample import BESIDES, LatencySample, Quantities
from predictors.transfer.predictor import TransferPredictor
from searchspaces.space import Arch, SearchSpace
from searchspaces.variation import sample_lean
from service.agents.identity import agent_device
from service.agents.measuring import measure_on_agent
from service.jobs.context import JobContext
from service.jobs.inputs import Trained, open_supernet
from service.jobs.measuring import measure_and_store
from service.jobs.remote import export_candidates
from service.jobs.transfer import transfer_of
from service.rerank import worth_measuring
from service.transfer import OWN_MIN

CANDIDATES = 500  # random archs beyond those asked for, of which a transfer chooses what to measure


def run(job: Job, context: JobContext) -> Mapping[str, Any]:
    """Measure, store the raw times, fit to all that were ever taken on this device, store the fit.

    Raises UnstableMeasurementError, DeviceMismatchError, and for the device of an agent what
    ``measure_on_agent`` raises; MeasurementStoppedError or JobStoppedError when asked to stop.
    """
    payload = job.payload
    trained = open_supernet(payload["supernet"], context)
    space = trained.supernet.space
    agent = context.stores.agents.find(payload["device"])
    device = _local_device(job, context) if agent is None else agent_device(agent.name, agent.description)
    transfer = transfer_of(job, space, device, context.stores)
    archs = _chosen(job, trained, device, transfer, context)
    measured = (
        _here(device, job, trained, archs, context)
        if agent is None
        else _there(agent, device, job, trained, archs, context)
    )
    campaign = measured.campaign
    for arch, reason in campaign.failures.items():
        context.log(f"arch {arch.key} cannot run on {device.runtime}: {reason}")
    for note in campaign.notes:
        context.log(note)
    context.report("fit", 0, 1)
    predictor = LatencyPredictor(space, device) if transfer is None else transfer
    record = fit_predictor(predictor, trained, measured, measured.samples, context)
    others = _fit_besides(trained, measured, context)
    context.report("fit", 1, 1)
    return {
        "device": device.name,
        "fingerprint": device.fingerprint,
        "predictor": record.id,
        "n_samples": record.n_samples,
        "n_failures": len(campaign.failures),
        "quality": dict(record.quality),
        "other_predictors": others,
        "quantities": _summary(campaign),
    }


def _chosen(
    job: Job, trained: Trained, device: Device, transfer: TransferPredictor | None, context: JobContext
) -> list[Arch]:
    """What to measure: with ``refine`` first what may be on the device's front and was not measured yet."""
    payload, space, stores = job.payload, trained.supernet.space, context.stores
    n, seed = payload["samples"], payload["seed"]
    archs: list[Arch] = []
    if payload.get("refine"):
        record = stores.devices.latest_predictor(trained.record.name, device.name)
        known = {
            sample.arch for sample in stores.devices.list_samples(trained.record.name, device.fingerprint)
        }
        archs = [arch for arch in worth_measuring(record, stores) if arch not in known][:n]
        context.log(f"{len(archs)} evaluated subnets may be on the front of {device.name}")
    if transfer is None:
        others = sample_archs(space, n, seed)
    else:
        candidates = sample_archs(space, n + CANDIDATES, seed)
        others = transfer.choose(min(n, len(candidates)), candidates)
    return list(dict.fromkeys([*archs, *others]))[:n]


@dataclass(frozen=True, slots=True)
class Measured:
    """A campaign of this job, and all samples that its device has of the supernet, on one scale."""

    device: Device
    campaign: Campaign
    samples: Sequence[LatencySample]


def _local_device(job: Job, context: JobContext) -> Device:
    """The worker's machine. Raises DeviceMismatchError if the device's name belongs to another."""
    payload = job.payload
    device = get_runtime(payload["runtime"]).device(payload["device"], threads=payload["threads"])
    _require_same_machine(device, context)
    return device


def _here(device: Device, job: Job, trained: Trained, archs: Sequence[Arch], context: JobContext) -> Measured:
    """Measure on this machine."""
    payload, devices = job.payload, context.stores.devices
    runtime = get_runtime(device.runtime)
    protocol = _protocol(payload)
    campaign = measure_and_store(job.id, trained, archs, runtime, device, protocol, context)
    devices.put_device(device)
    return Measured(device, campaign, devices.list_samples(trained.record.name, device.fingerprint))


def _there(
    agent: AgentRecord,
    device: Device,
    job: Job,
    trained: Trained,
    archs: Sequence[Arch],
    context: JobContext,
) -> Measured:
    """Have an agent measure on its machine."""
    context.stores.devices.put_device(device)
    protocol = _protocol(job.payload)
    candidates = export_candidates(trained, archs, job, context)
    campaign = measure_on_agent(agent, device, trained.record.name, candidates, protocol, job, context)
    samples = context.stores.devices.list_samples(trained.record.name, device.fingerprint)
    return Measured(device, campaign, samples)


def _protocol(payload: Mapping[str, Any]) -> MeasurementProtocol:
    """The protocol that a job asks for; what it does not name (an early job) is as the protocol has it."""
    asked = {name: payload[name] for name in ("seed", "passes", "memory", "energy") if name in payload}
    return MeasurementProtocol(**asked)


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


def fit_predictor(
    predictor: AnyLatencyPredictor,
    trained: Trained,
    measured: Measured,
    samples: Sequence[LatencySample],
    context: JobContext,
) -> PredictorRecord:
    """Fit to these samples, save and record a predictor, which may hold an earlier fit."""
    device = measured.device
    predictor.fit_samples(samples)
    sources = {}
    if isinstance(predictor, TransferPredictor):
        predictor.judge([sample.arch for sample in samples], np.array([s.latency_ms for s in samples]))
        sources = {"n_sources": float(predictor.n_sources)}
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
        metric=predictor.metric,
        folder=str(folder),
        digest=digest,
        quality={**quality, **sources, **measured.campaign.repeatability},
        n_samples=len(samples),
        created_at=datetime.now(UTC),
    )
    context.stores.devices.put_predictor(record)
    return record


def _fit_besides(trained: Trained, measured: Measured, context: JobContext) -> dict[str, str]:
    """Predictors of what else was measured often enough of the device; their ids by metric."""
    found: dict[str, str] = {}
    for metric in BESIDES:
        samples = [sample for sample in measured.samples if sample.value(metric) is not None]
        if len({sample.arch for sample in samples}) >= OWN_MIN:
            predictor = LatencyPredictor(trained.supernet.space, measured.device, metric)
            found[metric] = fit_predictor(predictor, trained, measured, samples, context).id
    return found


def _summary(campaign: Campaign) -> dict[str, dict[str, float]]:
    """Of each measured quantity: how many networks have it, its least, median and greatest value."""
    columns = {
        name: [value for s in campaign.samples if (value := getattr(s.quantities, name)) is not None]
        for name in (field.name for field in fields(Quantities))
    }
    return {
        name: {"n": len(v), "min": min(v), "median": float(np.median(v)), "max": max(v)}
        for name, v in columns.items()
        if v
    }


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
