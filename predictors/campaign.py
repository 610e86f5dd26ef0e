"""Campaign: the outcome of measuring many subnets together, and how well it repeats itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from predictors.sample import LatencySample
from searchspaces.space import Arch

MIN_REPEATS = 3  # fewer pairs say nothing about noise


@dataclass(frozen=True, slots=True)
class Campaign:
    """Samples in the order of the candidates; ``repeats`` are second, independent entries of some.

    ``failures`` holds the candidates that the runtime could not run, and why. ``references`` are
    networks that every campaign of a device measures, so that two campaigns can be compared. ``notes``
    say what was asked for and could not be measured.
    """

    samples: tuple[LatencySample, ...]
    repeats: tuple[LatencySample, ...] = ()
    failures: Mapping[Arch, str] = field(default_factory=dict)
    references: tuple[LatencySample, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def spread(self) -> float:
        """Ratio of the 90th to the 10th percentile of the latencies; 1 for fewer than two."""
        if len(self.samples) < 2:
            return 1.0
        low, high = np.percentile([sample.latency_ms for sample in self.samples], (10, 90))
        return float(high / low)

    @property
    def relative_error(self) -> float | None:
        """Standard deviation of one measurement, as a share of it, from the pairs; None for fewer than 3.

        sqrt(mean d^2 / 2) over the pairs' differences d of log latency.
        """
        pairs = self._pairs()
        if len(pairs) < MIN_REPEATS:
            return None
        differences = [math.log(first / second) for first, second in pairs]
        return float(np.sqrt(np.mean(np.square(differences)) / 2))

    @property
    def self_spearman(self) -> float | None:
        """Spearman correlation to expect between this campaign and a repetition of it.

        The test-retest reliability r = 1 - (error variance / variance of all log latencies) is
        estimated from the pairs and turned into a rank correlation by Pearson's 6/pi asin(r/2),
        exact for normal log latencies. With ten pairs this is far steadier than their own
        Spearman, which one swap of neighbours moves by .012. None for fewer than 3 pairs.
        """
        error = self.relative_error
        variance = float(np.var([math.log(s.latency_ms) for s in self.samples])) if self.samples else 0.0
        if error is None or variance == 0.0:
            return None
        reliability = max(0.0, 1.0 - error**2 / variance)
        return 6 / math.pi * math.asin(reliability / 2)

    @property
    def wall_over_cpu(self) -> float:
        """Median over samples of median wall time over median CPU time; NaN without samples."""
        if not self.samples:
            return math.nan
        return float(np.median([np.median(s.wall_ms) / np.median(s.cpu_ms) for s in self.samples]))

    @property
    def repeatability(self) -> dict[str, float]:
        """How well the campaign repeats itself, as far as that is known: plain numbers by name."""
        found = {
            "self_spearman": self.self_spearman,
            "relative_error": self.relative_error,
            "spread": self.spread,
            "wall_over_cpu": self.wall_over_cpu,
        }
        return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}

    def scaled(self, factor: float) -> Campaign:
        """The same with the times of all candidates multiplied; references stay as they were."""
        samples, repeats = (
            tuple(sample.scaled(factor) for sample in part) for part in (self.samples, self.repeats)
        )
        return replace(self, samples=samples, repeats=repeats)

    def _pairs(self) -> list[tuple[float, float]]:
        first = {sample.arch: sample.latency_ms for sample in self.samples}
        return [(first[sample.arch], sample.latency_ms) for sample in self.repeats]


def joined(first: Sequence[LatencySample], second: Sequence[LatencySample]) -> tuple[LatencySample, ...]:
    """The samples of two rounds over the same entries, their raw times one after the other."""
    return tuple(
        replace(a, cpu_ms=a.cpu_ms + b.cpu_ms, wall_ms=a.wall_ms + b.wall_ms)
        for a, b in zip(first, second, strict=True)
    )
