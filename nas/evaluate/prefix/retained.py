"""Outputs of prefixes that are retained from one call to the next: searchers ask for relatives."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from nas.evaluate.prefix.trie import Node, Root
from searchspaces.subnet import AnyHeadSpec, EntrySpec, Layer, StemSpec, SubnetSpec

FLOAT_BYTES = 4
Prefix = tuple[int, tuple[Layer, ...]]  # resolution, layers


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a prefix gives for every calibration batch, and for every batch of validation images."""

    calibration: list[Tensor] = field(default_factory=list)
    validation: list[Tensor] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        """Bytes of all outputs."""
        return sum(tensor.nbytes for tensor in (*self.calibration, *self.validation))


class Retained:
    """Outputs of prefixes, at most ``limit`` bytes: what was used least recently goes first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.nbytes = 0
        self._outputs: OrderedDict[Prefix, Outputs] = OrderedDict()

    def n_known(self, subnet: SubnetSpec) -> int:
        """How many of its layers the longest retained prefix of a subnet has."""
        for n in range(len(subnet.layers) - 1, 0, -1):
            if (subnet.resolution, subnet.layers[:n]) in self._outputs:
                return n
        return 0

    def outputs(self, resolution: int, layers: tuple[Layer, ...]) -> Outputs:
        """Those of a retained prefix, which is thereby used."""
        self._outputs.move_to_end((resolution, layers))
        return self._outputs[resolution, layers]

    def add(self, outputs: Mapping[Prefix, Outputs]) -> None:
        """Retain these, which together take at most ``limit`` bytes."""
        for prefix, given in outputs.items():
            self.nbytes += given.nbytes
            self._outputs[prefix] = given
        while self.nbytes > self.limit:
            self.nbytes -= self._outputs.popitem(last=False)[1].nbytes


class Recorder:
    """Records the outputs of a trie's nodes while it is walked, as many as fit into ``limit`` bytes.

    First those that save the most layers per byte. A node in front of nothing but heads is left
    out, since no other subnet goes on from there.
    """

    def __init__(self, root: Root, n_images: int, limit: int) -> None:
        """``n_images`` go through the trie in all, those for calibration included."""
        sizes = {
            node: (path, n_images * _image_bytes(root.resolution, path))
            for node, path in root.paths()
            if any(not isinstance(layer.spec, AnyHeadSpec) for layer in node.children)
        }
        best = sorted(sizes, key=lambda node: sizes[node][1] / len(sizes[node][0]))
        self._chosen: dict[Node, tuple[Prefix, Outputs]] = {}
        for node in best:
            path, n_bytes = sizes[node]
            if n_bytes <= limit:
                limit -= n_bytes
                self._chosen[node] = (root.resolution, path), Outputs()

    def calibration(self, node: Node, y: Tensor) -> None:
        """Take note of the output of a node for the next calibration batch."""
        if node in self._chosen:
            self._chosen[node][1].calibration.append(y)

    def validation(self, run: Callable[[Node, Tensor], Tensor]) -> Callable[[Node, Tensor], Tensor]:
        """``run`` for one batch, noting each node's output the first time."""
        met: set[Node] = set()

        def noting(node: Node, x: Tensor) -> Tensor:
            y = run(node, x)
            if node in self._chosen and node not in met:
                met.add(node)
                self._chosen[node][1].validation.append(y)
            return y

        return noting

    def outputs(self) -> dict[Prefix, Outputs]:
        """All that was recorded."""
        return dict(self._chosen.values())


def _image_bytes(resolution: int, path: tuple[Layer, ...]) -> int:
    """Bytes of the output behind these layers for one image, in float32."""
    size = resolution
    for layer in path:
        if isinstance(layer.spec, StemSpec | EntrySpec):
            size = -(-size // layer.spec.stride)
    return FLOAT_BYTES * path[-1].spec.width * size * size
