"""FidelityReport: how well a supernet's estimates order subnets whose true accuracy is known. Plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from nas.errors import FidelityError


@dataclass(frozen=True, slots=True)
class Agreement:
    """Rank correlations with the truth, each in [-1, 1]: Spearman's rho and Kendall's tau-b."""

    spearman: float
    kendall_tau: float


@dataclass(frozen=True, slots=True)
class Interval:
    """Ends (low, high) of the 95 % percentile bootstrap intervals of both correlations."""

    spearman: tuple[float, float]
    kendall_tau: tuple[float, float]


@dataclass(frozen=True, slots=True)
class FidelityReport:
    """What a supernet's ranking is worth, on ``subnets`` subnets of ``space`` ("name@version").

    ``metric`` is what was estimated ("top1" or "log_likelihood", both higher is better) and
    ``truth`` says in words where the true accuracies come from. ``top_regret`` is the best true
    accuracy among the subnets minus that of the subnet that the supernet puts first, a fraction in
    [0, 1]. ``proxies`` are what needs no supernet (see proxies.py), held against the same truth.
    """

    space: str
    supernet: str
    subnets: int
    metric: str
    truth: str
    spearman: float
    kendall_tau: float
    interval: Interval
    top_regret: float
    seed: int
    resamples: int
    proxies: Mapping[str, Agreement] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return asdict(self) | {
            "proxies": {name: asdict(agreement) for name, agreement in self.proxies.items()},
            "interval": {
                "spearman": list(self.interval.spearman),
                "kendall_tau": list(self.interval.kendall_tau),
            },
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The report of ``to_dict``. Raises FidelityError for a missing or unknown field."""
        try:
            interval = Interval(**{name: _pair(name, ends) for name, ends in values["interval"].items()})
            proxies = {name: Agreement(**agreement) for name, agreement in values["proxies"].items()}
            return cls(**{**values, "interval": interval, "proxies": proxies})
        except (KeyError, TypeError, AttributeError) as error:
            raise FidelityError(f"not a fidelity report: {error!r}") from error

    def to_json(self) -> str:
        """The report as a JSON text."""
        return json.dumps(self.to_dict(), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The report of ``to_json``. Raises FidelityError for anything else."""
        try:
            values = json.loads(text)
        except ValueError as error:
            raise FidelityError(f"not a fidelity report: {error}") from error
        return cls.from_dict(values)


def _pair(name: str, ends: Sequence[float]) -> tuple[float, float]:
    if len(ends) != 2:
        raise FidelityError(f"not a fidelity report: interval {name!r} must have two ends; got {ends}")
    return float(ends[0]), float(ends[1])
