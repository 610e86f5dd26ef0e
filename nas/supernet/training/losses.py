"""Losses and gradients of one training step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from nas.supernet.config import TrainConfig
from nas.supernet.resize import resize
from nas.supernet.supernet import Supernet
from searchspaces.subnet import SubnetSpec


def sandwich_backward(
    supernet: Supernet, subnets: Sequence[SubnetSpec], images: Tensor, labels: Tensor, config: TrainConfig
) -> float:
    """Gradients of the sandwich rule with in-place distillation (arXiv 2003.11142, section 3.1).

    The first subnet learns from the labels, the others from its detached probabilities, all on
    the whole batch. Returns the first subnet's loss.
    """
    logits = supernet(resize(images, subnets[0].resolution), subnets[0])
    loss = F.cross_entropy(logits.float(), labels, label_smoothing=config.label_smoothing)
    loss.backward()
    soft = logits.detach().float().softmax(1)
    for subnet in subnets[1:]:
        logits = supernet(resize(images, subnet.resolution), subnet)
        F.cross_entropy(logits.float(), soft).backward()
    return float(loss.detach())


def multi_backward(
    supernet: Supernet, subnets: Sequence[SubnetSpec], images: Tensor, labels: Tensor, config: TrainConfig
) -> float:
    """Gradients of several subnets, each on its own share of the batch, in one backward pass.

    Returns the mean loss over the batch.
    """
    losses = []
    for subnet, part, target in zip(
        subnets, images.chunk(len(subnets)), labels.chunk(len(subnets)), strict=False
    ):
        logits = supernet(resize(part, subnet.resolution), subnet)
        loss = F.cross_entropy(logits.float(), target, label_smoothing=config.label_smoothing)
        losses.append(loss * (len(part) / len(images)))
    total = torch.stack(losses).sum()
    total.backward()
    return float(total.detach())
