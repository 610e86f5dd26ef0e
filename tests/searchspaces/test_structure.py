"""Structural features say what an arch computes, not where its genes lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from searchspaces.cells import OPERATORS, has_path
from searchspaces.errors import InvalidFeaturesError
from searchspaces.genes import enumerate_genes, sample_genes
from searchspaces.registry import get_space
from searchspaces.space import SearchSpace
from searchspaces.structure.structure import BoolArray, FloatArray, IntArray
from tests.contracts.toy import toy_space

CELL = get_space("nasbench201")
NONE, SKIP, CONV1, CONV3, POOL = range(5)


def features(space: SearchSpace, rows: Sequence[Sequence[int]]) -> Mapping[str, FloatArray]:
    return space.features(np.array(rows, dtype=np.int64))


def test_connected_cells_are_those_with_a_path() -> None:
    genes = enumerate_genes(CELL)
    expected = [has_path([OPERATORS[gene] for gene in row]) for row in genes.tolist()]
    assert CELL.connected(genes).tolist() == expected
    assert len(genes) - sum(expected) == 341


def test_dead_edges_count_for_the_device_alone() -> None:
    # Node 1 leads nowhere, so what feeds it does not matter; columns: 01, 02, 12, 03, 13, 23.
    views = features(CELL, [[CONV3, NONE, NONE, CONV1, NONE, NONE], [NONE, NONE, NONE, CONV1, NONE, NONE]])
    same = {name: bool((view[0] == view[1]).all()) for name, view in views.items()}
    assert same == {"counts": True, "edges": True, "paths": True, "operators": False, "genes": False}


def test_isomorphic_cells_have_the_same_counts_and_paths() -> None:
    through_1 = [CONV3, NONE, NONE, SKIP, CONV1, NONE]
    through_2 = [NONE, CONV3, NONE, SKIP, NONE, CONV1]
    views = features(CELL, [through_1, through_2])
    assert (views["counts"][0] == views["counts"][1]).all()
    assert (views["paths"][0] == views["paths"][1]).all()
    assert (views["edges"][0] != views["edges"][1]).any()


def test_different_work_has_different_paths() -> None:
    views = features(CELL, [[NONE, NONE, NONE, op, NONE, NONE] for op in (SKIP, CONV1, CONV3, POOL)])
    assert len(np.unique(views["paths"], axis=0)) == 4


@pytest.mark.parametrize("name", ["hybrid-tiny", "nats-size", "nasbench201"])
def test_distinct_archs_have_distinct_features_and_columns_are_stable(name: str) -> None:
    space = get_space(name)
    genes = np.unique(sample_genes(space, 200, np.random.default_rng(0)), axis=0)
    genes = genes[space.connected(genes)]
    together, alone = space.features(genes), space.features(genes[:3])
    for view, part in zip(together.values(), alone.values(), strict=True):
        assert (view[:3] == part).all()
    distinct = len(np.unique(np.hstack(list(together.values())), axis=0))
    assert distinct == len(genes) if name != "nasbench201" else distinct > 0.8 * len(genes)


def test_roles_count_blocks_by_kind_wherever_they_are() -> None:
    space = toy_space(3)
    rows = [
        list(
            space.arch_of(
                {
                    "depth": 2,
                    "b0.operator": a,
                    f"b0.{x}": 1 if x == "heads" else 3,
                    "b1.operator": b,
                    f"b1.{y}": 1 if y == "heads" else 3,
                }
            ).genes
        )
        for a, x, b, y in (("conv", "kernel", "attention", "heads"), ("attention", "heads", "conv", "kernel"))
    ]
    views = features(space, rows)
    assert (views["totals"][0] == views["totals"][1]).all()
    assert (views["stages"][0] != views["stages"][1]).any()
    assert (views["genes"][0] != views["genes"][1]).any()


class _NotANumber:
    def features(self, genes: IntArray, active: BoolArray) -> Mapping[str, FloatArray]:
        return {"bad": np.full((len(genes), 1), np.nan)}

    def connected(self, genes: IntArray, active: BoolArray) -> BoolArray:
        return np.ones(len(genes), dtype=np.bool_)


def test_features_that_are_no_numbers_are_refused() -> None:
    space = replace(toy_space(2), structure=_NotANumber())
    with pytest.raises(InvalidFeaturesError, match="bad"):
        space.features(enumerate_genes(space))
