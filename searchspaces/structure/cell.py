"""Structure of cell-shaped spaces: a directed acyclic graph with an operator on every edge.

An edge is live if its operator is not "none" and it lies on a path from the input to the output.
The others change nothing in what is computed, and features of accuracy leave them out; a device
may run them all the same, so two views keep them for latency. Two cells with the same live paths
compute the same kind of function, wherever its edges lie in the genome: hence features of paths
(path encodings: White et al. 2021, BANANAS, arXiv 1910.11858; here operators are counted per
path, not ordered).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from searchspaces.space import Choice

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
Edge = tuple[int, int]

_EDGE = re.compile(r"edge_(\d+)_(\d+)")
NONE = ("none", "zero", "zeroize")  # names of the operator that cuts an edge
IDENTITY = ("skip_connect", "identity", "skip")  # names of the operator that passes its input on
MAX_PATHS = 64  # a larger cell is described by its choices' roles


def is_cell(choices: tuple[Choice, ...]) -> bool:
    """Whether every choice is the operator of one forward edge and the paths are few enough to list."""
    edges = [_edge(choice.name) for choice in choices]
    forward = all(edge is not None and edge[0] < edge[1] for edge in edges)
    named = len({choice.values for choice in choices}) == 1 and len(set(edges)) == len(edges)
    if not choices or not forward or not named:
        return False
    listed = _paths([edge for edge in edges if edge is not None], limit=MAX_PATHS + 1)
    return 0 < len(listed) <= MAX_PATHS and all(isinstance(value, str) for value in choices[0].values)


class CellStructure:
    """Features of live edges and live paths.

    Views: "counts", "edges", "paths" and, dead edges included, "operators" and "genes".
    """

    def __init__(self, choices: tuple[Choice, ...]) -> None:
        self._edges = [edge for edge in (_edge(choice.name) for choice in choices) if edge is not None]
        self._paths = _paths(self._edges, limit=MAX_PATHS)
        names = [str(value) for value in choices[0].values]
        self._dead = np.array([name in NONE for name in names])
        self._operators = [i for i, name in enumerate(names) if name not in NONE]
        self._working = [i for i in self._operators if names[i] not in IDENTITY]

    def features(self, genes: IntArray, active: BoolArray) -> Mapping[str, FloatArray]:  # noqa: ARG002
        """See Structure. All operators of an edge are alternatives, so every choice is active."""
        live = self._live(genes)
        hot = np.stack([genes == operator for operator in self._operators], axis=2)
        edges = hot & live[:, :, None]
        on = np.stack([live[:, path].all(axis=1) for path in self._paths], axis=1)
        work = [
            on * np.stack([(genes[:, path] == operator).sum(axis=1) for path in self._paths], axis=1)
            for operator in self._working
        ]
        return {
            "counts": np.hstack([edges.sum(axis=1), _statistics(on, work)]).astype(np.float64),
            "edges": edges.reshape(len(genes), -1).astype(np.float64),
            "paths": self._histogram(on, work),
            "operators": hot.sum(axis=1).astype(np.float64),
            "genes": hot.reshape(len(genes), -1).astype(np.float64),
        }

    def connected(self, genes: IntArray, active: BoolArray) -> BoolArray:  # noqa: ARG002
        """See Structure."""
        return np.asarray(self._live(genes).any(axis=1))

    def _live(self, genes: IntArray) -> BoolArray:
        """Mask (n, e) of the edges on a path from input to output that nothing cuts."""
        alive = np.logical_not(self._dead[genes])
        live = np.zeros(alive.shape, dtype=np.bool_)
        for path in self._paths:
            live[:, path] |= alive[:, path].all(axis=1)[:, None]
        return live

    def _histogram(self, on: BoolArray, work: list[IntArray]) -> FloatArray:
        """How many live paths have each combination of operator counts: (n, combinations)."""
        longest = max(len(path) for path in self._paths)
        base = longest + 1
        codes = np.zeros(on.shape, dtype=np.int64)
        for amounts in work:
            codes = codes * base + amounts
        columns = [
            (on & (codes == code)).sum(axis=1)
            for code in range(base ** len(work))
            if sum(_digits(code, base, len(work))) <= longest
        ]
        return np.stack(columns, axis=1).astype(np.float64)


def _statistics(on: BoolArray, work: list[IntArray]) -> FloatArray:
    """Per arch over its live paths: their number, those without work, and of each operator and of
    all of them together the largest, smallest and mean count: (n, 2 + 3 (operators + 1)).
    """
    number = on.sum(axis=1)
    total = np.sum(work, axis=0, dtype=np.int64) if work else np.zeros(on.shape, dtype=np.int64)
    columns = [number, (on & (total == 0)).sum(axis=1)]
    for amounts in (*work, total):
        smallest = np.where(on, amounts, np.iinfo(np.int64).max).min(axis=1)
        columns += [
            amounts.max(axis=1),
            np.where(number > 0, smallest, 0),
            amounts.sum(axis=1) / np.maximum(number, 1),
        ]
    return np.stack(columns, axis=1).astype(np.float64)


def _digits(code: int, base: int, n: int) -> Iterator[int]:
    for _ in range(n):
        code, digit = divmod(code, base)
        yield digit


def _edge(name: str) -> Edge | None:
    match = _EDGE.fullmatch(name)
    return None if match is None else (int(match[1]), int(match[2]))


def _paths(edges: list[Edge], *, limit: int) -> list[list[int]]:
    """Paths from the first to the last node as lists of edge indices; at most ``limit`` of them."""
    source, target = min(a for a, _ in edges), max(b for _, b in edges)
    found: list[list[int]] = []
    stack: list[tuple[int, list[int]]] = [(source, [])]
    while stack and len(found) < limit:
        node, path = stack.pop()
        if node == target:
            found.append(path)
        stack += [(b, [*path, i]) for i, (a, b) in reversed(list(enumerate(edges))) if a == node]
    return found
