"""Structural features of subnets for latency: what each layer computes and moves, in closed form.

A network's latency is close to the sum of its layers' (Spearman .99 for block sums), and a
layer's close to linear in a few quantities of its kind: one call, multiply-accumulates of
matrix products and of depthwise convolutions, elements written, and the terms that grow with
the square of the tokens. Columns are summed over the layers, so a linear model on them is an
additive latency model. Quantities are per image, in millions, calls excepted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from searchspaces.cost import ssd_chunk_length
from searchspaces.genes import archs_of, gene_matrix
from searchspaces.parts import SizedLayer, sized_layers
from searchspaces.space import Arch, SearchSpace
from searchspaces.subnet import (
    CELL_EDGES,
    CELL_OPERATORS,
    AttentionSpec,
    CellHeadSpec,
    CellSpec,
    CellStemSpec,
    ConvNeXtSpec,
    DownsampleSpec,
    HeadSpec,
    LayerSpec,
    MBConvSpec,
    ResidualSpec,
    SSMSpec,
    StemSpec,
    StitchSpec,
)

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
MILLION = 1e6


def quantities(layer: SizedLayer) -> Mapping[str, float]:
    """What the layer computes and moves: name to amount, in millions.

    ``calls`` is 1, ``operators`` about the number of operators that run.
    """
    return dict(_quantities(layer))


@lru_cache(maxsize=65536)
def _quantities(layer: SizedLayer) -> tuple[tuple[str, float], ...]:
    spec, pixels = layer.spec, layer.size**2
    match spec:
        case StemSpec() | DownsampleSpec() | CellStemSpec():
            amounts = _entry(spec, layer.size)
        case ResidualSpec():
            amounts = _residual(spec, layer.size)
        case StitchSpec():
            amounts = {"matmul": pixels * spec.in_width * spec.width, "elements": pixels * spec.width}
        case MBConvSpec():
            amounts = _mbconv(spec, pixels)
        case ConvNeXtSpec():
            amounts = _convnext(spec, pixels)
        case AttentionSpec():
            amounts = _attention(spec, pixels)
        case SSMSpec():
            amounts = _ssm(spec, pixels)
        case CellSpec():
            amounts = _cell(spec, pixels)
        case HeadSpec() | CellHeadSpec():
            amounts = {"elements": pixels * spec.width}
        case other:
            assert_never(other)
    return (
        ("calls", 1.0),
        ("operators", float(_operators(layer))),
        *((name, value / MILLION) for name, value in amounts.items()),
    )


def _operators(layer: SizedLayer) -> int:
    """About how many operators the layer launches, its convolutions' norms folded."""
    match layer.spec:
        case MBConvSpec():
            return 6
        case ConvNeXtSpec():
            return 8
        case AttentionSpec():
            return 22
        case SSMSpec(directions=directions):
            chunked = layer.size**2 > ssd_chunk_length(layer.size**2)
            return 50 + 4 * (directions > 1) + 8 * (directions > 2) + 30 * chunked
        case CellSpec(edges=edges):
            return sum(2 for operators in edges for name in operators if name != "skip_connect")
        case ResidualSpec():
            return 7
        case StemSpec() | HeadSpec() | CellStemSpec() | CellHeadSpec():
            return 4
        case DownsampleSpec() | StitchSpec():
            return 1
        case other:
            assert_never(other)


def _entry(spec: StemSpec | DownsampleSpec | CellStemSpec, size: int) -> dict[str, float]:
    pixels = size**2 if isinstance(spec, CellStemSpec) else (-(-size // spec.stride)) ** 2
    in_width = spec.in_width if isinstance(spec, DownsampleSpec) else 1
    kernel = 1 if isinstance(spec, DownsampleSpec) and spec.stride == 1 else 3
    return {"matmul": pixels * in_width * spec.width * kernel**2, "elements": pixels * spec.width}


def _cell(spec: CellSpec, pixels: int) -> dict[str, float]:
    """Convolutions by kernel size, and how many operators of each kind run: a cell has up to six."""
    amounts = dict.fromkeys((*_CELL_QUANTITIES, *(f"{name}_calls" for name in CELL_OPERATORS)), 0.0)
    for (source, _), operators in zip(CELL_EDGES, spec.edges, strict=True):
        in_width = spec.in_width if source == 0 else spec.width
        for name in operators:
            amounts[f"{name}_calls"] += MILLION
            amounts["elements"] += pixels * spec.width
            if name == "avg_pool_3x3":
                amounts["pooled"] += pixels * spec.width
            elif name != "skip_connect":
                weights = in_width * spec.width * (9 if name == "nor_conv_3x3" else 1)
                amounts["matmul3" if name == "nor_conv_3x3" else "matmul1"] += pixels * weights
                amounts["weights"] += weights
    return amounts


_CELL_QUANTITIES = ("matmul1", "matmul3", "pooled", "elements", "weights")


def _residual(spec: ResidualSpec, size: int) -> dict[str, float]:
    pixels = (-(-size // spec.stride)) ** 2
    weights = 10 * spec.in_width * spec.width + 9 * spec.width**2
    return {
        "matmul": pixels * weights,
        "elements": size**2 * spec.in_width + 4 * pixels * spec.width,
        "weights": weights,
    }


def _mbconv(spec: MBConvSpec, pixels: int) -> dict[str, float]:
    hidden = spec.width * spec.expansion
    return {
        "matmul": 2 * pixels * spec.width * hidden,
        f"depthwise{spec.kernel}": pixels * hidden,
        "elements": pixels * (2 * hidden + spec.width),
        "weights": 2 * spec.width * hidden,
    }


def _convnext(spec: ConvNeXtSpec, pixels: int) -> dict[str, float]:
    hidden = spec.width * spec.expansion
    return {
        "matmul": 2 * pixels * spec.width * hidden,
        f"depthwise{spec.kernel}": pixels * spec.width,
        "elements": pixels * spec.width,
        "activations": pixels * hidden,
        "weights": 2 * spec.width * hidden,
    }


def _attention(spec: AttentionSpec, pixels: int) -> dict[str, float]:
    hidden, inner = spec.width * spec.expansion, spec.heads * spec.head_dim
    return {
        "matmul": pixels * spec.width * (4 * inner + 2 * hidden),
        "elements": pixels * (spec.width + 3 * inner),
        "activations": pixels * hidden,
        "weights": spec.width * (4 * inner + 2 * hidden),
        "token_pairs": spec.heads * pixels**2,
        "token_products": 2 * inner * pixels**2,
    }


def _ssm(spec: SSMSpec, pixels: int) -> dict[str, float]:
    hidden, heads = spec.width * spec.expansion, spec.width // spec.head_dim
    chunk = ssd_chunk_length(pixels)
    chunks = -(-pixels // chunk)
    scanned = spec.directions * chunks * chunk  # tokens of all scans, padded to whole chunks
    return {
        "matmul": pixels * spec.width * (3 * spec.width + 2 * hidden),
        "elements": pixels * spec.width,
        "activations": pixels * hidden,
        "weights": spec.width * (3 * spec.width + 2 * hidden),
        "scan_projections": scanned * spec.width * (2 * spec.state + heads),
        "scan_elements": scanned * spec.width,
        "decays": scanned * chunk * heads,
        "mixing": scanned * chunk * (spec.state + spec.width),
        "chunked_calls": MILLION * (chunks > 1),
        "chunk_states": (chunks > 1) * scanned * spec.state * spec.width,
        "chunk_pairs": (chunks > 1) * spec.directions * chunks**2 * spec.state * spec.width,
        "direction_calls": MILLION * spec.directions,
    }


def columns(space: SearchSpace) -> tuple[str, ...]:
    """Names ``KIND.QUANTITY`` of every quantity that a layer of this space can have, sorted.

    ``all.QUANTITY`` is its sum over kinds: with few samples the model leans on those.
    """
    names: set[str] = set()
    for bounds in space.fabric.slots().values():
        for spec in _variants(bounds):
            for name in quantities(SizedLayer(spec, 1)):
                names.update((f"{spec.kind}.{name}", f"all.{name}"))
    return tuple(sorted(names))


def _variants(bounds: LayerSpec) -> list[LayerSpec]:
    """The specs whose quantities have different names: one for each odd kernel up to the bound."""
    if isinstance(bounds, MBConvSpec | ConvNeXtSpec):
        return [replace(bounds, kernel=kernel) for kernel in range(1, bounds.kernel + 1, 2)]
    return [bounds]


def features(space: SearchSpace, archs: Sequence[Arch], names: Sequence[str]) -> FloatArray:
    """Sums over the layers of each arch of the quantities ``names``: shape (n, len(names)).

    Each distinct layer is computed once. 10,000 archs take about a second where they have to be
    decoded, and a tenth of it in a space that knows the parts of its archs.
    """
    if space.parts is not None:
        return features_of_genes(space, gene_matrix(space, archs), names)
    index = {name: column for column, name in enumerate(names)}
    table: list[FloatArray] = []
    rows: dict[SizedLayer, int] = {}
    owner, layer_row = [], []
    for position, arch in enumerate(archs):
        for layer in sized_layers(space.decode(arch)):
            row = rows.setdefault(layer, len(rows))
            if row == len(table):
                table.append(_row(layer, index))
            owner.append(position)
            layer_row.append(row)
    result = np.zeros((len(archs), len(names)))
    if table:
        np.add.at(result, np.array(owner), np.stack(table)[np.array(layer_row)])
    return result


def features_of_genes(space: SearchSpace, genes: IntArray, names: Sequence[str]) -> FloatArray:
    """``features`` of the archs with these canonical genes (n, c)."""
    if space.parts is None:
        return features(space, archs_of(space, genes), names)
    table = part_features(space, tuple(names))
    result = np.zeros((len(genes), len(names)))
    for column in space.parts.rows(genes).T:
        result += table[column]
    return result


@lru_cache(maxsize=8)
def part_features(space: SearchSpace, names: tuple[str, ...]) -> FloatArray:
    """The quantities ``names`` of every part in the catalogue of a space with parts: (parts, len(names))."""
    assert space.parts is not None
    index = {name: column for column, name in enumerate(names)}
    rows = {layer: _row(layer, index) for part in space.parts.catalogue for layer in part}
    table = np.zeros((len(space.parts.catalogue), len(names)))
    for total, part in zip(table, space.parts.catalogue, strict=True):
        for layer in part:
            total += rows[layer]
    return table


def layer_features(layers: Sequence[SizedLayer], names: Sequence[str]) -> FloatArray:
    """The rows of ``features`` before they are summed: shape (n_layers, len(names))."""
    index = {name: column for column, name in enumerate(names)}
    return np.stack([_row(layer, index) for layer in layers])


def _row(layer: SizedLayer, index: Mapping[str, int]) -> FloatArray:
    row = np.zeros(len(index))
    for name, amount in quantities(layer).items():
        row[index[f"{layer.spec.kind}.{name}"]] = amount
        row[index[f"all.{name}"]] = amount
    return row
