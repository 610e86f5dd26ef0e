"""Expected hypervolume improvement, exact for independent normal marginals, any number of objectives.

The region that a front leaves undominated is cut into disjoint boxes; over each box the expected
improvement is a product of one-dimensional expected improvements (Emmerich, Giannakoglou &
Naujoks 2006; box decomposition: Yang et al. 2019, arXiv 1904.12672). With two objectives that
costs one box per front point; with more, the front is thinned so that boxes stay few.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import ndtr

from nas.pareto import FloatArray, crowding_distance, is_nondominated

FRONT_LIMITS = {1: 1, 2: 128, 3: 36, 4: 12}  # points of the front that are used, by number of objectives
FRONT_LIMIT = 7  # from five objectives on
CHUNK = 2_000_000  # products of candidates and boxes at a time
NORMAL = 1.0 / np.sqrt(2.0 * np.pi)


@dataclass(frozen=True, slots=True)
class Boxes:
    """Disjoint boxes: ``lower`` (b, m), possibly minus infinity, and ``upper`` (b, m)."""

    lower: FloatArray
    upper: FloatArray


def undominated_boxes(costs: FloatArray, reference: FloatArray) -> Boxes:
    """What of the region below ``reference`` (m,) the rows of ``costs`` (n, m) do not dominate."""
    m = len(reference)
    inside = costs[(costs < reference).all(axis=1)]
    front = np.unique(inside[is_nondominated(inside)], axis=0) if len(inside) else inside
    front = _thin(front, FRONT_LIMITS.get(m, FRONT_LIMIT))
    pairs = _decompose(front, reference)
    return Boxes(np.array([low for low, _ in pairs]), np.array([high for _, high in pairs]))


def expected_improvement(boxes: Boxes, mean: FloatArray, std: FloatArray) -> FloatArray:
    """Expected growth (n,) of the dominated volume by points with these marginals, each (n, m)."""
    n, m = mean.shape
    total = np.zeros(n)
    step = max(1, CHUNK // max(1, len(boxes.upper)))
    for start in range(0, n, step):
        rows = slice(start, start + step)
        product = np.ones((len(mean[rows]), len(boxes.upper)))
        for j in range(m):
            edges, index = np.unique(np.stack([boxes.lower[:, j], boxes.upper[:, j]]), return_inverse=True)
            below = _below(edges, mean[rows, j], std[rows, j])
            low, high = index.reshape(2, -1)
            product *= below[:, high] - below[:, low]
        total[rows] = product.sum(axis=1)
    return np.maximum(total, 0.0)


def _below(edges: FloatArray, mean: FloatArray, std: FloatArray) -> FloatArray:
    """E[max(edge - Y, 0)] for each Y and edge, (n, e); 0 for an edge at minus infinity."""
    finite = np.isfinite(edges)
    gap = np.where(finite, edges, 0.0)[None, :] - mean[:, None]
    spread = np.maximum(std, 1e-12)[:, None]
    z = np.clip(gap / spread, -40.0, 40.0)
    value = np.maximum(gap * ndtr(z) + spread * NORMAL * np.exp(-0.5 * z * z), 0.0)
    return np.asarray(np.where(finite, value, 0.0))


def _decompose(front: FloatArray, reference: FloatArray) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
    """Boxes as (lower, upper), slab by slab along the last objective."""
    m = len(reference)
    if m == 1:
        best = front.min() if len(front) else reference[0]
        return [((-np.inf,), (float(min(best, reference[0])),))]
    order = np.argsort(front[:, -1], kind="stable")
    front = front[order]
    levels = [-np.inf, *np.unique(front[:, -1]).tolist(), float(reference[-1])]
    found = []
    for low, high in pairwise(levels):
        if high <= low:
            continue
        active = front[front[:, -1] <= low][:, :-1]
        if len(active):
            active = np.unique(active[is_nondominated(active)], axis=0)
        found += [((*a, low), (*b, high)) for a, b in _decompose(active, reference[:-1])]
    return found


def _thin(front: FloatArray, limit: int) -> FloatArray:
    """At most ``limit`` rows, the least crowded ones."""
    if len(front) <= limit:
        return front
    keep = np.argsort(-crowding_distance(front), kind="stable")[:limit]
    return front[np.sort(keep)]
