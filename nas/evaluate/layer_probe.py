"""Every layer's own probe: what each place of a subnet lets through, not only what comes out at its end.

Early in training a supernet's last layer decides nearly alone how well its subnets do, whatever
the layers before it could carry. ``layer_probe`` asks each layer behind the first halving of the
map for the classes (closed-form linear probes of its pooled output: nas/evaluate/probe.py) and
averages the answers, as block-wise methods score blocks (DNA, arXiv 1911.13053; BossNAS, arXiv
2103.12424): a bottleneck anywhere lowers its own probe and those of all later layers. Earlier
layers are left out, because classes are hardly linear there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from nas.data.types import Split
from nas.evaluate.accuracy import BATCH
from nas.evaluate.probe import ProbeImages, ridge_error
from nas.supernet.extract import ExtractedSubnet, calibrate, extract_subnet, fold
from nas.supernet.resize import resize
from nas.supernet.supernet import Supernet
from nas.types import Evaluation
from searchspaces.errors import InvalidArchError
from searchspaces.space import Arch
from searchspaces.subnet import AnyHeadSpec, AnyStemSpec, EntrySpec, SubnetSpec


class LayerProbeEvaluator:
    """``layer_probe`` of subnets: minus the mean error of their layers' probes, higher is better.

    Probes are fitted on ``train`` and scored on ``val``; ``calibration`` are training images for
    the batch norms.
    """

    metrics = ("layer_probe",)

    def __init__(self, supernet: Supernet, train: Split, val: Split, calibration: Sequence[Tensor]) -> None:
        self.supernet = supernet
        self.calibration = list(calibration)
        self.images = ProbeImages.of(train, val, supernet.n_classes)

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        """One evaluation per arch; an arch of another space gets an error."""
        return [self._evaluate(arch) for arch in archs]

    def _evaluate(self, arch: Arch) -> Evaluation:
        try:
            spec = self.supernet.space.decode(arch)
        except InvalidArchError as error:
            return Evaluation(arch, error=str(error))
        network = extract_subnet(self.supernet, spec)
        calibrate(network, self.calibration)
        return Evaluation(arch, {"layer_probe": layer_probe(fold(network), spec, self.images)})


def layer_probe(network: ExtractedSubnet, spec: SubnetSpec, images: ProbeImages) -> float:
    """Minus the mean over the probed layers of their probe's squared error, summed over classes."""
    train, val = (layer_features(network, spec, part) for part in (images.train, images.val))
    errors = [ridge_error(x, y, images) for x, y in zip(train, val, strict=True)]
    return -sum(errors) / len(errors)


def layer_features(network: ExtractedSubnet, spec: SubnetSpec, images: Tensor) -> list[Tensor]:
    """Outputs of the probed layers, normalised over the batch, rectified, pooled: (N, width) in double."""
    probed = probed_layers(spec)
    rows: list[list[Tensor]] = []
    with torch.inference_mode():
        for batch in images.split(BATCH):
            x, pooled = resize(batch, network.resolution), []
            for index, module in enumerate(network.body):
                x = module(x)
                if index in probed:
                    pooled.append(F.relu(F.batch_norm(x, None, None, training=True)).mean((2, 3)).double())
            rows.append(pooled)
    return [torch.cat(parts) for parts in zip(*rows, strict=True)]


def probed_layers(spec: SubnetSpec) -> frozenset[int]:
    """Indices of the layers between the first entry of a stage (without one, the stem) and the head."""
    entries = [i for i, layer in enumerate(spec.layers) if isinstance(layer.spec, EntrySpec)]
    first = entries[0] if entries else 0
    fixed = AnyStemSpec | AnyHeadSpec
    return frozenset(
        i for i in range(first + 1, len(spec.layers)) if not isinstance(spec.layers[i].spec, fixed)
    )
