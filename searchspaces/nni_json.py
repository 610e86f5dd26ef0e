"""NNI's search-space JSON, read: a space of choices for any searcher, evaluated by the user's own function.

NNI (nni.readthedocs.io, "HPO Search Space") writes ``{NAME: {"_type": TYPE, "_value": [...]}}``. Read
are ``choice``, ``randint`` (integers from the lower bound up to, not including, the upper one) and
``quniform``; continuous types have no list of options and are refused. Options of a ``choice`` may be
objects with ``_name`` and parameters of their own, which matter only where the option is taken: they
become conditional choices. ``searchspaces.interop.to_nni`` writes what is read here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from searchspaces.errors import InvalidArchError, InvalidSpaceError
from searchspaces.space import Arch, Choice, SearchSpace, Value
from searchspaces.subnet import LayerSpec

READ = ("choice", "randint", "quniform")
MAX_OPTIONS = 10_000  # of one parameter


@dataclass(frozen=True, slots=True)
class NniSpace:
    """A space read from NNI's JSON. Choices of a nested parameter are named ``PARENT.OPTION.NAME``.

    ``space`` has no networks: its archs are searched, never decoded; see ``parameters``.
    """

    space: SearchSpace
    nested: frozenset[str]  # choices whose options are objects with _name

    def parameters(self, arch: Arch) -> dict[str, Any]:
        """What an NNI trial receives for the arch: options by name, nested ones as objects with _name."""
        prefixes = self._prefixes()
        whole: dict[str, Any] = {}
        inside: dict[str, dict[str, Any]] = {"": whole}
        for name, value in self.space.values(arch).items():
            owner = inside[prefixes[name]]
            key = name[len(prefixes[name]) :]
            owner[key] = value
            if name in self.nested:
                inside[f"{name}.{value}."] = owner[key] = {"_name": value}
        return whole

    def arch(self, parameters: Mapping[str, Any]) -> Arch:
        """The arch of an NNI trial's parameters; raises InvalidArchError for those of another space."""
        return self.space.arch_of(dict(self._flat(parameters, "")))

    def _prefixes(self) -> dict[str, str]:
        """What each choice's name begins with that the others of its option begin with too."""
        prefixes = {}
        for choice in self.space.choices:
            parent, options = choice.active_if or ("", frozenset())
            prefixes[choice.name] = "".join(f"{parent}.{option}." for option in options)
        return prefixes

    def _flat(self, parameters: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Value]]:
        prefixes = self._prefixes()
        for key, value in parameters.items():
            name = f"{prefix}{key}"
            if prefixes.get(name) != prefix:
                raise InvalidArchError(f"there is no parameter {key!r:.80} in {prefix[:-1] or 'the space'!r}")
            if name not in self.nested:
                yield name, value
                continue
            if not isinstance(value, Mapping) or not isinstance(value.get("_name"), str):
                raise InvalidArchError(f"parameter {name!r} must be an object with _name; got {value!r:.80}")
            yield name, value["_name"]
            inner = {k: v for k, v in value.items() if k != "_name"}
            yield from self._flat(inner, f"{name}.{value['_name']}.")


class NoNetworks:
    """The fabric of a space without networks."""

    anchors: tuple[str, ...] = ()

    def slots(self) -> Mapping[str, LayerSpec]:
        """None."""
        return {}

    def within(self, anchor: str) -> Mapping[str, frozenset[str]]:  # noqa: ARG002
        """None."""
        return {}


def from_nni(data: object, name: str = "nni") -> NniSpace:
    """Read a search-space JSON object; ``name`` is the space's.

    Raises InvalidSpaceError, which names the parameter, for types that are not READ, options that are
    neither text nor finite numbers nor truth values, options twice, and names that clash once nested
    ones are written out.
    """
    if not isinstance(data, Mapping) or not data:
        raise InvalidSpaceError(f"a search space is a JSON object of parameters; got {data!r:.80}")
    choices: list[Choice] = []
    nested: set[str] = set()
    _read(data, "", None, choices, nested)
    names = [choice.name for choice in choices]
    if twice := [one for one in names if names.count(one) > 1]:
        raise InvalidSpaceError(f"two parameters are called {twice[0]!r} once nested names are written out")
    return NniSpace(SearchSpace(name, 1, tuple(choices), NoNetworks(), _no_network), frozenset(nested))


def _read(
    data: Mapping[Any, Any],
    prefix: str,
    active_if: tuple[str, frozenset[Value]] | None,
    choices: list[Choice],
    nested: set[str],
) -> None:
    """Append the choices of an object of parameters, parents before children."""
    for key, item in data.items():
        name = f"{prefix}{key}"
        if not isinstance(key, str) or not key or not isinstance(item, Mapping):
            raise InvalidSpaceError(f"parameter {name!r} must be an object with _type and _value")
        values = item.get("_value")
        if set(item) != {"_type", "_value"} or not isinstance(values, list) or not values:
            raise InvalidSpaceError(f"parameter {name!r} needs _type and a list _value, and nothing else")
        kind = item["_type"]
        if kind == "choice" and any(isinstance(value, Mapping) for value in values):
            nested.add(name)
            options = tuple(_option_name(name, value) for value in values)
            choices.append(_choice(name, options, active_if))
            for option, value in zip(options, values, strict=True):
                inner = {k: v for k, v in value.items() if k != "_name"}
                _read(inner, f"{name}.{option}.", (name, frozenset([option])), choices, nested)
        else:
            choices.append(_choice(name, _options(name, kind, values), active_if))


def _option_name(name: str, option: object) -> str:
    if not isinstance(option, Mapping) or not isinstance(option.get("_name"), str):
        raise InvalidSpaceError(
            f"options of {name!r} must all be objects with _name, or none; got {option!r:.80}"
        )
    return str(option["_name"])


def _options(name: str, kind: object, values: Sequence[Any]) -> tuple[Value, ...]:
    """The options that a type and its arguments stand for."""
    if kind == "choice":
        for value in values:
            if not _is_plain(value):
                raise InvalidSpaceError(
                    f"options of {name!r} must be text, finite numbers or truth values; got {value!r:.80}"
                )
        return tuple(values)
    if kind not in READ:
        raise InvalidSpaceError(
            f"parameter {name!r} has _type {kind!r:.40}; read are {', '.join(READ)}, which have options"
        )
    if len(values) != (2 if kind == "randint" else 3) or not all(map(_is_number, values)):
        taken = "[lower, upper]" if kind == "randint" else "[low, high, q]"
        raise InvalidSpaceError(f"parameter {name!r}: {kind} takes {taken}; got {values!r:.80}")
    return _integers(name, values) if kind == "randint" else _steps(name, values)


def _integers(name: str, values: Sequence[Any]) -> tuple[Value, ...]:
    low, high = values
    if low != int(low) or high != int(high) or not 0 < high - low <= MAX_OPTIONS:
        raise InvalidSpaceError(
            f"parameter {name!r}: randint needs integers with 1 to {MAX_OPTIONS} between; got {values!r:.80}"
        )
    return tuple(range(int(low), int(high)))


def _steps(name: str, values: Sequence[Any]) -> tuple[Value, ...]:
    """``clip(round(x / q) * q, low, high)`` of all x from low to high."""
    low, high, q = map(float, values)
    if not (q > 0 and low < high and (high - low) / q <= MAX_OPTIONS):
        raise InvalidSpaceError(
            f"parameter {name!r}: quniform needs low < high, q > 0 and at most {MAX_OPTIONS} steps; "
            f"got {values!r:.80}"
        )
    steps = range(round(low / q), round(high / q) + 1)
    return tuple(dict.fromkeys(min(max(step * q, low), high) for step in steps))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_plain(value: object) -> bool:
    return isinstance(value, str | bool) or _is_number(value)


def _choice(name: str, options: tuple[Value, ...], active_if: tuple[str, frozenset[Value]] | None) -> Choice:
    if len(set(options)) != len(options):
        raise InvalidSpaceError(f"parameter {name!r} has an option twice: {options!r:.80}")
    return Choice(name, options, active_if)


def _no_network(values: Mapping[str, Value]) -> NoReturn:  # noqa: ARG001
    raise InvalidArchError("a space read from NNI's JSON has no networks; evaluate its archs by parameters")
