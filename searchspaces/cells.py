"""The two spaces of NATS-Bench (arXiv 2009.00437), whose accuracies are recorded in public tables.

Both are chains of cells: ``nats-size`` fixes the cell and searches five widths, ``nasbench201``
(arXiv 2001.00326) fixes the widths and searches the operators of the cell's six edges, the same in
every cell. Choices have the names and the order of options of the tables, so a row of a table is
an arch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

from searchspaces.fabric import Candidate, Fabric, Position, block_slot, downsample_slot
from searchspaces.space import Choice, SearchSpace, Value
from searchspaces.subnet import (
    CELL_EDGES,
    CellHeadSpec,
    CellSpec,
    CellStemSpec,
    Layer,
    ResidualSpec,
    SubnetSpec,
)

NONE = "none"
OPERATORS = (NONE, "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGE_NAMES = tuple(f"edge_{source}_{target}" for source, target in CELL_EDGES)
WIDTHS = (8, 16, 24, 32, 40, 48, 56, 64)
WIDTH_NAMES = tuple(f"width_{i}" for i in range(5))
# |nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|
SIZE_CELL = ("nor_conv_3x3", "nor_conv_3x3", "nor_conv_3x3", "skip_connect", "nor_conv_3x3", "nor_conv_3x3")
STAGES = 3
CELL = "cell"  # name of the only candidate of every position


def nats_size_space(name: str, *, resolution: int, divisor: int) -> SearchSpace:
    """Five widths of a fixed cell: cell, halving, cell, halving, cell at widths 0 to 4.

    Networks have the widths that the choices say, divided by ``divisor`` (1 as published): narrow
    networks are cheap, and what they can learn is limited by their widths after little training.
    """
    widest = _size_layers(dict.fromkeys(WIDTH_NAMES, WIDTHS[-1]), divisor, bounds=True)
    return SearchSpace(
        name=name,
        version=1,
        choices=tuple(Choice(width, WIDTHS) for width in WIDTH_NAMES),
        fabric=_fabric(widest),
        build=partial(_build_size, resolution, divisor),
    )


def nasbench201_space(name: str, *, width: int, cells: int, resolution: int) -> SearchSpace:
    """The cell's operators; ``cells`` cells a stage, of ``width`` channels in the first of three stages.

    The published skeleton has 16 channels and 5 cells a stage.
    """
    every = (OPERATORS[1:],) * len(CELL_EDGES)
    return SearchSpace(
        name=name,
        version=1,
        choices=tuple(Choice(edge, OPERATORS) for edge in EDGE_NAMES),
        fabric=_fabric(_cell_layers(width, cells, every)),
        build=partial(_build_cell, width, cells, resolution),
    )


def has_path(operators: Sequence[str]) -> bool:
    """Whether a cell with these operators, one per edge of CELL_EDGES, leads from its input to its output.

    Without a path the network's logits do not depend on the image.
    """
    reached = {0}
    for (source, target), operator in zip(CELL_EDGES, operators, strict=True):
        if operator != NONE and source in reached:
            reached.add(target)
    return CELL_EDGES[-1][1] in reached


def _build_size(resolution: int, divisor: int, values: Mapping[str, Value]) -> SubnetSpec:
    return SubnetSpec(resolution, tuple(_size_layers(values, divisor, bounds=False)))


def _build_cell(width: int, cells: int, resolution: int, values: Mapping[str, Value]) -> SubnetSpec:
    edges = tuple(_operators(values[edge]) for edge in EDGE_NAMES)
    return SubnetSpec(resolution, tuple(_cell_layers(width, cells, edges)))


def _operators(value: Value) -> tuple[str, ...]:
    return () if value == NONE else (str(value),)


def _size_layers(values: Mapping[str, Value], divisor: int, *, bounds: bool) -> list[Layer]:
    widths = [cast(int, values[name]) // divisor for name in WIDTH_NAMES]
    layers = [Layer("stem", CellStemSpec(widths[0]))]
    in_width = widths[0]
    for stage in range(STAGES):
        position = f"s{stage}.c0"
        if stage:
            width = widths[2 * stage - 1]
            layers.append(Layer(downsample_slot(position), ResidualSpec(in_width, width)))
            in_width = width
        width = widths[2 * stage]
        layers.append(Layer(block_slot(position, CELL), _size_cell(in_width, width, bounds and stage > 0)))
        in_width = width
    return [*layers, Layer("head", CellHeadSpec(in_width))]


def _size_cell(in_width: int, width: int, both: bool) -> CellSpec:
    """A skip between different widths is a projection; a slot with ``both`` has weights for it."""
    skips: tuple[str, ...] = ("skip_connect",) if in_width == width else ("project",)
    if both:
        skips = ("skip_connect", "project")
    edges = tuple(skips if operator == "skip_connect" else (operator,) for operator in SIZE_CELL)
    return CellSpec(in_width, width, edges)


def _cell_layers(width: int, cells: int, edges: tuple[tuple[str, ...], ...]) -> list[Layer]:
    layers = [Layer("stem", CellStemSpec(width))]
    for stage in range(STAGES):
        for cell in range(cells):
            position = f"s{stage}.c{cell}"
            if stage and cell == 0:
                layers.append(Layer(downsample_slot(position), ResidualSpec(width, 2 * width)))
                width *= 2
            layers.append(Layer(block_slot(position, CELL), CellSpec(width, width, edges)))
    return [*layers, Layer("head", CellHeadSpec(width))]


def _fabric(layers: Sequence[Layer]) -> Fabric:
    """The fabric of these layers at their bounds: a position per cell."""
    stem, head = layers[0].spec, layers[-1].spec
    assert isinstance(stem, CellStemSpec)
    assert isinstance(head, CellHeadSpec)
    positions, entry = [], None
    for layer in layers[1:-1]:
        if isinstance(layer.spec, ResidualSpec):
            entry = layer.spec
        elif isinstance(layer.spec, CellSpec):
            name = layer.slot.partition("/")[0]
            positions.append(Position(name, entry, (Candidate(CELL, layer.spec, layer.spec.family),), ()))
            entry = None
    return Fabric(stem, tuple(positions), head)
