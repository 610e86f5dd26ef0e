"""What the sources teach about transfer, by leaving each of them out in turn.

Each source plays the new device: how well every configuration explains a subset of its values from
the other sources is the prior of that configuration, and how far the intervals of a whole few-shot
fit are off on its other values is by what intervals must be stretched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from predictors.transfer.basis import LEVEL_FLOOR, Basis, kernel, make_basis
from predictors.transfer.configurations import Configurations
from predictors.transfer.inference import infer
from predictors.transfer.posterior import log_evidence
from predictors.transfer.sources import Scale, SourceFit, Standard
from predictors.transfer.tables import FloatArray, IntArray

SUBSET = 40  # values of a held-out source per evidence
REPEATS = 2
TEMPER = 0.6  # of a held-out source's evidence: another device's habits count less than its own
UNIFORM = 0.1  # share of the prior that no source informs
CLIPPED = 0.97  # quantile above which values of a subset are outliers
NORMAL_90 = 1.6448536269514722
COVERAGE = 0.9
STRETCH = (0.5, 3.0)  # bounds
DRAWS = 3  # random samples of each held-out source on which intervals are tried
EVEN = 10  # samples whose surprise counts as much as the sources do
REFERENCE = 100  # values of a held-out source over which the deviation is averaged


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One source as if it were new: its values (n,), its features in every view, the others' basis."""

    source: int
    basis: Basis
    values: FloatArray
    views: tuple[FloatArray, ...]


def hold_out(
    standard: Standard,
    fit: SourceFit,
    pool: FloatArray,
    views: Sequence[tuple[FloatArray, ...]],
    values: Sequence[FloatArray],
) -> tuple[HeldOut, ...]:
    """Every source held out; none where there is only one. ``pool`` are features of all measured archs."""
    count = len(values)
    if count < 2:
        return ()
    return tuple(
        HeldOut(
            source,
            make_basis(standard, fit, [other for other in range(count) if other != source], pool),
            values[source],
            views[source],
        )
        for source in range(count)
    )


def log_prior(
    held_out: Sequence[HeldOut], configurations: Configurations, rng: np.random.Generator
) -> FloatArray:
    """Log prior (c,): a mixture over the held-out sources, since a new device resembles some of them."""
    if not held_out:
        return np.zeros(len(configurations))
    shares = []
    for one in held_out:
        evidence = _evidence(one, configurations.without(one.source), rng)
        evidence[configurations.main == one.source] = -np.inf
        share = np.exp(TEMPER * (evidence - evidence.max()))
        shares.append(share / share.sum())
    uniform = UNIFORM / len(configurations)
    return np.asarray(np.log((1 - UNIFORM) * np.mean(shares, axis=0) + uniform))


def _evidence(one: HeldOut, configurations: Configurations, rng: np.random.Generator) -> FloatArray:
    """Mean log evidence (c,) over random subsets of the source's values."""
    total = np.zeros(len(configurations))
    for _ in range(REPEATS):
        rows = rng.choice(len(one.values), min(SUBSET, len(one.values)), replace=False)
        values = np.minimum(one.values[rows], np.quantile(one.values[rows], CLIPPED))
        views = [features[rows] for features in one.views]
        level = one.basis.level(views[0])
        relative = values / values.mean() - 1
        if one.basis.scale is Scale.LOG:
            relative = np.log(values) - np.log(values).mean()
        samples = [one.basis.components(features) for features in views]
        noise = np.square(configurations.noise[:, None] * level)
        kernels = kernel(configurations, samples, samples)
        total += log_evidence(kernels, noise, relative / one.basis.spread) / REPEATS
    return total


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far off intervals were on held-out sources, fitted to as many samples as the new device has.

    ``stretch`` is the factor of the standard deviation that made 90 % of them hold, ``surprise`` the
    ``Inference.surprise`` that came with it; None where there was nothing to hold out.
    """

    samples: int
    stretch: float
    surprise: float | None

    def factor(self, surprise: float) -> float:
        """What to multiply a new device's deviation with, whose own samples have this surprise.

        The more samples, the more their surprise counts beside what the sources say.
        """
        if self.surprise is None:
            return self.stretch
        share = self.samples**2 / (self.samples**2 + EVEN**2)
        return float(np.clip(self.stretch * (surprise / self.surprise) ** share, *STRETCH))


def calibrate(
    held_out: Sequence[HeldOut],
    configurations: Configurations,
    log_prior_: FloatArray,
    samples: int,
    rng: np.random.Generator,
) -> Calibration:
    """Fit to random ``samples`` of each held-out source, several times, and look at its other values.

    Both figures are geometric means over the sources; for the stretch, 1 is one more of them.
    """
    stretches, surprises = [0.0] * DRAWS, []
    for one in held_out:
        for _ in range(DRAWS):
            rows = rng.permutation(len(one.values))
            train, test = rows[:samples], rows[samples:]
            if min(len(train), len(test)) < samples:
                continue
            stretch, surprise = _tried(one, configurations, log_prior_, train, test)
            stretches.append(np.log(stretch))
            surprises.append(np.log(surprise))
    return Calibration(
        samples,
        float(np.clip(np.exp(np.mean(stretches)), *STRETCH)),
        float(np.exp(np.mean(surprises))) if surprises else None,
    )


def _tried(
    one: HeldOut, configurations: Configurations, log_prior_: FloatArray, train: IntArray, test: IntArray
) -> tuple[float, float]:
    """Stretch and surprise of a fit to the rows ``train``, judged on those of ``test``."""
    views = [features[test] for features in one.views]
    found = infer(
        one.basis,
        configurations.without(one.source),
        np.where(configurations.main == one.source, -np.inf, log_prior_),
        [features[train] for features in one.views],
        one.values[train],
        [features[:REFERENCE] for features in views],
    )
    relative = found.relative(views)
    if one.basis.scale is Scale.LOG:
        errors = np.abs(np.log(one.values[test] / found.unit) - relative)
    else:
        level = np.maximum(1 + relative, LEVEL_FLOOR)
        errors = np.abs(one.values[test] / found.unit - 1 - relative) / level
    return float(np.quantile(errors, COVERAGE)) / (NORMAL_90 * found.deviation), found.surprise
