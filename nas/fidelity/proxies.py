"""Proxies: what orders subnets without any training. A supernet must rank better than these."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from searchspaces.cost import cost
from searchspaces.space import Arch, SearchSpace

FloatArray = NDArray[np.float64]
_WIDTH = re.compile(r"(?:.*\.)?width(?:_\d+)?")


def proxies(
    space: SearchSpace, archs: Sequence[Arch], *, in_channels: int, n_classes: int
) -> dict[str, FloatArray]:
    """Name to one value per arch, higher is better.

    ``params``, ``macs``, ``depth`` (the number of searched blocks), ``resolution`` (the side of the
    images), ``log_widths`` (the sum of the natural logarithms of the widths that the space lets one
    choose). A proxy that is the same for all of the archs orders nothing and is left out. Raises
    InvalidArchError for an arch of another space.
    """
    specs = [space.decode(arch) for arch in archs]
    costs = [cost(spec, in_channels=in_channels, n_classes=n_classes) for spec in specs]
    columns = {
        "params": [float(one.params) for one in costs],
        "macs": [float(one.macs) for one in costs],
        "depth": [float(len(spec.blocks)) for spec in specs],
        "resolution": [float(spec.resolution) for spec in specs],
        "log_widths": [_log_widths(space, arch) for arch in archs],
    }
    arrays = {name: np.array(column) for name, column in columns.items()}
    return {name: array for name, array in arrays.items() if array.size and np.ptp(array) > 0}


def _log_widths(space: SearchSpace, arch: Arch) -> float:
    values = space.values(arch)
    widths = [v for name, v in values.items() if isinstance(v, int) and _WIDTH.fullmatch(name)]
    return math.fsum(math.log(width) for width in widths)
