"""Parts: archs as sums of few recurring pieces, for what adds up over layers.

Decoding an arch takes some hundred microseconds. Where a space knows which pieces its archs are
made of, whatever is a sum over layers is a table of pieces, looked up for a million archs at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from searchspaces.subnet import LayerSpec, SubnetSpec

IntArray: TypeAlias = NDArray[np.int64]
FloatArray: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SizedLayer:
    """A layer at the side length (pixels) of its input: all that its cost depends on."""

    spec: LayerSpec
    size: int


Part: TypeAlias = tuple[SizedLayer, ...]


class Parts(Protocol):
    """The pieces of a space's archs."""

    @property
    def catalogue(self) -> Sequence[Part]:
        """Every piece that an arch of the space can have; the first one has no layers."""
        ...

    def rows(self, genes: IntArray) -> IntArray:
        """Rows (n, k) of the catalogue for canonical genes (n, c).

        The layers of an arch's k pieces are those of ``sized_layers``, each as often, in any order.
        """
        ...


def sized_layers(subnet: SubnetSpec) -> Part:
    """The subnet's layers with their input sizes, in order."""
    return tuple(
        SizedLayer(layer.spec, size) for layer, size in zip(subnet.layers, subnet.sizes, strict=True)
    )
