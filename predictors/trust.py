"""Whether a measurement campaign can be believed, and on what scale it is: one rule for every device.

A campaign that cannot be believed is kept and never enters a fit. The thresholds are far outside what
repeated campaigns of one machine showed (repeats within 2 %, the mean of the references within 4 %,
single references within a factor of 1.5), so that what they stop is a device in another condition.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from predictors.campaign import Campaign
from predictors.errors import UnstableMeasurementError
from predictors.protocol import MeasurementProtocol

MAX_DRIFT = 1.5  # factor by which the geometric mean of the references may differ from the first campaign's
MAX_DISTORTION = 0.3  # typical deviation of one reference's log time from the common factor
MAX_REPEAT_ERROR = 0.25  # typical relative deviation between the two measurements of one network
ADVICE = (
    "close other work on the machine and measure again, with more --passes (a longer protocol) or more "
    "--samples; its raw times are kept and enter no fit"
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``scale`` times this campaign's times are on the scale of the device's first campaign.

    ``reasons`` say why the campaign is suspect; none: it is good. ``references_ms`` are the median
    times of the references in this campaign.
    """

    scale: float
    references_ms: tuple[float, ...]
    reasons: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether the campaign may enter a fit."""
        return not self.reasons


def judge(campaign: Campaign, baseline_ms: Sequence[float] | None, protocol: MeasurementProtocol) -> Verdict:
    """Compare a campaign's references with the first campaign's, and its repeats with one another."""
    now = tuple(sample.latency_ms for sample in campaign.references)
    reasons = list(_repeats(campaign, protocol))
    if baseline_ms is None or len(baseline_ms) != len(now):
        return Verdict(1.0, now, tuple(reasons))
    ratios = np.log(np.asarray(baseline_ms)) - np.log(np.asarray(now))
    shift = float(np.mean(ratios))
    distortion = float(np.median(np.abs(ratios - np.median(ratios))))
    if abs(shift) > math.log(MAX_DRIFT):
        reasons.append(
            f"references: the device is {math.exp(-shift):.2f} times as slow as in its first campaign; "
            f"at most {MAX_DRIFT} (or 1/{MAX_DRIFT}) is allowed"
        )
    if distortion > MAX_DISTORTION:
        reasons.append(
            f"references: they changed by different factors (typically {math.expm1(distortion):.0%} apart; "
            f"at most {math.expm1(MAX_DISTORTION):.0%} is allowed)"
        )
    return Verdict(1.0 if reasons else math.exp(shift), now, tuple(reasons))


def require_good(campaign: Campaign, verdict: Verdict) -> None:
    """Raise UnstableMeasurementError, which says why and what to try, for a suspect campaign."""
    if not verdict.is_good:
        raise unstable("; ".join(verdict.reasons), campaign.repeatability)


def unstable(reason: str, repeatability: Mapping[str, float]) -> UnstableMeasurementError:
    """The error of a campaign that is suspect for this reason; see ``Campaign.repeatability``."""
    said = {
        "relative_error": "one measurement errs by {:.1%}",
        "wall_over_cpu": "wall time is {:.1f} times CPU time",
    }
    known = [text.format(repeatability[name]) for name, text in said.items() if name in repeatability]
    return UnstableMeasurementError(f"{'; '.join([reason, *known])}. What to try: {ADVICE}")


def _repeats(campaign: Campaign, protocol: MeasurementProtocol) -> list[str]:
    error, found = campaign.relative_error, campaign.self_spearman
    if error is not None and error > MAX_REPEAT_ERROR:
        return [
            f"repeats: networks measured twice differ by {error:.0%}; "
            f"at most {MAX_REPEAT_ERROR:.0%} is allowed"
        ]
    runtime = campaign.samples[0].device.runtime if campaign.samples else ""
    least = protocol.required_spearman(runtime)
    if found is not None and campaign.spread >= protocol.min_spread and found < least:
        return [f"repeats: the campaign repeats itself with Spearman {found:.3f}; {least} is required"]
    return []
