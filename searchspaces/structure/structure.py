"""The Structure protocol: a space's knowledge of what its genes compute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from searchspaces.structure.cell import CellStructure, is_cell
from searchspaces.structure.roles import RoleStructure

if TYPE_CHECKING:
    from searchspaces.space import Choice

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


class Structure(Protocol):
    """Maps canonical genes (n, c) and the mask (n, c) of active choices to features."""

    def features(self, genes: IntArray, active: BoolArray) -> Mapping[str, FloatArray]:
        """Named views, each (n, d) with a d of its own.

        Views describe the same archs from different sides; a surrogate weighs them by how well
        each explains what was measured. The columns of a view do not depend on the archs given.
        """
        ...

    def connected(self, genes: IntArray, active: BoolArray) -> BoolArray:
        """Whether the output depends on the input (n,)."""
        ...


def infer_structure(choices: tuple[Choice, ...]) -> Structure:
    """A cell if every choice is an operator on an edge (``edge_0_1``), otherwise roles of choices."""
    return CellStructure(choices) if is_cell(choices) else RoleStructure(choices)
