"""Multi-head self-attention over the pixels of a map."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Convolutional position encoding (CPVT, arXiv 2102.10882), pre-norm attention, pre-norm MLP."""

    def __init__(self, width: int, heads: int, head_dim: int, expansion: int) -> None:
        super().__init__()
        self.heads = heads
        self.position = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, heads * head_dim)
        self.key = nn.Linear(width, heads * head_dim, bias=False)
        self.value = nn.Linear(width, heads * head_dim)
        self.out = nn.Linear(heads * head_dim, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, width * expansion)
        self.project = nn.Linear(width * expansion, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) to the same shape."""
        height, width = x.shape[2:]
        x = x + self.position(x)
        tokens = x.flatten(2).transpose(1, 2)
        y = self.norm(tokens)
        query, key, value = self._split(self.query(y)), self._split(self.key(y)), self._split(self.value(y))
        mixed = F.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.out(mixed.transpose(1, 2).flatten(2))
        tokens = tokens + self.project(F.gelu(self.expand(self.mlp_norm(tokens))))
        return tokens.transpose(1, 2).unflatten(2, (height, width))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)
