"""The layers of a trie as modules: calibrated in place, then folded, once per node."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from nas.blocks.plain import shapes
from nas.evaluate.prefix.trie import Node, Root
from nas.evaluate.prefix.walk import walk
from nas.supernet.extract import batch_norms, fold_layer, start_calibration
from nas.supernet.supernet import Supernet
from searchspaces.subnet import Layer

FLOAT_BYTES = 4
Observe = Callable[[Node, Tensor], None]


class CalibratedLayers:
    """One folded module per node of a trie, with the batch-norm statistics of the node's prefix.

    The statistics of a layer depend only on what comes before it, so those of a shared prefix are
    those of every subnet that begins with it. Every operation is the one of ``calibrate`` and
    ``fold``, on the same batches in the same order; results are equal bit for bit.
    """

    def __init__(
        self, supernet: Supernet, root: Root, inputs: Iterable[Tensor], *, observe: Observe, limit: int
    ) -> None:
        """Calibrates on batches of what the root's children take, keeping at most ``limit`` bytes at a time.

        ``observe`` is given each node's output of each batch, once.
        """
        self.peak_bytes = 0  # of kept outputs
        self._modules = {
            node: supernet.block(node.layer.slot).extract(node.layer.spec) for node in root.nodes()
        }
        for module in self._modules.values():
            start_calibration(module)
        with torch.no_grad():
            for batch in inputs:
                self.peak_bytes = max(self.peak_bytes, self._calibrate(root, batch, observe, limit))
        for node, module in self._modules.items():
            call = supernet.block(node.layer.slot).plain(node.layer.spec)
            self._modules[node] = fold_layer(call, module.eval())

    def _calibrate(self, root: Root, batch: Tensor, observe: Observe, limit: int) -> int:
        met: set[Node] = set()

        def run(node: Node, x: Tensor) -> Tensor:
            module = self._modules[node]
            if node in met:  # computed again for lack of memory: the batch is in the average already
                return _untracked(module, x)
            met.add(node)
            y: Tensor = module(x)
            observe(node, y)
            return y

        return walk(root, batch, run=run, leaf=lambda _node, _x: None, limit=limit)

    def run(self, node: Node, x: Tensor) -> Tensor:
        """The node's output for the output of the node before it."""
        y: Tensor = self._modules[node](x)
        return y


def _untracked(module: nn.Module, x: Tensor) -> Tensor:
    """The output in calibration, with the batch's statistics, leaving the norms' own ones alone."""
    norms = batch_norms(module)
    for norm in norms:
        norm.track_running_stats = False
    y: Tensor = module(x)
    for norm in norms:
        norm.track_running_stats = True
    return y


def weight_bytes(supernet: Supernet, layer: Layer) -> int:
    """Bytes of the layer's own copy of its weights, in float32."""
    call = supernet.block(layer.slot).plain(layer.spec)
    return FLOAT_BYTES * sum(shape.numel() for shape in shapes(call).values())
