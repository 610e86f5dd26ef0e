"""The protocol of measurement: many networks in one process, in shuffled round-robin passes.

CPU time of the process in round-robin order repeats itself at Spearman .995 on a machine with
other work on it, where wall time of one network after the other gives .55 to .96. CPU time is
the latency of a one-thread device only; with more threads wall time is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from predictors.campaign import Campaign
from predictors.device import Device
from predictors.errors import UnsupportedModelError
from predictors.protocol import CLOCK, Clock, MeasurementProtocol, ProfileProgress, Report
from predictors.rounds import measure_sessions
from predictors.runtimes.runtime import Runtime
from predictors.sample import LatencySample
from searchspaces.space import Arch

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Candidates", "Clock", "MeasurementProtocol", "ProfileProgress", "profile", "run_campaign"]

Candidates: TypeAlias = "Mapping[Arch, tuple[nn.Module, Tensor]]"


def profile(
    runtime: Runtime,
    device: Device,
    candidates: Candidates,
    protocol: MeasurementProtocol,
    report: Report | None = None,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[LatencySample]:
    """Measure and insist that the measurement repeats itself; see ``run_campaign``.

    Raises UnstableMeasurementError, and UnsupportedModelError for a network that cannot run.
    """
    campaign = run_campaign(runtime, device, candidates, protocol, report, should_stop=should_stop)
    for arch, reason in campaign.failures.items():
        raise UnsupportedModelError(f"arch {arch.key} on {runtime.name}: {reason}")
    campaign.require_stable(
        min_spearman=protocol.required_spearman(runtime.name), min_spread=protocol.min_spread
    )
    return list(campaign.samples)


def run_campaign(
    runtime: Runtime,
    device: Device,
    candidates: Candidates,
    protocol: MeasurementProtocol,
    report: Report | None = None,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    clock: Clock = CLOCK,
) -> Campaign:
    """Measure extracted networks, each with an example (B, C, R, R) float32, in this process.

    See ``measure_sessions``, which raises what this raises.
    """
    loaders = {
        arch: partial(runtime.load, module, example, threads=device.threads)
        for arch, (module, example) in candidates.items()
    }
    with runtime.limit_threads(device.threads):
        return measure_sessions(loaders, device, protocol, report, should_stop=should_stop, clock=clock)
