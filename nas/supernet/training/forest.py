"""Run subnets that begin alike as one tree: what several of them share is computed once."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from nas.supernet.resize import resize
from nas.supernet.supernet import Supernet
from nas.supernet.training.drop_path import DropPath
from searchspaces.subnet import Layer, SubnetSpec


def run_tree(
    supernet: Supernet, images: Tensor, subnets: Sequence[SubnetSpec], drop: DropPath | None = None
) -> list[Tensor]:
    """Logits (B, n_classes) of each subnet on the same images (B, C, H, W) of any resolution.

    A layer that several subnets take with the same sizes after the same layers runs once, and so
    does its backward pass. Without ``drop`` the values are those of each subnet run alone.
    """
    logits: dict[int, Tensor] = {}
    for resolution in dict.fromkeys(subnet.resolution for subnet in subnets):
        paths = {i: s.layers for i, s in enumerate(subnets) if s.resolution == resolution}
        _descend(supernet, resize(images, resolution), paths, 0, drop, logits)
    return [logits[i] for i in range(len(subnets))]


def _descend(
    supernet: Supernet,
    x: Tensor,
    paths: dict[int, tuple[Layer, ...]],
    depth: int,
    drop: DropPath | None,
    logits: dict[int, Tensor],
) -> None:
    """Run the paths, which agree before ``depth``, from there on; fill in ``logits``."""
    branches: dict[Layer, dict[int, tuple[Layer, ...]]] = {}
    for i, layers in paths.items():
        if len(layers) == depth:
            logits[i] = x
        else:
            branches.setdefault(layers[depth], {})[i] = layers
    for layer, branch in branches.items():
        y = supernet.block(layer.slot)(x, layer.spec)
        _descend(supernet, y if drop is None else drop(layer, x, y), branch, depth + 1, drop, logits)
