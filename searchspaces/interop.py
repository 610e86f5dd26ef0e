"""Spaces and archs for other tools: plain JSON, Optuna, Ray Tune, NNI.

Those tools know no conditional choices, so they are given every choice of the space at the
top level; ``arch_from_assignment`` drops what is inactive in what they propose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from searchspaces.errors import InvalidArchError
from searchspaces.space import Arch, SearchSpace, Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

JsonObject: TypeAlias = dict[str, Any]


def space_to_json(space: SearchSpace) -> JsonObject:
    """Id, size and choices of the space. The size is a string of digits: it may exceed 64 bits."""
    return {
        "id": space.id,
        "name": space.name,
        "version": space.version,
        "size": str(space.size()),
        "choices": [
            {
                "name": choice.name,
                "values": list(choice.values),
                "active_if": None
                if choice.active_if is None
                else {
                    "choice": choice.active_if[0],
                    "values": sorted(choice.active_if[1], key=lambda value: (str(type(value)), value)),
                },
            }
            for choice in space.choices
        ],
    }


def arch_to_json(space: SearchSpace, arch: Arch) -> JsonObject:
    """The arch as ``space``, ``genes`` (option indices) and ``values`` (active choices by name)."""
    return {"space": space.id, "genes": list(arch.genes), "values": space.values(arch)}


def arch_from_json(space: SearchSpace, data: object) -> Arch:
    """The arch of a JSON object with ``space`` and ``genes`` or ``values``; given both, they must agree.

    Raises InvalidArchError, which names the field, for anything else: unknown or missing
    fields, another space, genes or values that are none of the space's.
    """
    if not isinstance(data, Mapping):
        raise InvalidArchError(f"an arch is a JSON object with space and genes or values; got {data!r:.80}")
    unknown = [str(name) for name in data if name not in ("space", "genes", "values")]
    if unknown:
        raise InvalidArchError(f"arch: unknown field {unknown[0]!r}; there are space, genes and values")
    if data.get("space") != space.id:
        raise InvalidArchError(f"arch: space must be {space.id!r}; got {data.get('space')!r:.80}")
    archs = []
    if "genes" in data:
        archs.append(_from_genes(space, data["genes"]))
    if "values" in data:
        archs.append(_from_values(space, data["values"]))
    if not archs:
        raise InvalidArchError("arch: needs genes or values")
    if archs[0] != archs[-1]:
        raise InvalidArchError("arch: genes and values denote different archs")
    return archs[0]


def _from_genes(space: SearchSpace, genes: object) -> Arch:
    if not isinstance(genes, Sequence) or isinstance(genes, str | bytes):
        raise InvalidArchError(f"arch: genes must be a list of option indices; got {genes!r:.80}")
    return space.arch(genes)


def _from_values(space: SearchSpace, values: object) -> Arch:
    if not isinstance(values, Mapping):
        raise InvalidArchError(f"arch: values must be an object of choices by name; got {values!r:.80}")
    return space.arch_of(values)


def assignment(space: SearchSpace, arch: Arch) -> dict[str, Value]:
    """A value for *every* choice, as flat tools want it; inactive choices have their first value."""
    values = space.values(arch)
    return {choice.name: values.get(choice.name, choice.values[0]) for choice in space.choices}


def arch_from_assignment(space: SearchSpace, values: Mapping[str, Value]) -> Arch:
    """The canonical arch of a flat assignment: values of inactive choices are left out.

    Raises InvalidArchError for a missing active choice, an unknown name or an unknown value.
    """
    known: dict[str, Value] = {}
    for choice in space.choices:
        parent, allowed = choice.active_if or (None, frozenset())
        if choice.name in values and (parent is None or any(known.get(parent) == v for v in allowed)):
            known[choice.name] = values[choice.name]
    known |= {name: values[name] for name in sorted(set(values) - {choice.name for choice in space.choices})}
    return space.arch_of(known)


def to_optuna(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Optuna's distributions by choice, each categorical; pass results to ``arch_from_assignment``."""
    from optuna.distributions import CategoricalDistribution  # spaces load with NumPy alone

    return {choice.name: CategoricalDistribution(choice.values) for choice in space.choices}


def to_ray_tune(space: SearchSpace) -> dict[str, Any]:
    """A Ray Tune search space by choice; pass sampled configs to ``arch_from_assignment``."""
    # Imported by name: the import contracts keep Ray out of whatever loads this module.
    choose = import_module("ray.tune").choice
    return {choice.name: choose(list(choice.values)) for choice in space.choices}


def to_nni(space: SearchSpace) -> JsonObject:
    """NNI's search-space JSON; pass received parameters to ``arch_from_assignment``.

    ``searchspaces.nni_json.from_nni`` reads such files, nested ones too.
    """
    return {choice.name: {"_type": "choice", "_value": list(choice.values)} for choice in space.choices}
