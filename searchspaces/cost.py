"""Parameters, MACs, activations and peak memory of a subnet, in closed form, without building it.

All numbers are for one image and for the plain network before batch norm is folded away.
MACs are the multiply-adds of convolutions and matrix products, those inside attention and
state-space scans included; norms, biases, gates and other elementwise work are left out.
Activations are the elements that those operations put out (RegNet, arXiv 2003.13678, section
3.1). Peak memory is float32 weights plus the largest set of feature maps alive at once, where
every operation writes a new map, a map is freed after its last use, and attention scores are
held in memory: what a runtime needs that plans buffers but fuses nothing.

Letters: T pixels of a map, C channels, M = T C, H = M times the expansion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from searchspaces.cell_cost import cell_counts, residual_counts
from searchspaces.subnet import (
    AttentionSpec,
    CellHeadSpec,
    CellSpec,
    CellStemSpec,
    ConvNeXtSpec,
    DownsampleSpec,
    HeadSpec,
    LayerSpec,
    MBConvSpec,
    ResidualSpec,
    SSMSpec,
    StemSpec,
    StitchSpec,
    SubnetSpec,
)

FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one layer or a whole subnet: counts, and the peak in bytes (its own weights included)."""

    params: int
    macs: int
    activations: int
    peak_memory_bytes: int


def cost(spec: SubnetSpec, *, in_channels: int, n_classes: int) -> Cost:
    """The cost of the whole subnet for one image of its resolution."""
    layers = layer_costs(spec, in_channels=in_channels, n_classes=n_classes)
    params = sum(layer.params for layer in layers)
    alive = max(layer.peak_memory_bytes - FLOAT_BYTES * layer.params for layer in layers)
    return Cost(
        params=params,
        macs=sum(layer.macs for layer in layers),
        activations=sum(layer.activations for layer in layers),
        peak_memory_bytes=FLOAT_BYTES * params + alive,
    )


def layer_costs(spec: SubnetSpec, *, in_channels: int, n_classes: int) -> tuple[Cost, ...]:
    """The cost of each layer, in the order of ``spec.layers``."""
    return tuple(
        _layer(layer.spec, size, in_channels, n_classes)
        for layer, size in zip(spec.layers, spec.sizes, strict=True)
    )


def _layer(spec: LayerSpec, size: int, in_channels: int, n_classes: int) -> Cost:
    """The cost of a layer whose input has ``size`` x ``size`` pixels."""
    match spec:
        case StemSpec():
            return _stem(spec, size, in_channels)
        case DownsampleSpec():
            return _downsample(spec, size)
        case StitchSpec():
            return _stitch(spec, size**2)
        case MBConvSpec():
            return _mbconv(spec, size**2)
        case ConvNeXtSpec():
            return _convnext(spec, size**2)
        case AttentionSpec():
            return _attention(spec, size**2)
        case SSMSpec():
            return _ssm(spec, size**2)
        case HeadSpec():
            return _head(spec, size**2, n_classes)
        case CellStemSpec():
            return _cell_stem(spec, size, in_channels)
        case CellSpec():
            return _cost(*cell_counts(spec, size**2))
        case ResidualSpec():
            return _cost(*residual_counts(spec, size))
        case CellHeadSpec():
            return _cell_head(spec, size**2, n_classes)
        case other:
            assert_never(other)


def _cost(params: int, macs: int, activations: int, alive: int) -> Cost:
    """``alive``: elements of the feature maps at the worst moment."""
    return Cost(params, macs, activations, FLOAT_BYTES * (params + alive))


def _norm(channels: int) -> int:
    return 2 * channels


def _stem(spec: StemSpec, size: int, in_channels: int) -> Cost:
    image = in_channels * size**2
    out = spec.width * _strided(size, spec.stride) ** 2
    fan_in = 9 * in_channels
    params = spec.width * fan_in + _norm(spec.width)
    return _cost(params, out * fan_in, out, max(2 * image, image + out, 2 * out))


def _cell_stem(spec: CellStemSpec, size: int, in_channels: int) -> Cost:
    image, out, fan_in = in_channels * size**2, spec.width * size**2, 9 * in_channels
    params = spec.width * fan_in + _norm(spec.width)
    return _cost(params, out * fan_in, out, max(2 * image, image + out, 2 * out))


def _downsample(spec: DownsampleSpec, size: int) -> Cost:
    out = spec.width * _strided(size, spec.stride) ** 2
    fan_in = (9 if spec.stride > 1 else 1) * spec.in_width
    params = spec.width * fan_in + _norm(spec.width)
    return _cost(params, out * fan_in, out, max(spec.in_width * size**2 + out, 2 * out))


def _strided(size: int, stride: int) -> int:
    return -(-size // stride)


def _stitch(spec: StitchSpec, T: int) -> Cost:
    out = T * spec.width
    params = spec.width * (spec.in_width + 1)
    return _cost(params, out * spec.in_width, out, T * spec.in_width + out)


def _mbconv(spec: MBConvSpec, T: int) -> Cost:
    C, hidden, taps = spec.width, spec.width * spec.expansion, spec.kernel**2
    M, H = T * C, T * hidden
    params = 2 * C * hidden + hidden * taps + 2 * _norm(hidden) + _norm(C)
    return _cost(params, 2 * M * hidden + H * taps, 2 * H + M, M + 2 * H)


def _convnext(spec: ConvNeXtSpec, T: int) -> Cost:
    C, taps = spec.width, spec.kernel**2
    M = T * C
    mlp = _mlp(spec, T)
    params = C * taps + C + _norm(C) + mlp.params
    return _cost(params, M * taps + mlp.macs, M + mlp.activations, M + 2 * M * spec.expansion)


def _mlp(spec: ConvNeXtSpec | AttentionSpec | SSMSpec, T: int) -> Cost:
    """Two linear layers with bias, without the norm before them; what is alive includes the residual."""
    C, hidden = spec.width, spec.width * spec.expansion
    M, H = T * C, T * hidden
    return _cost(2 * C * hidden + hidden + C, 2 * M * hidden, H + M, M + 2 * H)


def _attention(spec: AttentionSpec, T: int) -> Cost:
    C, inner = spec.width, spec.heads * spec.head_dim
    M, A, scores = T * C, T * inner, spec.heads * T**2
    mlp = _mlp(spec, T)
    params = 10 * C + 2 * _norm(C) + 4 * C * inner + 2 * inner + C + mlp.params
    macs = 9 * M + 4 * M * inner + 2 * T * A + mlp.macs
    activations = M + 3 * A + scores + A + M + mlp.activations
    alive = max(3 * M, 2 * M + 3 * A, M + 3 * A + scores, M + A + 2 * scores, M + 2 * M * spec.expansion)
    return _cost(params, macs, activations, alive)


def _ssm(spec: SSMSpec, T: int) -> Cost:
    C, K, N = spec.width, spec.directions, spec.state
    M, h = T * C, spec.width // spec.head_dim
    mlp = _mlp(spec, T)
    linear = 3 * (C**2 + C) + 10 * C + C  # gate, inner, out; depthwise 3x3; skip
    params = linear + 3 * _norm(C) + K * (2 * N * C + h * C + 2 * h) + mlp.params
    macs, activations, alive = _scan(K, T, C, h, N)
    return _cost(
        params,
        3 * M * C + 9 * M + macs + mlp.macs,
        4 * M + activations + mlp.activations,
        max(4 * M, 3 * M + alive, M + 2 * M * spec.expansion),
    )


def ssd_chunk_length(tokens: int) -> int:
    """Tokens per chunk of the SSD form that the state-space blocks use for sequences of this length."""
    return min(tokens, 16 if tokens <= 256 else 32)


def _scan(K: int, T: int, C: int, h: int, N: int) -> tuple[int, int, int]:
    """(macs, activations, elements alive) of K scans in SSD form over T tokens, h heads, state N.

    Mamba-2, arXiv 2405.21060, section 6: within chunks of Q tokens (C B^T * decay) X; between
    them the states of all n chunks, mixed by an (n, n) matrix.
    """
    Q = ssd_chunk_length(T)
    n = -(-T // Q)
    L = n * Q  # padded to whole chunks
    project = 2 * N + h  # B, C and the step of each head
    macs = L * C * project + L * Q * N + L * Q * C
    activations = L * project + L * Q + L * C
    copies = int(n > 1)  # of the input, regrouped into chunks
    alive = max(
        L * C + (L + C) * project,  # projecting: tokens, weights of B, C and step, the projections
        L * (C + project + h + Q + 2 * h * Q),  # masking: input, projections, C B^T, two decay matrices
        L * ((2 + copies) * C + project + h + h * Q),  # mixing: input, output, one decay matrix
    )
    if n > 1:
        macs += 2 * L * N * C + n**2 * N * C
        activations += 2 * n * N * C + L * C
    return K * macs, K * activations, K * alive


def _head(spec: HeadSpec, T: int, n_classes: int) -> Cost:
    C = spec.width
    return _cost(_norm(C) + (C + 1) * n_classes, C * n_classes, n_classes, T * C + C)


def _cell_head(spec: CellHeadSpec, T: int, n_classes: int) -> Cost:
    C = spec.width
    return _cost(_norm(C) + (C + 1) * n_classes, C * n_classes, n_classes, 2 * T * C)
