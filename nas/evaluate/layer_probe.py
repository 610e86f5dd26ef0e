"""Every layer's own probe: what each place of a subnet lets through, not only what comes out at its end.

Early in training a supernet's last layer decides nearly alone how well its subnets do, whatever
the layers before it could carry. ``layer_probe`` asks each layer behind the first halving of the
map for the classes (closed-form linear probes of its pooled output: nas/evaluate/probe.py) and
averages the answers, as block-wise methods score blocks (DNA, arXiv 1911.13053; BossNAS, arXiv
2103.12424): a bottleneck anywhere lowers its own probe and those of all later layers. Earlier
layers are left out, because classes are hardly linear there.

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
        self.mean, self.std = self._scale(seed)

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
        return layer_errors(fold(network), spec, self.images)

    def _scale(self, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of each layer's error among random subnets."""
        space, rng = self.supernet.space, np.random.default_rng([seed, 12])
        specs = [space.decode(space.sample(rng)) for _ in range(REFERENCES)]
        layers = {tuple(spec.layers[i].slot for i in sorted(probed_layers(spec))) for spec in specs}
        if len(layers) > 1:
            raise ConfigError(f"layer_probe needs subnets of the same layers; those of {space.id} differ")
        errors = np.array([self._errors(spec) for spec in specs])
        return errors.mean(0), errors.std(0) + EPSILON


def layer_errors(network: ExtractedSubnet, spec: SubnetSpec, images: ProbeImages) -> NDArray[np.float64]:
    """The squared error, summed over classes, of each probed layer's probe, first to last."""
    train, val = (layer_features(network, spec, part) for part in (images.train, images.val))
    return np.array([ridge_error(x, y, images) for x, y in zip(train, val, strict=True)])


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
