"""The protocol of measurement: many networks in one process, in shuffled round-robin passes.

CPU time of the process in round-robin order repeats itself at Spearman .995 on a machine with
other work on it, where wall time of one network after the other gives .55 to .96. CPU time is
the latency of a one-thread device only; with more threads wall time is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from predictors.campaign import Campaign
from predictors.device import Device
from predictors.errors import UnsupportedModelError
from predictors.protocol import CLOCK, Clock, MeasurementProtocol, ProfileProgress, Report
from predictors.quantities.measured import with_quantities
from predictors.rounds import Loaders, measure_sessions
from predictors.runtimes.loading import opened
from predictors.runtimes.runtime import Runtime
from predictors.sample import LatencySample
from predictors.trust import judge, require_good
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
    require_good(campaign, judge(campaign, None, protocol))
    return list(campaign.samples)


def run_campaign(
    runtime: Runtime,
    device: Device,
    candidates: Candidates,
    protocol: MeasurementProtocol,
    report: Report | None = None,
    *,
    references: Candidates = MappingProxyType({}),
    should_stop: Callable[[], bool] = lambda: False,
    clock: Clock = CLOCK,
) -> Campaign:
    """Measure extracted networks, each with an example (B, C, R, R) float32, in this process.

    ``references`` run in the same rotation. See ``measure_sessions``, which raises what this raises.
    """

    def loaders(networks: Candidates) -> Loaders:
        return {
            arch: partial(runtime.load, module, example, threads=device.threads)
            for arch, (module, example) in networks.items()
        }

    with runtime.limit_threads(device.threads):
        campaign = measure_sessions(
            loaders(candidates),
            device,
            protocol,
            report,
            references=loaders(references),
            should_stop=should_stop,
            clock=clock,
        )
    networks = {
        arch: partial(opened, runtime.name, module, example, device.threads)
        for arch, (module, example) in candidates.items()
    }
    return with_quantities(campaign, networks, device, protocol, report, should_stop=should_stop)
