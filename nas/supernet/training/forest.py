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
        chosen = [i for i, subnet in enumerate(subnets) if subnet.resolution == resolution]
        paths = [subnets[i].layers for i in chosen]
        outputs = run_paths(supernet, resize(images, resolution), paths, drop)
        logits |= dict(zip(chosen, outputs, strict=True))
    return [logits[i] for i in range(len(subnets))]


def run_paths(
    supernet: Supernet, x: Tensor, paths: Sequence[Sequence[Layer]], drop: DropPath | None = None
) -> list[Tensor]:
    """What each sequence of layers puts out for the same input; common beginnings run once."""
    outputs: dict[int, Tensor] = {}
    _descend(supernet, x, dict(enumerate(paths)), 0, drop, outputs)
    return [outputs[i] for i in range(len(paths))]


def _descend(
    supernet: Supernet,
    x: Tensor,
    paths: dict[int, Sequence[Layer]],
    depth: int,
    drop: DropPath | None,
    outputs: dict[int, Tensor],
) -> None:
    """Run the paths, which agree before ``depth``, from there on; fill in ``outputs``."""
    branches: dict[Layer, dict[int, Sequence[Layer]]] = {}
    for i, layers in paths.items():
        if len(layers) == depth:
            outputs[i] = x
        else:
            branches.setdefault(layers[depth], {})[i] = layers
    for layer, branch in branches.items():
        y = supernet.block(layer.slot)(x, layer.spec)
        _descend(supernet, y if drop is None else drop(layer, x, y), branch, depth + 1, drop, outputs)
