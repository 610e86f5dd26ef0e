"""The layers of a trie as modules: calibrated in place, then folded, once per node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from nas.blocks.plain import shapes
from nas.evaluate.prefix.trie import Node, Root
from nas.evaluate.prefix.walk import walk
from nas.supernet.extract import batch_norms, fold_layer, start_calibration
from nas.supernet.resize import resize
from nas.supernet.supernet import Supernet
from searchspaces.subnet import Layer

FLOAT_BYTES = 4


class CalibratedLayers:
    """One folded module per node of a trie, with the batch-norm statistics of the node's prefix.

    The statistics of a layer depend only on what comes before it, so those of a shared prefix are
    those of every subnet that begins with it. Every operation is the one of ``calibrate`` and
    ``fold``, on the same batches in the same order; results are equal bit for bit.
    """

    def __init__(self, supernet: Supernet, root: Root, calibration: Sequence[Tensor], *, limit: int) -> None:
        """Calibrates on batches of float images; keeps at most ``limit`` bytes of outputs at a time."""
        self.peak_bytes = 0  # of kept outputs
        self._modules = {
            node: supernet.block(node.layer.slot).extract(node.layer.spec) for node in root.nodes()
        }
        for module in self._modules.values():
            start_calibration(module)
        with torch.no_grad():
            for batch in calibration:
                peak = self._calibrate(root, resize(batch, root.resolution), limit)
                self.peak_bytes = max(self.peak_bytes, peak)
        for node, module in self._modules.items():
            call = supernet.block(node.layer.slot).plain(node.layer.spec)
            self._modules[node] = fold_layer(call, module.eval())

    def _calibrate(self, root: Root, images: Tensor, limit: int) -> int:
        met: set[Node] = set()

        def run(node: Node, x: Tensor) -> Tensor:
            module = self._modules[node]
            if node in met:  # computed again for lack of memory: the batch is in the average already
                _set_tracking(batch_norms(module), on=False)
            y: Tensor = module(x)
            if node in met:
                _set_tracking(batch_norms(module), on=True)
            met.add(node)
            return y

        return walk(root, images, run=run, leaf=lambda _node, _x: None, limit=limit)

    def run(self, node: Node, x: Tensor) -> Tensor:
        """The node's output for the output of the node before it."""
        y: Tensor = self._modules[node](x)
        return y


def _set_tracking(norms: Iterable[nn.BatchNorm2d], *, on: bool) -> None:
    """Without tracking, a norm in train mode uses the batch's statistics and leaves its own alone."""
    for norm in norms:
        norm.track_running_stats = on


def weight_bytes(supernet: Supernet, layer: Layer) -> int:
    """Bytes of the layer's own copy of its weights, in float32."""
    call = supernet.block(layer.slot).plain(layer.spec)
    return FLOAT_BYTES * sum(shape.numel() for shape in shapes(call).values())
