"""Train the routes of a user's stitched networks together for a while."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.stitching.modules import StitchedModules
from searchspaces.space import Arch

BINS = 8


def train_modules(
    stitched: StitchedModules,
    images: Tensor,
    labels: Tensor,
    *,
    steps: int,
    batch_size: int = 64,
    routes: int = 4,
    lr: float = 1e-3,
    seed: int = 0,
    report: Callable[[int, float], None] = lambda _step, _loss: None,
) -> None:
    """AdamW on float images (N, C, R, R) and labels (N,); leaves the networks in eval mode.

    Every step runs ``routes`` routes, each on its share of the batch. Routes are drawn bin by bin
    of multiply-adds, so that every cost is trained alike (SN-Netv2, arXiv 2307.00154, section 3.3).
    """
    bins = cost_bins(stitched)
    optimizer = torch.optim.AdamW((p for p in stitched.parameters() if p.requires_grad), lr=lr)
    stitched.train()
    for step in range(steps):
        rng = np.random.default_rng([seed, step])
        chosen = torch.from_numpy(rng.choice(len(labels), min(batch_size, len(labels)), replace=False))
        archs = draw(bins, routes, rng)
        losses = [
            F.cross_entropy(stitched(part, arch), target, reduction="sum") / len(chosen)
            for arch, part, target in zip(
                archs, images[chosen].chunk(routes), labels[chosen].chunk(routes), strict=False
            )
        ]
        loss = torch.stack(losses).sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(stitched.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = lr * (1 - step / steps)
        optimizer.step()
        report(step + 1, float(loss.detach()))
    stitched.eval()


def cost_bins(stitched: StitchedModules) -> list[list[Arch]]:
    """All routes in up to ``BINS`` equal intervals of multiply-adds; empty intervals are left out."""
    archs = list(stitched.space.archs())
    macs = np.array([stitched.macs(arch) for arch in archs], dtype=float)
    edges = np.linspace(macs.min(), macs.max(), BINS + 1)[1:-1]
    index = np.searchsorted(edges, macs, side="right")
    bins = [[arch for arch, i in zip(archs, index, strict=True) if i == b] for b in range(BINS)]
    return [held for held in bins if held]


def draw(bins: Sequence[Sequence[Arch]], n: int, rng: np.random.Generator) -> list[Arch]:
    """``n`` routes: a bin first, then a route in it, both uniform."""
    chosen = [bins[int(rng.integers(len(bins)))] for _ in range(n)]
    return [held[int(rng.integers(len(held)))] for held in chosen]
