"""TableFeatures: features that are sums over small groups of genes, hence tables.

A Factor is a group of genes and, for every combination of their options, what that group adds to
the features. Whatever is linear in such features is one number per combination, so a prediction
for a million subnets is a few look-ups each, however many features the model has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
MERGED_CODES = 8192  # factors are merged while their common table stays about this long
CHUNK = 65536  # rows looked up at a time, so that they stay in cache


class FeatureMap(Protocol):
    """Named blocks of features of genomes, coarse to fine, seen in one or more views.

    A view is one reading of the same genome: as written, or as a compiler leaves it after removing
    what does not reach the output. All views have the same columns.
    """

    @property
    def dims(self) -> Mapping[str, int]:
        """Columns of each block, in the order in which they are concatenated."""
        ...

    @property
    def physical(self) -> frozenset[str]:
        """Blocks of one column that counts what hardware does: calls, multiply-adds, elements, weights."""
        ...

    @property
    def views(self) -> int:
        """How many views there are, at least 1."""
        ...

    def matrix(self, genes: IntArray, view: int) -> FloatArray:
        """All blocks side by side, shape (n, sum of dims), for genes (n, d)."""
        ...

    def combine(self, genes: IntArray, weights: FloatArray) -> FloatArray:
        """Sum over views of ``matrix(genes, view) @ weights[view]``, shape (n,)."""
        ...


@dataclass(frozen=True, slots=True)
class Factor:
    """What genes ``columns`` (with ``sizes`` options each) add to the features.

    ``blocks`` maps a block to its first column and a table (views, combinations, columns); the
    combinations run in C order.
    """

    columns: tuple[int, ...]
    sizes: tuple[int, ...]
    blocks: Mapping[str, tuple[int, FloatArray]]

    def codes(self, genes: IntArray) -> IntArray:
        """Number of each genome's combination, shape (n,)."""
        return _codes(genes, self.columns, self.sizes)


@dataclass(frozen=True, slots=True)
class TableFeatures:
    """A FeatureMap made of factors."""

    factors: tuple[Factor, ...]
    dims: Mapping[str, int]
    physical: frozenset[str]
    views: int = 1

    def matrix(self, genes: IntArray, view: int) -> FloatArray:
        """All blocks side by side, shape (n, sum of dims)."""
        starts = self._starts()
        result = np.zeros((len(genes), sum(self.dims.values())))
        for factor in self.factors:
            codes = factor.codes(genes)
            for name, (first, table) in factor.blocks.items():
                start = starts[name] + first
                result[:, start : start + table.shape[2]] += table[view][codes]
        return result

    def combine(self, genes: IntArray, weights: FloatArray) -> FloatArray:
        """Sum over views of ``matrix(genes, view) @ weights[view]``, by look-up."""
        starts = self._starts()
        columns = []
        for factor in self.factors:
            values = np.zeros(int(np.prod(factor.sizes)))
            for name, (first, table) in factor.blocks.items():
                start = starts[name] + first
                values += np.einsum("vcd,vd->c", table, weights[:, start : start + table.shape[2]])
            columns.append(_Column(factor.columns, factor.sizes, values))
        return _look_up(genes, _merge(columns))

    def _starts(self) -> dict[str, int]:
        ends = np.cumsum([0, *self.dims.values()])
        return dict(zip(self.dims, ends[:-1].tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class _Column:
    """One number per combination of the options of ``columns``."""

    columns: tuple[int, ...]
    sizes: tuple[int, ...]
    values: FloatArray


def combinations(sizes: Sequence[int]) -> IntArray:
    """Every combination of option indices in C order, shape (product of sizes, number of genes)."""
    return np.indices(tuple(sizes)).reshape(len(sizes), -1).T.astype(np.int64)


def one_hot(codes: IntArray, size: int) -> FloatArray:
    """Rows of the identity, shape (n, size)."""
    return np.asarray(codes[:, None] == np.arange(size), dtype=np.float64)


def _codes(genes: IntArray, columns: Sequence[int], sizes: Sequence[int]) -> IntArray:
    code = np.zeros(len(genes), dtype=np.int64)
    for column, size in zip(columns, sizes, strict=True):
        code *= size
        code += genes[:, column]
    return code


def _merge(columns: Sequence[_Column]) -> list[_Column]:
    """The same sum in fewer, longer tables."""
    merged: list[_Column] = []
    for column in columns:
        joint = _joint(merged[-1], column) if merged else None
        if joint is None:
            merged.append(column)
        else:
            merged[-1] = joint
    return merged


def _joint(first: _Column, second: _Column) -> _Column | None:
    sizes = dict(zip(first.columns, first.sizes, strict=True))
    sizes.update(zip(second.columns, second.sizes, strict=True))
    if np.prod(list(sizes.values())) > MERGED_CODES:
        return None
    columns, lengths = tuple(sizes), tuple(sizes.values())
    options = combinations(lengths)
    place = {column: i for i, column in enumerate(columns)}
    values = np.zeros(len(options))
    for part in (first, second):
        values += part.values[_codes(options, [place[column] for column in part.columns], part.sizes)]
    return _Column(columns, lengths, values)


def _look_up(genes: IntArray, columns: Sequence[_Column]) -> FloatArray:
    result = np.zeros(len(genes))
    for start in range(0, len(genes), CHUNK):
        rows = genes[start : start + CHUNK]
        for column in columns:
            result[start : start + CHUNK] += column.values[_codes(rows, column.columns, column.sizes)]
    return result
