"""Start the stitches of a supernet in closed form from paired activations of its anchors.

SN-Net (arXiv 2302.06586, equation 4): the map from anchor a to anchor b at a position is the
least-squares solution between what a delivers there and what b expects there, on the same
images. Anchors here are the paths that stay within one family.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from nas.blocks.stitch import ElasticStitch, least_squares
from nas.supernet.resize import resize
from nas.supernet.sampling import resized, within_anchor
from nas.supernet.supernet import Supernet
from searchspaces.fabric import Fabric, block_slot, stitch_slot
from searchspaces.space import SearchSpace
from searchspaces.subnet import SubnetSpec

TOKENS = 4096  # pixels per position that enter a fit


def fit_stitches(supernet: Supernet, images: Tensor, *, seed: int) -> None:
    """Set the base map of every stitch in place, from float images (B, C, H, W).

    Batch statistics normalise the activations, because those of the anchors are mixed in the
    shared ones. Raises TypeError for a space without a common chain of positions.
    """
    fabric = _chain(supernet.space)
    rng = np.random.default_rng([seed, 1])
    arrivals = {
        anchor: entry_activations(supernet, anchor_subnet(supernet.space, anchor, rng), images)
        for anchor in fabric.anchors
    }
    for position in fabric.positions:
        for stitch in position.stitches:
            source = arrivals[stitch.source][position.name]
            target = arrivals[stitch.target][position.name]
            weight, bias = least_squares(source, target)
            block = supernet.block(stitch_slot(position.name, stitch.source, stitch.target))
            assert isinstance(block, ElasticStitch)
            block.set_base(weight, bias)


def _chain(space: SearchSpace) -> Fabric:
    if not isinstance(space.fabric, Fabric):
        raise TypeError(f"{space.id} has no chain of positions that its anchors share")
    return space.fabric


def anchor_subnet(space: SearchSpace, anchor: str, rng: np.random.Generator) -> SubnetSpec:
    """The largest path that stays within one anchor."""
    genes: Sequence[int] = [0] * len(space.choices)
    return space.decode(space.arch(resized(space, within_anchor(space, genes, anchor, rng), largest=True)))


def entry_activations(supernet: Supernet, subnet: SubnetSpec, images: Tensor) -> Mapping[str, Tensor]:
    """What arrives at each position on this path: name to (n, width), n at most ``TOKENS`` pixels."""
    positions = {
        block_slot(position.name, candidate.name): position.name
        for position in _chain(supernet.space).positions
        for candidate in position.candidates
    }
    x = resize(images, subnet.resolution)
    arrivals = {}
    training = supernet.training
    supernet.train()
    with torch.no_grad():
        for layer in subnet.layers:
            if layer.slot in positions:
                pixels = x.permute(0, 2, 3, 1).flatten(0, 2).float()
                stride = max(1, len(pixels) // TOKENS)
                arrivals[positions[layer.slot]] = pixels[::stride]
            x = supernet.block(layer.slot)(x, layer.spec)
    supernet.train(training)
    return arrivals
