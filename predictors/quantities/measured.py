"""Adds to a campaign what its protocol asks for besides latency."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from predictors.campaign import Campaign
from predictors.device import Device
from predictors.errors import MeasurementStoppedError, UnsupportedModelError
from predictors.protocol import MeasurementProtocol, ProfileProgress, Report
from predictors.quantities.energy import EnergyCounter, counters_of, energy_per_run_mj
from predictors.quantities.memory import Open, is_measurable, run_peak_memory_bytes
from predictors.sample import LatencySample
from searchspaces.space import Arch


def with_quantities(
    campaign: Campaign,
    networks: Mapping[Arch, Open],
    device: Device,
    protocol: MeasurementProtocol,
    report: Report | None = None,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> Campaign:
    """The campaign with peak memory and energy of its samples, as far as they can be measured here.

    What cannot be is absent, and the campaign's notes say so. Raises MeasurementStoppedError.
    """
    notes = list(campaign.notes)
    counters = counters_of(device) if protocol.energy else []
    if protocol.energy and not counters:
        notes.append(f"energy: no counter that this process may read sees {device.name}; it was not measured")
    has_memory = protocol.memory and is_measurable(device)
    if protocol.memory and not has_memory:
        notes.append(f"peak memory: it cannot be measured on {device.name} here (it takes Linux's /proc)")
    if not (counters or has_memory):
        return replace(campaign, notes=tuple(notes))
    samples = []
    for index, sample in enumerate(campaign.samples):
        if should_stop():
            raise MeasurementStoppedError(f"stopped after {index} of {len(campaign.samples)} networks")
        sample = _with_memory(sample, networks[sample.arch], notes) if has_memory else sample
        samples.append(_with_energy(sample, networks[sample.arch], counters) if counters else sample)
        if report is not None:
            report(ProfileProgress(index + 1, len(campaign.samples)))
    return replace(campaign, samples=tuple(samples), notes=tuple(notes))


def _with_memory(sample: LatencySample, network: Open, notes: list[str]) -> LatencySample:
    try:
        peak = run_peak_memory_bytes(network)
    except UnsupportedModelError as error:
        notes.append(f"arch {sample.arch.key}: {error}")
        return sample
    return replace(sample, quantities=replace(sample.quantities, run_peak_memory_bytes=peak))


def _with_energy(sample: LatencySample, network: Open, counters: Sequence[EnergyCounter]) -> LatencySample:
    with network() as session:
        used = energy_per_run_mj(session, counters)
    return replace(sample, quantities=replace(sample.quantities, energy_mj=used))
