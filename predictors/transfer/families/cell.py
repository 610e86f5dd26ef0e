"""Cells of four nodes with an operator on each of six edges (NAS-Bench-201, arXiv 2001.00326).

Two views: the cell as written, and without the edges into nodes that nothing reads, which
compilers remove (eager runtimes compute them all the same).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predictors.transfer.families.gene import Gene
from predictors.transfer.tables import Factor, FloatArray, IntArray, TableFeatures, combinations, one_hot

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
OPERATORS = {"none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"}
# Per pixel and channel pair; a pooling has no multiply-adds worth counting.
MULTIPLY_ADDS = {"nor_conv_1x1": 1.0, "nor_conv_3x3": 9.0}
CALLS = {"nor_conv_1x1": 1.0, "nor_conv_3x3": 1.0, "avg_pool_3x3": 1.0}
LENGTH = {"skip_connect": 0.05, "nor_conv_1x1": 1.0, "nor_conv_3x3": 1.0, "avg_pool_3x3": 0.5}


def cell_features(genes: Sequence[Gene]) -> TableFeatures | None:
    """Features of such cells, None for other choices. One factor holds all six genes."""
    operators = genes[0].values
    if len(genes) != len(EDGES) or any(gene.values != operators for gene in genes):
        return None
    if set(operators) != OPERATORS or len(operators) != len(OPERATORS):
        return None
    names = tuple(str(operator) for operator in operators)
    if [gene.name for gene in genes] != [f"edge_{a}_{b}" for a, b in EDGES]:
        return None
    cells = combinations([len(names)] * len(EDGES))
    views = [_blocks(cells, names), _blocks(without_unread(cells, names.index("none")), names)]
    blocks = {name: (0, np.stack([view[name] for view in views])) for name in views[0]}
    dims = {name: table.shape[2] for name, (_, table) in blocks.items()}
    factor = Factor(tuple(range(len(EDGES))), (len(names),) * len(EDGES), blocks)
    return TableFeatures((factor,), dims, frozenset({"calls", "multiply_adds"}), views=2)


def without_unread(cells: IntArray, none: int) -> IntArray:
    """Cells (n, 6) whose edges into a node without a path to the output are ``none``."""
    read = np.zeros((len(cells), 4), dtype=bool)
    read[:, 3] = True
    for edge in reversed(range(len(EDGES))):
        source, target = EDGES[edge]
        read[:, source] |= read[:, target] & (cells[:, edge] != none)
    kept = np.stack([read[:, target] for _, target in EDGES], axis=1)
    return np.where(kept, cells, none)


def _blocks(cells: IntArray, names: tuple[str, ...]) -> dict[str, FloatArray]:
    """Blocks by name, each (n, columns), coarse to fine."""
    k = len(names)
    amounts = {
        key: np.array([table.get(name, 0.0) for name in names])
        for key, table in (("calls", CALLS), ("multiply_adds", MULTIPLY_ADDS), ("length", LENGTH))
    }
    edges = np.stack([one_hot(cells[:, edge], k) for edge in range(len(EDGES))], axis=1)  # (n, 6, k)
    from_input = [edge for edge, (source, _) in enumerate(EDGES) if source == 0]
    none = names.index("none")
    used = edges[:, :, [operator for operator in range(k) if operator != none]]
    pairs = [
        (used[:, i, :, None] * used[:, j, None, :]).reshape(len(cells), -1)
        for i in range(len(EDGES))
        for j in range(i)
    ]
    return {
        "calls": amounts["calls"][cells].sum(1, keepdims=True),
        "multiply_adds": amounts["multiply_adds"][cells].sum(1, keepdims=True),
        "counts": edges.sum(1),
        "input_counts": edges[:, from_input].sum(1),
        "shape": _shape(cells, none, amounts["length"]),
        "edges": edges.reshape(len(cells), -1),
        "pairs": np.hstack(pairs),
    }


def _shape(cells: IntArray, none: int, length: FloatArray) -> FloatArray:
    """Longest path, edges into each node, whether the output sees the input: (n, 5)."""
    used = cells != none
    longest = np.zeros((len(cells), 4))
    reached = np.zeros((len(cells), 4), dtype=bool)
    reached[:, 0] = True
    for edge, (source, target) in enumerate(EDGES):
        path = np.where(used[:, edge], longest[:, source] + length[cells[:, edge]], 0.0)
        longest[:, target] = np.maximum(longest[:, target], path)
        reached[:, target] |= reached[:, source] & used[:, edge]
    into = [
        used[:, [edge for edge, (_, target) in enumerate(EDGES) if target == node]].sum(1)
        for node in (1, 2, 3)
    ]
    return np.column_stack([longest[:, 3], *into, reached[:, 3]]).astype(np.float64)
