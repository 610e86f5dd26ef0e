"""Start the stitches between complete anchors in closed form (SN-Net, arXiv 2302.06586, equation 4).

The stitch from anchor a to anchor b at a cut is the least-squares map from what a has there to
what b has there, on the same images. It works because networks trained apart learn features
that span similar low-dimensional subspaces in different bases.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nas.blocks.stitch import ElasticStitch, least_squares
from nas.supernet.resize import resize
from nas.supernet.supernet import Supernet
from searchspaces.fabric import stitch_slot
from searchspaces.routes import Segment
from searchspaces.stitched import StitchedFabric, cut_name

PIXELS = 16384  # of each feature map that enter a fit


def stitched_fabric(supernet: Supernet) -> StitchedFabric:
    """The fabric of a supernet of anchors; TypeError for a supernet of another kind of space."""
    fabric = supernet.space.fabric
    if not isinstance(fabric, StitchedFabric):
        raise TypeError(f"{supernet.space.id} is no space of stitched anchors")
    return fabric


def fit_anchor_stitches(supernet: Supernet, images: Tensor) -> None:
    """Set the base map of every stitch in place, from float images (B, C, H, W) in [0, 1]."""
    fabric = stitched_fabric(supernet)
    features = {anchor: cut_features(supernet, anchor, images) for anchor in fabric.anchors}
    for cut in range(1, fabric.n_cuts + 1):
        for source in fabric.anchors:
            for target in fabric.anchors:
                slot = stitch_slot(cut_name(cut), source, target)
                if slot in fabric.stitches:
                    block = supernet.block(slot)
                    assert isinstance(block, ElasticStitch)
                    block.set_base(*least_squares(features[source][cut], features[target][cut]))


def cut_features(supernet: Supernet, anchor: str, images: Tensor) -> Mapping[int, Tensor]:
    """What the anchor has at each cut: cut to (n, width), n at most ``PIXELS`` pixels.

    Images (B, C, H, W) in [0, 1] are brought to the largest resolution. Batch statistics
    normalise, because averaged weights have no running statistics of their own; running ones
    are left as they were.
    """
    fabric = stitched_fabric(supernet)
    chain = fabric.chain(anchor)
    last = {chain.units[units - 1][-1].slot: cut for cut, units in enumerate(fabric.cuts[anchor], 1)}
    resolution = supernet.space.choices[0].values[-1]
    assert isinstance(resolution, int)
    x = resize(images, resolution)
    kept = {name: buffer.clone() for name, buffer in supernet.named_buffers()}
    training = supernet.training
    supernet.train()
    features: dict[int, Tensor] = {}
    with torch.no_grad():
        for layer in fabric.layers((Segment(anchor, 0, None),))[:-1]:
            x = supernet.block(layer.slot)(x, layer.spec)
            if layer.slot in last:
                features[last[layer.slot]] = pixels(x)
        for name, buffer in supernet.named_buffers():
            buffer.copy_(kept[name])
    supernet.train(training)
    return features


def pixels(x: Tensor) -> Tensor:
    """(B, C, H, W) to at most ``PIXELS`` evenly spaced rows of (B H W, C), in float32."""
    rows = x.permute(0, 2, 3, 1).flatten(0, 2).float()
    stride = -(-len(rows) // PIXELS)
    return rows[::stride]
