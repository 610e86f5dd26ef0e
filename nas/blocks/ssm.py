"""2-D state-space blocks in SSD form (Mamba-2, arXiv 2405.21060, section 6).

Notation: G sequences, L tokens, h heads of p channels, N state size, Q chunk length.
Per head, with decay a_t = exp(dt_t A) <= 1:

    S_t = a_t S_{t-1} + dt_t B_t x_t^T        S_t (N, p)
    y_t = C_t^T S_t

Inside a chunk this is y = ((C B^T) * M) (dt x) with M[t, s] = a_{s+1} … a_t for s <= t; between
chunks only the state is passed on. Everything is a matrix product. Decays are products of
numbers in (0, 1], formed as exponentials of *differences* of a cumulative sum inside a chunk;
the log-space form that divides by exp(cumsum) is numerically wrong and not used.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def segment_decay(log_decay: Tensor) -> Tensor:
    """(…, Q) log decays to (…, Q, Q): exp of the sum over s+1..t at [t, s], 0 above the diagonal."""
    total = torch.cumsum(log_decay, -1)
    size = log_decay.shape[-1]
    past = torch.ones(size, size, dtype=torch.bool, device=log_decay.device).tril()
    difference = total.unsqueeze(-1) - total.unsqueeze(-2)
    return torch.exp(difference.masked_fill(~past, -math.inf))


def ssd(x: Tensor, log_decay: Tensor, b: Tensor, c: Tensor, chunk: int) -> Tensor:
    """The SSD recurrence.

    x (G, L, h, p) is already times dt; log_decay (G, L, h) = dt A <= 0; b and c (G, L, N) are
    shared by the heads; L is a multiple of ``chunk``. Returns (G, L, h, p).
    """
    chunks = x.shape[1] // chunk
    x = x.unflatten(1, (chunks, chunk)).transpose(2, 3)  # (G, n, h, Q, p)
    log_decay = log_decay.unflatten(1, (chunks, chunk)).transpose(2, 3)  # (G, n, h, Q)
    b = b.unflatten(1, (chunks, chunk))  # (G, n, Q, N)
    c = c.unflatten(1, (chunks, chunk))
    mixing = (c @ b.transpose(2, 3)).unsqueeze(2) * segment_decay(log_decay)  # (G, n, h, Q, Q)
    y = mixing @ x
    if chunks > 1:
        y = y + _from_earlier_chunks(x, log_decay, b, c)
    return y.transpose(2, 3).flatten(1, 2)


def _from_earlier_chunks(x: Tensor, log_decay: Tensor, b: Tensor, c: Tensor) -> Tensor:
    total = torch.cumsum(log_decay, -1)  # (G, n, h, Q)
    to_end = torch.exp(total[..., -1:] - total)
    states = b.transpose(2, 3).unsqueeze(2) @ (x * to_end.unsqueeze(-1))  # (G, n, h, N, p)
    between = segment_decay(F.pad(total[..., -1].transpose(1, 2), (1, 0)))  # (G, h, n + 1, n + 1)
    carried = between[:, :, :-1, 1:] @ states.flatten(3).transpose(1, 2)  # (G, h, n, N p)
    carried = carried.transpose(1, 2).unflatten(3, states.shape[3:])  # (G, n, h, N, p)
    return (c.unsqueeze(2) @ carried) * torch.exp(total).unsqueeze(-1)


def scans(x: Tensor, directions: int) -> Tensor:
    """(B, C, H, W) to (B, K, H W, C): rows forward, rows backward, columns forward, columns backward."""
    rows = x.flatten(2)
    orders = [rows]
    if directions > 1:
        orders.append(rows.flip(2))
    if directions > 2:
        columns = x.transpose(2, 3).flatten(2)
        orders += [columns, columns.flip(2)]
    return torch.stack(orders, 1).transpose(2, 3)


def merge_scans(y: Tensor, height: int, width: int) -> Tensor:
    """Sum of the scans put back in place: (B, K, H W, C) to (B, C, H, W)."""
    y = y.transpose(2, 3)
    merged = y[:, 0]
    if y.shape[1] > 1:
        merged = merged + y[:, 1].flip(2)
    merged = merged.unflatten(2, (height, width))
    if y.shape[1] > 2:
        columns = (y[:, 2] + y[:, 3].flip(2)).unflatten(2, (width, height))
        merged = merged + columns.transpose(2, 3)
    return merged


def chunk_length(tokens: int) -> int:
    """At most 16 up to 256 tokens, 32 beyond: the fastest eager forward-backward of 8 to 256 on a CPU."""
    return min(tokens, 16 if tokens <= 256 else 32)


class SSM(nn.Module):
    """Pre-norm SSD mixer over 1, 2 or 4 scans (VMamba, arXiv 2401.10166), then a pre-norm MLP."""

    def __init__(self, width: int, head_dim: int, state: int, directions: int, expansion: int) -> None:
        super().__init__()
        heads = width // head_dim
        self.directions = directions
        self.head_dim = head_dim
        self.norm = nn.LayerNorm(width)
        self.gate = nn.Linear(width, width)
        self.inner = nn.Linear(width, width)
        self.local = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.b = nn.Parameter(torch.randn(directions, state, width) / math.sqrt(width))
        self.c = nn.Parameter(torch.randn(directions, state, width) / math.sqrt(width))
        self.step = nn.Parameter(torch.randn(directions, heads, width) / math.sqrt(width))
        # dt starts log-uniform in [0.001, 0.1] and A in [-16, -1], as in Mamba-2.
        steps = torch.exp(torch.linspace(math.log(0.001), math.log(0.1), heads))
        self.step_bias = nn.Parameter(torch.log(torch.expm1(steps)).repeat(directions, 1))
        self.log_a = nn.Parameter(torch.log(torch.linspace(1, 16, heads)).repeat(directions, 1))
        self.skip = nn.Parameter(torch.ones(width))
        self.mixed_norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, width * expansion)
        self.project = nn.Linear(width * expansion, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) to the same shape."""
        tokens = x.permute(0, 2, 3, 1)
        y = self.norm(tokens)
        inner = F.silu(self.local(self.inner(y).permute(0, 3, 1, 2)))
        mixed = self._scan(inner) + inner * self.skip.unflatten(0, (-1, 1, 1))
        mixed = self.mixed_norm(mixed.permute(0, 2, 3, 1)) * F.silu(self.gate(y))
        tokens = tokens + self.out(mixed)
        tokens = tokens + self.project(F.gelu(self.expand(self.mlp_norm(tokens))))
        return tokens.permute(0, 3, 1, 2)

    def _scan(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        length = height * width
        chunk = chunk_length(length)
        tokens = F.pad(scans(x, self.directions), (0, 0, 0, -length % chunk))  # (B, K, L, C)
        state = self.b.shape[1]
        weight = torch.cat([self.b, self.c, self.step], 1).transpose(1, 2)  # (K, C, 2 N + h)
        projected = tokens @ weight
        b, c, step = projected.split([state, state, self.step.shape[1]], 3)
        step = F.softplus(step + self.step_bias.unsqueeze(1))  # (B, K, L, h)
        log_decay = -step * torch.exp(self.log_a).unsqueeze(1)
        heads = tokens.unflatten(3, (-1, self.head_dim)) * step.unsqueeze(4)
        y = ssd(heads.flatten(0, 1), log_decay.flatten(0, 1), b.flatten(0, 1), c.flatten(0, 1), chunk)
        y = y.flatten(2).unflatten(0, (-1, self.directions))[:, :, :length]
        return merge_scans(y, height, width)
