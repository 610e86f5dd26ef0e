"""Several copies of the weights of a space, so that subnets which disturb each other share less.

A fully shared supernet ranks subnets badly where a choice changes what all others must learn,
such as where resolution is reduced. A balanced mixture (BMS, "Balanced Mixture of SuperNets")
keeps M copies of the weights and assigns every architecture to one of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from searchspaces.errors import UnknownSpaceError
from searchspaces.fabric import WeightFabric
from searchspaces.space import Choice, SearchSpace, Value
from searchspaces.subnet import Layer, LayerSpec, SubnetSpec

MAX_COPIES = 8
SHARED = ("stem", "head")  # one copy: every subnet needs them


@dataclass(frozen=True, slots=True)
class MixtureFabric:
    """The slots of ``base``, each ``copies`` times; stem and head are shared by all copies."""

    base: WeightFabric
    copies: int

    @property
    def anchors(self) -> tuple[str, ...]:
        """Those of the base."""
        return self.base.anchors

    def slots(self) -> Mapping[str, LayerSpec]:
        """The copies of a slot stand next to each other, in the order of the base."""
        slots: dict[str, LayerSpec] = {}
        for slot, bounds in self.base.slots().items():
            names = [slot] if slot in SHARED else [copy_slot(slot, i) for i in range(self.copies)]
            slots |= dict.fromkeys(names, bounds)
        return slots

    def within(self, anchor: str) -> Mapping[str, frozenset[str]]:
        """As in the base."""
        return self.base.within(anchor)


def copy_slot(slot: str, copy: int) -> str:
    """The name of copy ``copy`` of a slot."""
    return f"{slot}~{copy}"


def mixture_space(space: SearchSpace, copies: int, *, by: str | None = None, name: str) -> SearchSpace:
    """The same architectures on ``copies`` sets of weights.

    With ``by``, the name of a choice, its options are dealt to the copies in order, as evenly as
    their numbers allow; where the choice is inactive, the first copy serves. Without it a hash of
    the architecture decides. Raises UnknownSpaceError for a number of copies that is out of range
    or that the choice has no options for, and for a choice that the space does not have.
    """
    choice = None
    if not 2 <= copies <= MAX_COPIES:
        raise UnknownSpaceError(f"space {name!r}: copies must lie in 2..{MAX_COPIES}; got {copies}")
    if by is not None:
        found = [c for c in space.choices if c.name == by]
        if not found:
            raise UnknownSpaceError(f"space {name!r}: {space.id} has no choice named {by!r:.80}")
        choice = found[0]
        if len(choice.values) < copies:
            raise UnknownSpaceError(
                f"space {name!r}: {by!r} has {len(choice.values)} options, too few for {copies} copies"
            )
    return replace(
        space,
        name=name,
        fabric=MixtureFabric(space.fabric, copies),
        build=partial(_build, space, copies, choice),
    )


def copy_of(copies: int, choice: Choice | None, values: Mapping[str, Value]) -> int:
    """Which copy, 0 to ``copies - 1``, serves the architecture with these active values."""
    if choice is None:
        text = json.dumps(sorted(values.items()))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) % copies
    if choice.name not in values:
        return 0
    return choice.values.index(values[choice.name]) * copies // len(choice.values)


def _build(space: SearchSpace, copies: int, choice: Choice | None, values: Mapping[str, Value]) -> SubnetSpec:
    subnet = space.build(values)
    copy = copy_of(copies, choice, values)
    layers = [
        layer if layer.slot in SHARED else Layer(copy_slot(layer.slot, copy), layer.spec)
        for layer in subnet.layers
    ]
    return replace(subnet, layers=tuple(layers))
