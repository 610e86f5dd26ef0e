"""Linear probes: how much of the classes the features of a subnet's stages hold.

A supernet's classifier is a compromise over all subnets, and early in training it decides more
than the subnets do. A probe asks the features themselves: pooled features of every stage, a
classifier of the subnet's own in closed form (ridge regression to the labels, fitted on training
images), its squared error on other images. Deeper stages hold different classes than early ones,
so all stages enter one probe (block-wise supervision: BossNAS, arXiv 2103.12424, asks each block
alone).

``probe_gain`` is that minus the same of the untrained supernet. Random features favour subnets
that change the image little, whatever they could learn; what training has added on top of them
is what orders the subnets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from nas.data.types import Split
from nas.evaluate.accuracy import BATCH
from nas.supernet.extract import ExtractedSubnet, calibrate, extract_subnet, fold
from nas.supernet.resize import resize, to_float
from nas.supernet.supernet import Supernet
from nas.types import Evaluation
from searchspaces.errors import InvalidArchError
from searchspaces.space import Arch
from searchspaces.subnet import AnyHeadSpec, AnyStemSpec, EntrySpec, SubnetSpec

RIDGE = 1e-2  # penalty per training image, on standardised features
EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class ProbeImages:
    """What probes are fitted on and scored on: float images (N, C, H, W) in [0, 1], labels (N,)."""

    train: Tensor
    train_labels: Tensor
    val: Tensor
    val_labels: Tensor
    n_classes: int

    @classmethod
    def of(cls, train: Split, val: Split, n_classes: int) -> ProbeImages:
        """From images as uint8 and labels of two splits."""
        return cls(
            to_float(torch.from_numpy(train.images)),
            torch.from_numpy(train.labels),
            to_float(torch.from_numpy(val.images)),
            torch.from_numpy(val.labels),
            n_classes,
        )


class ProbeEvaluator:
    """``probe`` and ``probe_gain`` of subnets: negative squared errors per image, higher is better.

    ``calibration`` are training images for the batch norms, of the untrained weights too.
    """

    metrics = ("probe", "probe_gain")

    def __init__(
        self, supernet: Supernet, train: Split, val: Split, calibration: Sequence[Tensor], *, seed: int = 0
    ) -> None:
        self.supernet = supernet
        self.untrained = untrained_like(supernet, seed=seed)
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
        trained, untrained = (self._probe(supernet, spec) for supernet in (self.supernet, self.untrained))
        return Evaluation(arch, {"probe": trained, "probe_gain": trained - untrained})

    def _probe(self, supernet: Supernet, spec: SubnetSpec) -> float:
        network = extract_subnet(supernet, spec)
        calibrate(network, self.calibration)
        return probe_score(fold(network), spec, self.images)


def untrained_like(supernet: Supernet, *, seed: int) -> Supernet:
    """A supernet of the same space with weights as drawn from ``seed``, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = Supernet(supernet.space, n_classes=supernet.n_classes, in_channels=supernet.in_channels)
    for slot, bounds in supernet.space.fabric.slots().items():
        if isinstance(bounds, AnyStemSpec):
            for name in ("mean", "std"):
                fresh.block(slot).full.get_buffer(name).copy_(supernet.block(slot).full.get_buffer(name))
    return fresh.eval()


def probe_score(network: ExtractedSubnet, spec: SubnetSpec, images: ProbeImages) -> float:
    """Minus the mean squared error, summed over classes, of the probe of all stages."""
    train, val = (stage_features(network, spec, part) for part in (images.train, images.val))
    return -ridge_error(train, val, images)


def ridge_error(train: Tensor, val: Tensor, images: ProbeImages) -> float:
    """Mean squared error, summed over classes, of ridge regression from features (N, d) to the labels."""
    mean, std = train.mean(0), train.std(0) + EPSILON
    x, y = ((part - mean) / std for part in (train, val))
    share = 1 / images.n_classes
    wanted, truth = (
        F.one_hot(labels, images.n_classes).double() - share
        for labels in (images.train_labels, images.val_labels)
    )
    gram = x.T @ x + RIDGE * len(x) * torch.eye(x.shape[1], dtype=x.dtype)
    weight = torch.linalg.solve(gram, x.T @ wanted)
    return float((y @ weight - truth).square().sum(1).mean())


def stage_features(network: ExtractedSubnet, spec: SubnetSpec, images: Tensor) -> Tensor:
    """What stages put out, normalised over the batch, rectified, pooled: (N, sum of widths) in double."""
    ends = stage_ends(spec)
    rows = []
    with torch.inference_mode():
        for batch in images.split(BATCH):
            x = resize(batch, network.resolution)
            pooled = []
            for index, module in enumerate(network.body):
                if index in ends:
                    pooled.append(F.relu(F.batch_norm(x, None, None, training=True)).mean((2, 3)))
                x = module(x)
            rows.append(torch.cat(pooled, 1))
    return torch.cat(rows).double()


def stage_ends(spec: SubnetSpec) -> frozenset[int]:
    """Indices of the layers whose inputs are the outputs of the stages: entries of stages, and the head."""
    return frozenset(
        index for index, layer in enumerate(spec.layers) if isinstance(layer.spec, EntrySpec | AnyHeadSpec)
    )
