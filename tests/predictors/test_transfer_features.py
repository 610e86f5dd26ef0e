from __future__ import annotations

import numpy as np
import pytest

from predictors.errors import InvalidValueError
from predictors.transfer.families.cell import EDGES, without_unread
from predictors.transfer.families.choices import table_features
from predictors.transfer.families.gene import Gene, read_genes
from predictors.transfer.tables import IntArray, TableFeatures

OPERATORS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
BLOCKS = ("k3_e1", "k3_e1_g2", "k5_e6", "skip")
GENOMES: dict[str, tuple[Gene, ...]] = {
    "cell": tuple(Gene(f"edge_{a}_{b}", OPERATORS) for a, b in EDGES),
    "fbnet": tuple(Gene(f"layer_{i}", BLOCKS) for i in range(22)),
    "short fbnet": tuple(Gene(f"layer_{i}", BLOCKS) for i in range(5)),
    "ofa": (
        *(Gene(f"kernel_{i}", (3, 5, 7)) for i in range(20)),
        *(Gene(f"expand_{i}", (3, 4, 6)) for i in range(20)),
        *(Gene(f"depth_{i}", (2, 3, 4)) for i in range(5)),
        Gene("resolution", (128, 176, 224)),
    ),
    "ofa of one resolution": (
        *(Gene(f"kernel_{i}", (3, 5)) for i in range(4)),
        *(Gene(f"expand_{i}", (3, 4)) for i in range(4)),
        *(Gene(f"depth_{i}", (1, 2)) for i in range(2)),
    ),
    "widths": tuple(Gene(f"width_{i}", (8, 16, 24)) for i in range(5)),
    "anything": (Gene("a", ("x", "y")), Gene("b", (1, 2, 4)), Gene("c", ("x", "y"))),
}


def random_genes(choices: tuple[Gene, ...], n: int, seed: int = 0) -> IntArray:
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.integers(len(gene.values), size=n) for gene in choices])


@pytest.fixture(params=list(GENOMES))
def choices(request: pytest.FixtureRequest) -> tuple[Gene, ...]:
    return GENOMES[request.param]


@pytest.fixture
def features(choices: tuple[Gene, ...]) -> TableFeatures:
    return table_features(choices)


def test_looking_up_equals_multiplying(choices: tuple[Gene, ...], features: TableFeatures) -> None:
    genes = random_genes(choices, 50)
    weights = np.random.default_rng(1).normal(size=(features.views, sum(features.dims.values())))
    expected = sum(features.matrix(genes, view) @ weights[view] for view in range(features.views))
    np.testing.assert_allclose(features.combine(genes, weights), expected, rtol=1e-9, atol=1e-9)


def test_features_are_finite_and_tell_genomes_apart(
    choices: tuple[Gene, ...], features: TableFeatures
) -> None:
    genes = np.unique(random_genes(choices, 60), axis=0)
    matrix = features.matrix(genes, 0)
    assert np.isfinite(matrix).all()
    assert features.physical <= set(features.dims)
    if "expand_0" not in {gene.name for gene in choices}:  # there, layers beyond the depth do not count
        assert len(np.unique(matrix, axis=0)) == len(genes)


def test_a_layer_beyond_its_units_depth_does_not_count() -> None:
    choices = GENOMES["ofa"]
    genes = random_genes(choices, 2)
    genes[:, 40] = 0  # depth 2 of the first unit: layers 2 and 3 do not run
    genes[1] = genes[0]
    genes[1, [2, 3, 22, 23]] = (genes[0, [2, 3, 22, 23]] + 1) % 3
    matrix = table_features(choices).matrix(genes, 0)
    np.testing.assert_array_equal(matrix[0], matrix[1])
    genes[1, 0] = (genes[0, 0] + 1) % 3
    assert (table_features(choices).matrix(genes, 0)[0] != table_features(choices).matrix(genes, 0)[1]).any()


def test_a_compiler_drops_what_nothing_reads() -> None:
    cells = np.array(
        [
            [3, 0, 0, 1, 0, 0],  # node 1 is computed, nobody reads it
            [3, 0, 0, 1, 2, 0],  # the output reads it
            [3, 2, 3, 1, 0, 0],  # nodes 1 and 2 feed each other only
        ]
    )
    expected = [[0, 0, 0, 1, 0, 0], [3, 0, 0, 1, 2, 0], [0, 0, 0, 1, 0, 0]]
    np.testing.assert_array_equal(without_unread(cells, 0), expected)


def test_order_of_a_cells_options_does_not_matter() -> None:
    genes = random_genes(GENOMES["cell"], 30)
    turned = tuple(Gene(gene.name, OPERATORS[::-1]) for gene in GENOMES["cell"])
    one, other = table_features(GENOMES["cell"]), table_features(turned)
    for view in range(2):
        a, b = one.matrix(genes, view)[:, :2], other.matrix(4 - genes, view)[:, :2]
        np.testing.assert_allclose(a, b)


def test_names_alone_decide_nothing_dangerous() -> None:
    almost = (*GENOMES["cell"][:5], Gene("edge_2_3", ("none", "other")))
    assert table_features(almost).views == 1
    assert "size" in table_features(almost).dims


@pytest.mark.parametrize(
    "document", [None, [], {}, [1], [{"name": 3, "values": [1]}], [{"name": "a", "values": []}]]
)
def test_other_documents_are_refused(document: object) -> None:
    with pytest.raises(InvalidValueError):
        read_genes(document)
