"""Fabric: what a supernet is built from. Positions x candidate blocks x stitches, with bounds.

The fabric lists every weight slot with the *largest* sizes that any subnet takes of it.
A space is a fabric plus rules for which paths through it are legal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from searchspaces.subnet import AnyHeadSpec, AnyStemSpec, BlockSpec, EntrySpec, LayerSpec, StitchSpec

OPERATOR = "operator"  # the choice POSITION.operator picks a position's candidate


class WeightFabric(Protocol):
    """The weight slots of a space, each with its largest sizes."""

    @property
    def anchors(self) -> tuple[str, ...]:
        """Names of the anchors."""

    def slots(self) -> Mapping[str, LayerSpec]:
        """Every weight slot and its largest sizes."""

    def within(self, anchor: str) -> Mapping[str, frozenset[str]]:
        """Choice name to the values that keep a path within the anchor, for the choices that matter."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One block that a position offers: ``bounds`` are its largest sizes, ``anchor`` its owner."""

    name: str
    bounds: BlockSpec
    anchor: str


@dataclass(frozen=True, slots=True)
class Position:
    """One place in the chain: an optional downsample, then a stitch if needed, then one candidate."""

    name: str
    downsample: EntrySpec | None
    candidates: tuple[Candidate, ...]
    stitches: tuple[StitchSpec, ...]


@dataclass(frozen=True, slots=True)
class Fabric:
    """Stem, a chain of positions, head."""

    stem: AnyStemSpec
    positions: tuple[Position, ...]
    head: AnyHeadSpec

    @property
    def anchors(self) -> tuple[str, ...]:
        """Names of the anchors in the order they first appear."""
        names = [c.anchor for position in self.positions for c in position.candidates]
        return tuple(dict.fromkeys(names))

    def slots(self) -> Mapping[str, LayerSpec]:
        """Every weight slot and its largest sizes, in the order of the chain."""
        slots: dict[str, LayerSpec] = {"stem": self.stem}
        for position in self.positions:
            if position.downsample is not None:
                slots[downsample_slot(position.name)] = position.downsample
            for stitch in position.stitches:
                slots[stitch_slot(position.name, stitch.source, stitch.target)] = stitch
            for candidate in position.candidates:
                slots[block_slot(position.name, candidate.name)] = candidate.bounds
        slots["head"] = self.head
        return slots

    def within(self, anchor: str) -> Mapping[str, frozenset[str]]:
        """The operators of each position that belong to the anchor."""
        return {
            f"{position.name}.{OPERATOR}": frozenset(
                c.name for c in position.candidates if c.anchor == anchor
            )
            for position in self.positions
        }


def downsample_slot(position: str) -> str:
    """Slot of the downsample that opens the stage at ``position``."""
    return f"{position}/downsample"


def stitch_slot(position: str, source: str, target: str) -> str:
    """Slot of the stitch from anchor ``source`` to anchor ``target`` on entry to ``position``."""
    return f"{position}/stitch-{source}-{target}"


def block_slot(position: str, candidate: str) -> str:
    """Slot of a candidate block at ``position``."""
    return f"{position}/{candidate}"
