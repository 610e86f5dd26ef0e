"""Curves of a race: hypervolume over evaluations, per searcher with the spread over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

Points = Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Curve:
    """What a searcher had found after ``evaluations[i]`` archs of its own were told to it.

    An arch that another racer had evaluated already counts like any other: the curve shows what the
    searcher does with the archs it asked, not who paid for them. ``hypervolume`` is the median
    over the searcher's seeds, ``low`` and ``high`` the least and the most of them; all three are
    equal for one seed. ``dropped_after`` is the number at which the race stopped it, or None.
    """

    searcher: str
    n_seeds: int
    evaluations: tuple[int, ...]
    hypervolume: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    dropped_after: int | None = None


def curve_of(searcher: str, seeds: Sequence[Points], dropped_after: int | None = None) -> Curve:
    """The curve over the (evaluations, hypervolume) points of each seed, at least one.

    A seed counts from its first point on, with its latest value: a search keeps what it has found.
    """
    at = tuple(sorted({n for points in seeds for n, _ in points}))
    columns = [[v for points in seeds if (v := _value(points, n)) is not None] for n in at]
    return Curve(
        searcher,
        len(seeds),
        at,
        tuple(float(median(values)) for values in columns),
        tuple(min(values) for values in columns),
        tuple(max(values) for values in columns),
        dropped_after,
    )


def _value(points: Points, n: int) -> float | None:
    found = [value for told, value in points if told <= n]
    return found[-1] if found else None
