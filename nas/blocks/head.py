"""The classifier that all subnets share."""

from __future__ import annotations

from torch import Tensor, nn


class Head(nn.Module):
    """Global average pooling, layer norm, linear classifier."""

    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) to logits (B, n_classes)."""
        return self.classifier(self.norm(x.mean((2, 3))))
