"""Routes: paths that start in one anchor and may cross stitches into others.

The blocks of every anchor are cut at the same number of places; a *cut* is where a route may
leave one anchor for another, and cut c of all anchors lies at the same resolution and about
the same relative depth. SN-Net (arXiv 2302.06586, section 3.3) lets a route leave its anchor
once, towards the next costlier one; SN-Netv2 (arXiv 2307.00154, section 3.2) lets it go
either way and come back.

As text a route is ``conv``, ``conv@3>ssm`` (leave at cut 3) or ``ssm@2>conv@5>ssm``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations
from math import ceil
from typing import Literal, TypeAlias, cast

from searchspaces.errors import AnchorMismatchError, ForbiddenRouteError, InvalidArchError
from searchspaces.space import Arch, Choice, SearchSpace, Value

Rule: TypeAlias = Literal["one-way", "two-way"]
_STEP = re.compile(r"(?P<anchor>[^@>]+)@(?P<cut>[0-9]{1,6})")


@dataclass(frozen=True, slots=True)
class Segment:
    """The blocks of one anchor from cut ``start`` to cut ``stop``; None is the end of the network."""

    anchor: str
    start: int
    stop: int | None


Route: TypeAlias = tuple[Segment, ...]


def ordered_pairs(anchors: Sequence[str], rule: Rule) -> tuple[tuple[str, str], ...]:
    """(from, to) of the stitches at every cut; ``anchors`` are ordered cheapest first.

    One-way: from each anchor to the next costlier one. Two-way: from each to every other.
    """
    return tuple(pairwise(anchors)) if rule == "one-way" else tuple(permutations(anchors, 2))


def route_choices(anchors: Sequence[str], n_cuts: int, rule: Rule) -> tuple[Choice, ...]:
    """The choices that pick a route through ``n_cuts`` cuts, numbered from 1.

    ``route`` names the anchors in order, the cheapest anchor alone first and the costliest alone
    last; ``cut`` is where a route of one switch changes; ``leave`` and ``returnN`` (N the
    ``leave`` taken) are the two cuts of a route that comes back.
    """
    pairs = ordered_pairs(anchors, rule)
    once = tuple(f"{a}>{b}" for a, b in pairs) if n_cuts else ()
    twice = tuple(f"{a}>{b}>{a}" for a, b in pairs) if n_cuts > 1 and rule == "two-way" else ()
    choices = [Choice("route", (*anchors[:-1], *once, *twice, anchors[-1]))]
    if once:
        choices.append(Choice("cut", tuple(range(1, n_cuts + 1)), ("route", frozenset(once))))
    if twice:
        choices.append(Choice("leave", tuple(range(1, n_cuts)), ("route", frozenset(twice))))
        choices += [
            Choice(f"return{cut}", tuple(range(cut + 1, n_cuts + 1)), ("leave", frozenset({cut})))
            for cut in range(1, n_cuts)
        ]
    return tuple(choices)


def route_of(values: Mapping[str, Value]) -> Route:
    """The segments that active values of ``route_choices`` denote."""
    anchors = str(values["route"]).split(">")
    cuts: list[int] = []
    if "cut" in values:
        cuts = [cast(int, values["cut"])]
    elif "leave" in values:
        leave = cast(int, values["leave"])
        cuts = [leave, cast(int, values[f"return{leave}"])]
    bounds: list[int | None] = [0, *cuts, None]
    return tuple(
        Segment(anchor, cast(int, start), stop)
        for anchor, (start, stop) in zip(anchors, pairwise(bounds), strict=True)
    )


def route_name(route: Route) -> str:
    """The route as text: ``ssm@2>conv@5>ssm``."""
    return ">".join(s.anchor if s.stop is None else f"{s.anchor}@{s.stop}" for s in route)


def arch_of_route(space: SearchSpace, text: str, others: Mapping[str, Value] | None = None) -> Arch:
    """The arch of a route given as text; ``others`` are values of further choices (default: the last).

    Raises ForbiddenRouteError, which names the route and what the space allows.
    """
    choices = {choice.name: choice for choice in space.choices}
    values: dict[str, Value] = {
        name: choice.values[-1] for name, choice in choices.items() if name in _further(space)
    }
    try:
        return space.arch_of({**values, **(others or {}), **_parsed(text)})
    except InvalidArchError as error:
        cuts = choices["cut"].values if "cut" in choices else ()
        allowed = ", ".join(str(value) for value in choices["route"].values)
        where = f", cut at {cuts[0]}..{cuts[-1]} in ascending order" if cuts else ""
        raise ForbiddenRouteError(
            f"{space.id}: route {text!r:.80} is not allowed; routes are {allowed}{where}"
        ) from error


def _further(space: SearchSpace) -> frozenset[str]:
    own = ("route", "cut", "leave")
    return frozenset(c.name for c in space.choices if c.name not in own and not c.name.startswith("return"))


def _parsed(text: str) -> dict[str, Value]:
    *steps, last = text.split(">")
    matches = [_STEP.fullmatch(step) for step in steps]
    parts = [match for match in matches if match is not None]
    if len(parts) < len(steps):
        return {"route": text}
    values: dict[str, Value] = {"route": ">".join([*(part["anchor"] for part in parts), last])}
    cuts = [int(part["cut"]) for part in parts]
    if len(cuts) == 1:
        values["cut"] = cuts[0]
    elif len(cuts) == 2:
        values |= {"leave": cuts[0], f"return{cuts[0]}": cuts[1]}
    return values


def match_cuts(sizes: Mapping[str, Sequence[int]]) -> Mapping[str, tuple[int, ...]]:
    """Where each anchor is cut: anchor to the number of its blocks before cut 1, 2, ….

    ``sizes[anchor]`` holds the side length in pixels after each of its blocks. At every
    resolution that all anchors have, the anchor with the fewest blocks is cut after each of
    them and the others at the same relative depth; the end of the network is no cut.

    Raises AnchorMismatchError, which names two anchors and their resolutions, if no resolution
    is common to all.
    """
    common = [
        size for size in dict.fromkeys(next(iter(sizes.values()))) if all(size in s for s in sizes.values())
    ]
    if not common:
        raise AnchorMismatchError(_without_common(sizes))
    cuts: dict[str, list[int]] = {anchor: [] for anchor in sizes}
    for size in common:
        blocks = {anchor: [i for i, s in enumerate(own) if s == size] for anchor, own in sizes.items()}
        fewest = min(len(own) for own in blocks.values())
        for step in range(1, fewest + 1):
            for anchor, own in blocks.items():
                cuts[anchor].append(own[ceil(step * len(own) / fewest) - 1] + 1)
    inner = [all(cuts[a][c] < len(sizes[a]) for a in sizes) for c in range(len(next(iter(cuts.values()))))]
    return {
        anchor: tuple(c for c, keep in zip(own, inner, strict=True) if keep) for anchor, own in cuts.items()
    }


def _without_common(sizes: Mapping[str, Sequence[int]]) -> str:
    shown = {anchor: list(dict.fromkeys(own)) for anchor, own in sizes.items()}
    names = list(shown)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            if not set(shown[a]) & set(shown[b]):
                return (
                    f"anchors {a!r} and {b!r} cannot be stitched: their features have no common side length"
                    f" ({a!r}: {shown[a]} pixels, {b!r}: {shown[b]} pixels)"
                )
    listed = ", ".join(f"{name!r}: {own}" for name, own in shown.items())
    return f"anchors cannot be stitched: no side length is common to all ({listed} pixels)"
