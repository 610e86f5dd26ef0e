"""Closed-form counts of a NAS-Bench-201 cell and of the residual block that opens its stages.

Peak memory is found by walking through the operations in their order: an operation's result is
alive from then on, and a map is freed after its last use.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from searchspaces.subnet import CELL_EDGES, CellSpec, ResidualSpec


@dataclass(slots=True)
class Counts:
    """Parameters, multiply-adds, elements put out by convolutions, and elements alive at the worst moment.

    ``maps`` holds the elements of every feature map, ``steps`` each operation as (result, operands).
    """

    params: int = 0
    macs: int = 0
    activations: int = 0
    maps: list[int] = field(default_factory=list)
    steps: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)

    def map(self, elements: int, *operands: int) -> int:
        """The index of a new map, computed from ``operands``."""
        self.maps.append(elements)
        self.steps.append((len(self.maps) - 1, operands))
        return len(self.maps) - 1

    def conv(self, x: int, pixels: int, in_width: int, width: int, kernel: int, *, norm: bool = True) -> int:
        """A convolution to ``pixels`` x ``width``, with the batch norm after it."""
        fan_in = in_width * kernel**2
        self.params += fan_in * width + 2 * width * norm
        self.macs += pixels * fan_in * width
        self.activations += pixels * width
        y = self.map(pixels * width, x)
        return self.map(pixels * width, y) if norm else y

    def relu(self, x: int) -> int:
        """An elementwise operation."""
        return self.map(self.maps[x], x)

    def add(self, x: int | None, y: int) -> int:
        """The sum, or ``y`` itself if there is nothing to add it to."""
        return y if x is None else self.map(self.maps[y], x, y)

    def alive(self, output: int) -> int:
        """Elements alive at the worst moment."""
        last = {operand: i for i, (_, operands) in enumerate(self.steps) for operand in operands}
        last[output] = len(self.steps)
        alive = peak = 0
        for i, (result, operands) in enumerate(self.steps):
            alive += self.maps[result]
            peak = max(peak, alive)
            alive -= sum(self.maps[operand] for operand in set(operands) if last[operand] == i)
            alive -= 0 if result in last else self.maps[result]
        return peak


def cell_counts(spec: CellSpec, pixels: int) -> tuple[int, int, int, int]:
    """(params, macs, activations, elements alive) of a cell on maps of ``pixels``."""
    counts = Counts()
    nodes: dict[int, int] = {0: counts.map(pixels * spec.in_width)}
    for (source, target), operators in zip(CELL_EDGES, spec.edges, strict=True):
        for name in operators:
            if source not in nodes:
                nodes[source] = counts.map(pixels * spec.width, nodes[0])
            in_width = spec.in_width if source == 0 else spec.width
            y = _operator(counts, name, nodes[source], pixels, in_width, spec.width)
            nodes[target] = counts.add(nodes.get(target), y)
    output = nodes[3] if 3 in nodes else counts.map(pixels * spec.width, nodes[0])
    return counts.params, counts.macs, counts.activations, counts.alive(output)


def _operator(counts: Counts, name: str, x: int, pixels: int, in_width: int, width: int) -> int:
    match name:
        case "skip_connect":
            return x
        case "avg_pool_3x3":
            return counts.map(counts.maps[x], x)
        case "project":
            return counts.conv(x, pixels, in_width, width, 1)
        case "nor_conv_1x1":
            return counts.conv(counts.relu(x), pixels, in_width, width, 1)
        case "nor_conv_3x3":
            return counts.conv(counts.relu(x), pixels, in_width, width, 3)
        case _:
            raise ValueError(f"a cell has no operator {name!r}")


def residual_counts(spec: ResidualSpec, size: int) -> tuple[int, int, int, int]:
    """(params, macs, activations, elements alive) of the block on maps of ``size`` x ``size`` pixels."""
    counts, pixels = Counts(), (-(-size // spec.stride)) ** 2
    x = counts.map(size**2 * spec.in_width)
    pooled = counts.map(pixels * spec.in_width, x)
    shortcut = counts.conv(pooled, pixels, spec.in_width, spec.width, 1, norm=False)
    y = counts.conv(counts.relu(x), pixels, spec.in_width, spec.width, 3)
    y = counts.conv(counts.relu(y), pixels, spec.width, spec.width, 3)
    return counts.params, counts.macs, counts.activations, counts.alive(counts.add(shortcut, y))
