"""From a path of the supernet to a network of its own."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nas.blocks.conv import ConvNorm
from nas.blocks.elastic import leading
from nas.blocks.plain import Argument, PlainCall, plain_call
from nas.supernet.resize import resize
from nas.supernet.supernet import Supernet
from searchspaces.subnet import SubnetSpec


@dataclass(frozen=True, slots=True)
class PlainLayer:
    """A layer of an extracted network: its name in ``body`` and how it was constructed."""

    name: str
    cls: type[nn.Module]
    kwargs: dict[str, Argument]


class ExtractedSubnet(nn.Module):
    """A standalone network: ``body`` runs ``layers`` in order on images of ``resolution`` pixels."""

    def __init__(self, resolution: int, calls: Sequence[tuple[str, PlainCall]]) -> None:
        super().__init__()
        self.resolution = resolution
        self.layers = tuple(PlainLayer(name, call.cls, call.kwargs) for name, call in calls)
        self.body = nn.Sequential(OrderedDict((name, call.build()) for name, call in calls))

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, resolution, resolution) in [0, 1] to logits (B, n_classes)."""
        logits: Tensor = self.body(images)
        return logits


def extract_subnet(supernet: Supernet, subnet: SubnetSpec) -> ExtractedSubnet:
    """The subnet with its own copy of the weights, in the supernet's train or eval mode."""
    calls, states = [], {}
    for index, layer in enumerate(subnet.layers):
        block = supernet.block(layer.slot)
        name = f"{index:02d}_{layer.spec.kind}"
        calls.append((name, block.plain(layer.spec)))
        states[name] = block.slices(layer.spec)
    network = ExtractedSubnet(subnet.resolution, calls)
    for name, module in network.body.named_children():
        module.load_state_dict({key: tensor.detach().clone() for key, tensor in states[name].items()})
    return network.train(supernet.training)


def calibrate(network: ExtractedSubnet, images: Sequence[Tensor]) -> None:
    """Set batch-norm statistics to their averages over these batches of float images, in place.

    Shared statistics belong to whichever paths were trained last; a subnet needs its own
    (arXiv 1903.05134, section 3.2). Leaves the network in eval mode.
    """
    calibrate_norms(network, (resize(batch, network.resolution) for batch in images))


def calibrate_norms(network: nn.Module, images: Iterable[Tensor]) -> None:
    """``calibrate`` for any module, with batches that it takes as they are."""
    momenta = [norm.momentum for norm in batch_norms(network)]
    start_calibration(network)
    with torch.no_grad():
        for batch in images:
            network(batch)
    network.eval()
    for norm, momentum in zip(batch_norms(network), momenta, strict=True):
        norm.momentum = momentum


def start_calibration(module: nn.Module) -> None:
    """Forget the batch-norm statistics: from now on, until eval mode, each batch adds to their average.

    Everything but the norms is in eval mode.
    """
    module.eval()
    for norm in batch_norms(module):
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average
        norm.train()


def batch_norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    """The batch norms within a module, itself included."""
    return [child for child in module.modules() if isinstance(child, nn.BatchNorm2d)]


def recalibrate(supernet: Supernet, subnet: SubnetSpec, images: Sequence[Tensor]) -> Supernet:
    """A copy of the supernet, in eval mode, with the batch-norm statistics of this path.

    Parameters are shared with the original; buffers are the copy's own.
    """
    shared = {id(parameter): parameter for parameter in supernet.parameters()}
    shared[id(supernet.space)] = supernet.space  # type: ignore[assignment]
    clone = copy.deepcopy(supernet, shared).eval()
    network = extract_subnet(clone, subnet)
    calibrate(network, images)
    for layer, module in zip(subnet.layers, network.body, strict=True):
        full = clone.block(layer.slot).full
        for name, buffer in module.named_buffers():
            leading(full.get_buffer(name), buffer.shape).copy_(buffer)
    return clone


def fold(network: ExtractedSubnet) -> ExtractedSubnet:
    """The same function with the batch norm after a convolution merged into it; needs eval mode.

    Raises ValueError in train mode, where batch statistics make folding wrong.
    """
    if network.training:
        raise ValueError("only a network in eval mode can be folded")
    calls = [
        (layer.name, _folded_call(layer.cls, layer.kwargs, network.body.get_submodule(layer.name)))
        for layer in network.layers
    ]
    folded = ExtractedSubnet(network.resolution, calls)
    for name, module in network.body.named_children():
        folded.body.get_submodule(name).load_state_dict(_folded_module(module).state_dict())
    return folded.eval()


def fold_layer(call: PlainCall, module: nn.Module) -> nn.Module:
    """What ``fold`` makes of one layer: ``module`` was built by ``call`` and is in eval mode."""
    folded = _folded_call(call.cls, call.kwargs, module).build()
    folded.load_state_dict(_folded_module(module).state_dict())
    return folded.eval()


def _folded_call(cls: type[nn.Module], kwargs: dict[str, Argument], module: nn.Module) -> PlainCall:
    folds = any(isinstance(child, ConvNorm) for child in module.modules())
    return plain_call(cls, **kwargs, **({"folded": True} if folds else {}))


def _folded_module(module: nn.Module) -> nn.Module:
    module = copy.deepcopy(module)
    for child in module.modules():
        if isinstance(child, ConvNorm) and isinstance(child.norm, nn.BatchNorm2d):
            child.conv = fuse_conv_bn_eval(child.conv, child.norm)
            child.norm = nn.Identity()
    return module
