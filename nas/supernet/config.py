"""TrainConfig: how a supernet is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from nas.errors import ConfigError

RANGES = (
    ("epochs", 1, 100_000),
    ("batch_size", 1, 65_536),
    ("subnets", 1, 64),
    ("trees", 1, 64),
    ("lr", 1e-8, 10.0),
    ("weight_decay", 0.0, 1.0),
    ("warmup_fraction", 0.0, 0.9),
    ("label_smoothing", 0.0, 0.9),
    ("ema_decay", 0.0, 0.999999),
    ("grad_clip", 1e-6, 1e6),
    ("drop_path", 0.0, 0.9),
    ("anchor_fraction", 0.0, 1.0),
    ("probe_fraction", 0.0, 0.9),
    ("threads", 0, 1024),
    ("checkpoint_seconds", 0.0, 86_400.0),
    ("seed", 0, 2**31 - 1),
)
OPTIONS = (
    ("mode", ("sandwich", "multi", "tree", "sandwich_tree", "blockwise")),
    ("sampler", ("uniform", "cost_balanced", "least_trained")),
    ("distill", ("auto", "none", "largest", "best")),
    ("stitch_init", ("identity", "least_squares")),
    ("frozen", ("none", "anchors")),
    ("augment", ("auto", "none", "affine", "crop-flip")),
    ("amp", ("auto", "off", "bf16")),
    ("device", ("auto", "cpu", "cuda")),
)


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Hyper-parameters of supernet training. Raises ConfigError for a value out of range.

    ``mode`` says which subnets share a step:

    - "sandwich": the largest, the smallest and ``subnets - 2`` random ones, all on the whole
      batch, the smaller ones distilled from the largest (BigNAS, arXiv 2003.11142);
    - "multi": ``subnets`` random ones, each on its share of the batch (ViT-ResNAS);
    - "tree": ``trees`` shares of the batch, each seen by ``subnets / trees`` subnets that begin
      alike and branch at random depths, so that what they share is computed once;
    - "sandwich_tree": the largest, the smallest and one tree of ``subnets - 2``, all on the whole
      batch and on labels;
    - "blockwise": stage by stage without labels (BossNAS, arXiv 2103.12424), then the head alone
      with labels during the last ``probe_fraction`` of the steps.

    ``sampler`` says how a random subnet is drawn, ``distill`` where soft targets come from
    ("auto": the largest in sandwich mode, labels only in the others), ``drop_path`` is the rate of
    stochastic depth at the last residual block. During the first ``anchor_fraction`` of the steps
    only paths within one anchor are trained; then the stitches are started as ``stitch_init``
    says and all paths are trained. With ``frozen="anchors"``, for stitched spaces, that trains the
    stitches alone, so that every anchor stays the network that it was.
    """

    epochs: int = 30
    batch_size: int = 128
    mode: Literal["sandwich", "multi", "tree", "sandwich_tree", "blockwise"] = "multi"
    subnets: int = 4
    trees: int = 1
    sampler: Literal["uniform", "cost_balanced", "least_trained"] = "uniform"
    distill: Literal["auto", "none", "largest", "best"] = "auto"
    drop_path: float = 0.0
    lr: float = 4e-3
    weight_decay: float = 0.02
    warmup_fraction: float = 0.1
    label_smoothing: float = 0.1
    ema_decay: float = 0.999
    grad_clip: float = 1.0
    anchor_fraction: float = 0.0
    probe_fraction: float = 0.2
    stitch_init: Literal["identity", "least_squares"] = "identity"
    frozen: Literal["none", "anchors"] = "none"
    augment: Literal["auto", "none", "affine", "crop-flip"] = "auto"
    amp: Literal["auto", "off", "bf16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 0  # torch threads; 0 leaves torch's default
    checkpoint_seconds: float = 60.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, allowed in OPTIONS:
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} must be one of {allowed}; got {getattr(self, name)!r}")
        for name, low, high in RANGES:
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise ConfigError(f"{name} must lie in {low}..{high}; got {value}")
        self._check_combinations()

    def _check_combinations(self) -> None:
        if self.mode in ("sandwich", "sandwich_tree") and self.subnets < 3:
            raise ConfigError(f"subnets must lie in 3..64 in mode {self.mode!r}; got {self.subnets}")
        if self.mode == "multi" and self.subnets > self.batch_size:
            raise ConfigError(f"subnets must not exceed batch_size {self.batch_size}; got {self.subnets}")
        if self.mode == "tree" and self.subnets % self.trees:
            raise ConfigError(f"trees must divide subnets {self.subnets}; got {self.trees}")
        if self.mode == "tree" and self.trees > self.batch_size:
            raise ConfigError(f"trees must not exceed batch_size {self.batch_size}; got {self.trees}")
        if self.trees > 1 and self.mode != "tree":
            raise ConfigError(f"trees must be 1 in mode {self.mode!r}; got {self.trees}")
        if self.distill == "largest" and self.mode not in ("sandwich", "tree", "sandwich_tree"):
            raise ConfigError(
                f"distill 'largest' needs several subnets on the same images, so mode 'sandwich', "
                f"'tree' or 'sandwich_tree'; got mode {self.mode!r}"
            )
        if self.mode == "blockwise" and self.distill == "best":
            raise ConfigError("distill must be 'auto' or 'none' in mode 'blockwise'; got 'best'")

    def lr_at(self, step: int, steps: int) -> float:
        """Linear warm-up, then half a cosine down to 1 % of ``lr``."""
        warmup = max(1, round(self.warmup_fraction * steps))
        if step < warmup:
            return self.lr * (step + 1) / warmup
        progress = (step - warmup) / max(1, steps - warmup)
        return self.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
