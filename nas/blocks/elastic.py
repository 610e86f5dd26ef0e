"""ElasticBlock: one weight slot of the supernet, run at any size up to its bounds.

The slot holds the largest plain module. A smaller subnet uses the leading slice of every
tensor (OFA, arXiv 1908.09791; AutoFormer, arXiv 2107.00651): for a weight (out, in, …) the
first ``out'`` rows and ``in'`` columns. Slices are views, so gradients and batch-norm
statistics reach the shared tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from nas.blocks.plain import PlainCall, shapes, template

SpecT = TypeVar("SpecT")


class ElasticBlock(nn.Module, Generic[SpecT]):
    """Runs ``plain(spec)`` on slices of the largest module ``full``."""

    def __init__(self, bounds: SpecT, plain: Callable[[SpecT], PlainCall]) -> None:
        super().__init__()
        self.plain = plain
        self.full = plain(bounds).build()

    def slices(self, spec: SpecT) -> dict[str, Tensor]:
        """The tensors of ``plain(spec)``, as differentiable views of the shared ones."""
        full = self._tensors()
        return {name: leading(full[name], shape) for name, shape in shapes(self.plain(spec)).items()}

    def forward(self, x: Tensor, spec: SpecT) -> Tensor:
        """(B, C, H, W) to (B, C', H', W') with the sizes of ``spec``."""
        module = template(self.plain(spec), training=self.training)
        result: Tensor = torch.func.functional_call(module, self.slices(spec), (x,))
        return result

    def extract(self, spec: SpecT) -> nn.Module:
        """A plain module with its own copy of the weights, in this block's train or eval mode."""
        module = self.plain(spec).build()
        module.load_state_dict({name: tensor.detach().clone() for name, tensor in self.slices(spec).items()})
        return module.train(self.training)

    def _tensors(self) -> Mapping[str, Tensor]:
        return {**dict(self.full.named_parameters()), **dict(self.full.named_buffers())}


def leading(tensor: Tensor, shape: torch.Size) -> Tensor:
    """The leading sub-tensor of this shape, a view."""
    for dimension, size in enumerate(shape):
        if tensor.shape[dimension] != size:
            tensor = tensor.narrow(dimension, 0, size)
    return tensor
