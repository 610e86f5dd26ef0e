"""Supernet: all weights of a space in one module, run along the path of one subnet at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nas.blocks.elastic import ElasticBlock
from nas.blocks.zoo import elastic_block
from searchspaces.space import SearchSpace
from searchspaces.subnet import AnyStemSpec, SubnetSpec


class Supernet(nn.Module):
    """One elastic block per slot of the space's fabric.

    The subnet is an argument of ``forward``, never state. ``mean`` and ``std`` per channel are
    those of the training images in [0, 1]; every stem normalises with them.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        n_classes: int,
        in_channels: int,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.space = space
        self.n_classes = n_classes
        self.in_channels = in_channels
        # Module names may not hold dots, slot names do.
        self.slots = nn.ModuleDict(
            {
                slot.replace(".", "_"): elastic_block(bounds, in_channels=in_channels, n_classes=n_classes)
                for slot, bounds in space.fabric.slots().items()
            }
        )
        stems = [slot for slot, bounds in space.fabric.slots().items() if isinstance(bounds, AnyStemSpec)]
        with torch.no_grad():
            for slot in stems:
                for name, values in (("mean", mean), ("std", std)):
                    if values is not None:
                        buffer = self.block(slot).full.get_buffer(name)
                        buffer.copy_(torch.tensor(values).unflatten(0, (-1, 1, 1)))

    def block(self, slot: str) -> ElasticBlock:  # type: ignore[type-arg]
        """The elastic block of a slot."""
        block = self.slots[slot.replace(".", "_")]
        assert isinstance(block, ElasticBlock)
        return block

    def forward(self, images: Tensor, subnet: SubnetSpec) -> Tensor:
        """Images (B, C, R, R) in [0, 1] with R the subnet's resolution, to logits (B, n_classes).

        Raises ValueError for images of another resolution.
        """
        if images.shape[2:] != (subnet.resolution, subnet.resolution):
            raise ValueError(f"subnet takes {subnet.resolution}-pixel images; got {tuple(images.shape[2:])}")
        x = images
        for layer in subnet.layers:
            x = self.block(layer.slot)(x, layer.spec)
        return x
