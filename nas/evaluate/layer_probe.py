"""Every layer's own probe: what each place of a subnet lets through, not only what comes out at its end.

Early in training a supernet's last layer decides nearly alone how well its subnets do, whatever
the layers before it could carry. ``layer_probe`` asks each layer behind the first halving of the
map for the classes (closed-form linear probes of its pooled output: nas/evaluate/probe.py) and
averages the answers, as block-wise methods score blocks (DNA, arXiv 1911.13053; BossNAS, arXiv
2103.12424): a bottleneck anywhere lowers its own probe and those of all later layers. Earlier
layers are left out, because classes are hardly linear there, and so are layers that are the same
in all subnets.

Errors of late layers spread several times as wide as those of early ones, so a plain mean would
be little more than the last probe. Each layer's error is therefore counted in standard deviations
among random subnets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from nas.data.types import Split
from nas.errors import ConfigError
from nas.evaluate.accuracy import BATCH
from nas.evaluate.probe import ProbeImages, ridge_error
from nas.supernet.extract import ExtractedSubnet, calibrate, extract_subnet, fold
from nas.supernet.resize import resize
from nas.supernet.supernet import Supernet
from nas.types import Evaluation
from searchspaces.errors import InvalidArchError
from searchspaces.space import Arch
from searchspaces.subnet import AnyHeadSpec, AnyStemSpec, EntrySpec, SubnetSpec

REFERENCES = 64  # random subnets whose errors are the scale
EPSILON = 1e-9  # keeps a layer whose error never changes from dividing by nothing


class LayerProbeEvaluator:
    """``layer_probe`` of subnets: minus the mean of their layers' standardised probe errors.

    Probes are fitted on ``train`` and scored on ``val``; ``calibration`` are training images for
    the batch norms. 0 is what random subnets (drawn from ``seed``) have on average, 1 is one
    standard deviation of each layer better. Raises ConfigError for a space whose subnets are not
    all of the same layers.
    """

    metrics = ("layer_probe",)

    def __init__(
        self, supernet: Supernet, train: Split, val: Split, calibration: Sequence[Tensor], *, seed: int = 0
    ) -> None:
        self.supernet = supernet
        self.calibration = list(calibration)
        self.images = ProbeImages.of(train, val, supernet.n_classes)
        space, rng = supernet.space, np.random.default_rng([seed, 12])
        references = [space.decode(space.sample(rng)) for _ in range(REFERENCES)]
        self.probed = probed_layers(references)
        errors = np.array([self._errors(spec) for spec in references])
        self.mean, self.std = errors.mean(0), errors.std(0) + EPSILON

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        """One evaluation per arch; an arch of another space gets an error."""
        return [self._evaluate(arch) for arch in archs]

    def _evaluate(self, arch: Arch) -> Evaluation:
        try:
            spec = self.supernet.space.decode(arch)
        except InvalidArchError as error:
            return Evaluation(arch, error=str(error))
        standardised = (self._errors(spec) - self.mean) / self.std
        return Evaluation(arch, {"layer_probe": -float(standardised.mean())})

    def _errors(self, spec: SubnetSpec) -> NDArray[np.float64]:
        network = extract_subnet(self.supernet, spec)
        calibrate(network, self.calibration)
        return layer_errors(fold(network), self.probed, self.images)


def layer_errors(network: ExtractedSubnet, probed: Sequence[int], images: ProbeImages) -> NDArray[np.float64]:
    """The squared error, summed over classes, of each probed layer's probe, first to last."""
    train, val = (layer_features(network, probed, part) for part in (images.train, images.val))
    return np.array([ridge_error(x, y, images) for x, y in zip(train, val, strict=True)])


def layer_features(network: ExtractedSubnet, probed: Sequence[int], images: Tensor) -> list[Tensor]:
    """Outputs of the probed layers, normalised over the batch, rectified, pooled: (N, width) in double."""
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


def probed_layers(specs: Sequence[SubnetSpec]) -> list[int]:
    """Indices of the layers that differ among the subnets and lie behind the first entry of a stage.

    Neither stem nor head is among them. Raises ConfigError for subnets that are not all of the
    same layers.
    """
    slots = {tuple(layer.slot for layer in spec.layers) for spec in specs}
    if len(slots) > 1:
        raise ConfigError("layer_probe needs a space whose subnets have the same layers; here they differ")
    columns = [
        [layer.spec for layer in layers] for layers in zip(*(spec.layers for spec in specs), strict=True)
    ]
    entries = [i for i, column in enumerate(columns) if isinstance(column[0], EntrySpec)]
    first = entries[0] if entries else 0
    return [
        i
        for i, column in enumerate(columns)
        if i > first and len(set(column)) > 1 and not isinstance(column[0], AnyStemSpec | AnyHeadSpec)
    ]
