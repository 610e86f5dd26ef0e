"""Choice, Arch, SearchSpace: points of a search space as plain data.

A space is a list of choices. A choice may be active only under some values of one earlier
choice, so the choices form a forest; that is what makes counting exact and canonical form
unique. An ``Arch`` is one option index per choice, with 0 at every inactive choice.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from searchspaces.errors import InvalidArchError, InvalidFeaturesError
from searchspaces.fabric import WeightFabric
from searchspaces.parts import Parts
from searchspaces.structure.structure import Structure, infer_structure
from searchspaces.subnet import SubnetSpec

Value: TypeAlias = int | float | str
FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]
IntArray: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Choice:
    """One decision: ``values`` cheapest first; active if the named earlier choice has one of the values."""

    name: str
    values: tuple[Value, ...]
    active_if: tuple[str, frozenset[Value]] | None = None


@dataclass(frozen=True, slots=True)
class Arch:
    """A canonical point of the space ``space`` ("name@version"). Only ``SearchSpace`` makes them."""

    space: str
    genes: tuple[int, ...]

    @property
    def key(self) -> str:
        """16 hex digits of SHA-256 over space and genes: the same in every process and version."""
        text = f"{self.space}:{','.join(map(str, self.genes))}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class SearchSpace:
    """A Fabric plus the choices that pick one path and its sizes in it.

    Laws: for archs a, b of the space, ``a == b`` iff ``values(a) == values(b)`` iff
    ``encode([a]) == encode([b])``; ``decode`` is total.
    """

    name: str
    version: int
    choices: tuple[Choice, ...]
    fabric: WeightFabric
    build: Callable[[Mapping[str, Value]], SubnetSpec]
    structure: Structure | None = None  # what genes compute; None: inferred from the names of the choices
    parts: Parts | None = None  # the pieces that archs are made of; None: they have to be decoded

    def __post_init__(self) -> None:
        seen: dict[str, Choice] = {}
        for choice in self.choices:
            if choice.name in seen or not choice.values or len(set(choice.values)) != len(choice.values):
                raise ValueError(f"{self.id}: choice {choice.name!r} needs a new name and distinct values")
            if choice.active_if is not None:
                parent, allowed = choice.active_if
                if parent not in seen or not allowed <= set(seen[parent].values):
                    raise ValueError(
                        f"{self.id}: {choice.name!r} depends on {parent!r}, not an earlier choice"
                    )
            seen[choice.name] = choice

    @property
    def id(self) -> str:
        """``name@version``: the version is bumped whenever a key changes its meaning."""
        return f"{self.name}@{self.version}"

    @cached_property
    def _parents(self) -> tuple[tuple[int, frozenset[int]] | None, ...]:
        """For each choice: index of its parent and the parent's option indices that activate it."""
        index = {choice.name: i for i, choice in enumerate(self.choices)}
        parents: list[tuple[int, frozenset[int]] | None] = []
        for choice in self.choices:
            if choice.active_if is None:
                parents.append(None)
                continue
            parent = index[choice.active_if[0]]
            options = frozenset(self.choices[parent].values.index(v) for v in choice.active_if[1])
            parents.append((parent, options))
        return tuple(parents)

    def active(self, genes: Sequence[int]) -> tuple[bool, ...]:
        """Which choices matter under these genes; a choice whose parent is inactive is inactive."""
        active: list[bool] = []
        for parent in self._parents:
            active.append(parent is None or (active[parent[0]] and genes[parent[0]] in parent[1]))
        return tuple(active)

    def active_mask(self, genes: IntArray) -> BoolArray:
        """``active`` of every row: mask (n, c) for genes (n, c)."""
        mask = np.ones(genes.shape, dtype=np.bool_)
        for column, parent in enumerate(self._parents):
            if parent is not None:
                # Two to four times as fast as np.isin; searchers ask for every candidate.
                among = (genes[:, parent[0], None] == list(parent[1])).any(axis=1)
                mask[:, column] = mask[:, parent[0]] & among
        return mask

    @cached_property
    def _structure(self) -> Structure:
        return self.structure or infer_structure(self.choices)

    def features(self, genes: IntArray) -> Mapping[str, FloatArray]:
        """Structural features of the archs with these canonical genes (n, c), as named views (n, d).

        Raises InvalidFeaturesError for a structure that gives another number of rows, or NaN.
        """
        views = self._structure.features(genes, self.active_mask(genes))
        for name, view in views.items():
            if view.ndim != 2 or len(view) != len(genes) or not np.isfinite(view).all():
                raise InvalidFeaturesError(
                    f"{self.id}: features {name!r} must be finite with {len(genes)} rows; got {view.shape}"
                )
        return views

    def connected(self, genes: IntArray) -> BoolArray:
        """Which archs' outputs depend on their input: mask (n,) for canonical genes (n, c)."""
        return self._structure.connected(genes, self.active_mask(genes))

    def arch(self, genes: Sequence[int]) -> Arch:
        """The canonical arch of these option indices (one per choice; inactive ones are reset to 0).

        Raises InvalidArchError for a wrong length, a non-integer or an index out of range.
        """
        if len(genes) != len(self.choices):
            raise InvalidArchError(f"{self.id} has {len(self.choices)} choices; got {len(genes)} genes")
        for choice, gene in zip(self.choices, genes, strict=True):
            if isinstance(gene, bool) or not isinstance(gene, (int, np.integer)):
                raise InvalidArchError(f"{self.id}: gene of {choice.name!r} is an option index; got {gene!r}")
            if not 0 <= gene < len(choice.values):
                raise InvalidArchError(
                    f"{self.id}: gene of {choice.name!r} must lie in 0..{len(choice.values) - 1}; got {gene}"
                )
        active = self.active(genes)
        return Arch(self.id, tuple(int(g) if on else 0 for g, on in zip(genes, active, strict=True)))

    def arch_of(self, values: Mapping[str, Value]) -> Arch:
        """The arch with these active values; names of inactive or unknown choices raise InvalidArchError."""
        genes = [0] * len(self.choices)
        for i, (choice, parent) in enumerate(zip(self.choices, self._parents, strict=True)):
            on = parent is None or (self.choices[parent[0]].name in values and genes[parent[0]] in parent[1])
            if on != (choice.name in values):
                state = "needs a value" if on else "is inactive and takes none"
                raise InvalidArchError(f"{self.id}: choice {choice.name!r} {state}")
            if on:
                genes[i] = self._option(choice, values[choice.name])
        unknown = sorted(set(values) - {choice.name for choice in self.choices})
        if unknown:
            raise InvalidArchError(f"{self.id} has no choice named {unknown[0]!r}")
        return self.arch(genes)

    def _option(self, choice: Choice, value: Value) -> int:
        for i, option in enumerate(choice.values):
            if type(option) is type(value) and option == value:  # True == 1.0 == 1 in Python, not here
                return i
        raise InvalidArchError(
            f"{self.id}: {choice.name!r} must be one of {choice.values}; got {value!r:.80}"
        )

    def sample(self, rng: np.random.Generator) -> Arch:
        """A random arch: every *active choice* is uniform over its options, independently.

        Not uniform over distinct archs, which would favour depth: deeper subnets have more of them.
        """
        return self.arch([int(rng.integers(len(choice.values))) for choice in self.choices])

    def extreme(self, *, largest: bool) -> Arch:
        """The arch whose every active choice takes its last (largest) or first (smallest) option."""
        return self.arch([len(choice.values) - 1 if largest else 0 for choice in self.choices])

    def values(self, arch: Arch) -> dict[str, Value]:
        """Name to value of the active choices, in the order of the choices."""
        self._check(arch)
        active = self.active(arch.genes)
        return {
            choice.name: choice.values[gene]
            for choice, gene, on in zip(self.choices, arch.genes, active, strict=True)
            if on
        }

    def decode(self, arch: Arch) -> SubnetSpec:
        """The network that the arch denotes."""
        return self.build(self.values(arch))

    def encode(self, archs: Sequence[Arch]) -> FloatArray:
        """One-hot of every active choice, shape (n, d), d = total number of options; inactive are 0."""
        offsets = np.cumsum([0, *(len(choice.values) for choice in self.choices)])
        matrix = np.zeros((len(archs), int(offsets[-1])))
        for row, arch in enumerate(archs):
            self._check(arch)
            for i, (gene, on) in enumerate(zip(arch.genes, self.active(arch.genes), strict=True)):
                if on:
                    matrix[row, offsets[i] + gene] = 1.0
        return matrix

    def size(self) -> int:
        """The exact number of distinct archs."""
        counts: list[list[int]] = [[1] * len(choice.values) for choice in self.choices]
        for i in reversed(range(len(self.choices))):
            parent = self._parents[i]
            if parent is not None:
                for option in parent[1]:
                    counts[parent[0]][option] *= sum(counts[i])
        return math.prod(
            sum(count) for count, parent in zip(counts, self._parents, strict=True) if parent is None
        )

    def archs(self) -> Iterator[Arch]:
        """Every distinct arch, lazily, in lexicographic order of the genes.

        Inactive choices are not walked, so each step yields an arch: the first n cost O(n), in a
        space of any size.
        """
        yield from self._archs([])

    def _archs(self, prefix: list[int]) -> Iterator[Arch]:
        depth = len(prefix)
        if depth == len(self.choices):
            yield self.arch(prefix)
            return
        parent = self._parents[depth]
        # Inactive choices hold 0, so a chain of parents must be checked from its root: active() does.
        on = parent is None or self.active(prefix + [0] * (len(self.choices) - depth))[depth]
        for gene in range(len(self.choices[depth].values) if on else 1):
            yield from self._archs([*prefix, gene])

    def _check(self, arch: Arch) -> None:
        if arch.space != self.id:
            raise InvalidArchError(f"arch of space {arch.space} used in space {self.id}")
