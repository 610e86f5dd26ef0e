"""Race: which searchers run against each other, and how the budget is divided into rungs.

Successive halving (Jamieson & Talwalkar 2016, arXiv 1502.07943, algorithm 1) with the hypervolume of
what a searcher was told as its score: the budget is cut into equal rungs, at the end of each the
worse half of the searchers stops, and the best one has the last rung for itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nas.errors import ConfigError
from nas.types import Study

RACE = "race"  # stands where the study that unites a race would name its searcher


@dataclass(frozen=True, slots=True)
class Race:
    """``study`` unites the race: every evaluated arch once, its budget that of all racers together.

    ``racers`` are studies of their own, one for each searcher and seed, in a fixed order; they
    differ in id, searcher and seed alone.
    """

    study: Study
    racers: tuple[Study, ...]

    @property
    def searchers(self) -> tuple[str, ...]:
        """The searchers in the order given."""
        return tuple(dict.fromkeys(racer.searcher for racer in self.racers))


def make_race(study: Study, searchers: Sequence[str], repeats: int = 1) -> Race:
    """The race of these searchers under the settings of ``study``; each runs with ``repeats`` seeds.

    Raises ConfigError for fewer than two searchers, one named twice, or ``repeats`` below 1.
    """
    if len(searchers) < 2:
        raise ConfigError(f"race needs at least two searchers; got {list(searchers)}")
    if twice := [name for name in searchers if list(searchers).count(name) > 1]:
        raise ConfigError(f"race names {twice[0]!r} twice; each searcher may run once")
    if repeats < 1:
        raise ConfigError(f"repeats must be at least 1; got {repeats}")
    union = replace(study, searcher=RACE)
    racers = [
        replace(
            study,
            id=f"{study.id}.{name}" if repeats == 1 else f"{study.id}.{name}.{repeat}",
            searcher=name,
            seed=study.seed + repeat,
            race=study.id,
        )
        for name in searchers
        for repeat in range(repeats)
    ]
    return Race(union, tuple(racers))


@dataclass(frozen=True, slots=True)
class Rungs:
    """``budget`` evaluations cut into equal rungs, enough to halve ``n_searchers`` down to one."""

    budget: int
    n_searchers: int

    @property
    def n_rungs(self) -> int:
        """One per halving, and one that the best searcher has for itself."""
        return 1 + math.ceil(math.log2(self.n_searchers))

    def end(self, rung: int) -> int:
        """How many evaluations of the race have been spent when rung 0, 1, ... is over."""
        return math.ceil(self.budget * (rung + 1) / self.n_rungs)

    def batch(self, n_racers: int, batch_size: int) -> int:
        """Archs per racer and round: ``batch_size``, or less where a round would outgrow the rung."""
        return max(1, min(batch_size, math.ceil(self.end(0) / n_racers)))


def survivors(scores: Mapping[str, float]) -> tuple[str, ...]:
    """The better half, rounded up, in the order given; of equal scores the earlier one stays."""
    names = list(scores)
    best = sorted(names, key=lambda name: (-scores[name], names.index(name)))[: math.ceil(len(names) / 2)]
    return tuple(name for name in names if name in best)
