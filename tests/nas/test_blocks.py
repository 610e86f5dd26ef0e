"""Every block kind: extraction law, gradients, elastic sizes, independent references."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from nas.blocks.attention import Attention
from nas.blocks.elastic import ElasticBlock
from nas.blocks.ssm import SSM, merge_scans, scans, ssd
from nas.blocks.stitch import ElasticStitch, least_squares
from nas.blocks.zoo import elastic_block
from searchspaces.subnet import (
    CELL_OPERATORS,
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
)

CASES: list[tuple[LayerSpec, list[LayerSpec], int]] = [
    (StemSpec(24, 2), [StemSpec(24, 2), StemSpec(16, 2)], 3),
    (DownsampleSpec(16, 24, 2), [DownsampleSpec(16, 24, 2), DownsampleSpec(8, 16, 2)], 16),
    (DownsampleSpec(16, 24, 1), [DownsampleSpec(16, 16, 1)], 16),
    (StitchSpec("conv", "ssm", 24, 16), [StitchSpec("conv", "ssm", 16, 8)], 24),
    (MBConvSpec(24, 7, 4), [MBConvSpec(24, 7, 4), MBConvSpec(16, 5, 3), MBConvSpec(8, 3, 2)], 24),
    (ConvNeXtSpec(24, 7, 4), [ConvNeXtSpec(24, 7, 4), ConvNeXtSpec(16, 3, 2)], 24),
    (AttentionSpec(24, 4, 8, 4), [AttentionSpec(24, 4, 8, 4), AttentionSpec(16, 1, 8, 2)], 24),
    (
        SSMSpec(24, 8, 16, 4, 4),
        [SSMSpec(24, 8, 16, 4, 4), SSMSpec(16, 8, 4, 2, 3), SSMSpec(8, 8, 8, 1, 2)],
        24,
    ),
    (HeadSpec(24), [HeadSpec(24), HeadSpec(16)], 24),
    (CellStemSpec(24), [CellStemSpec(24), CellStemSpec(16)], 3),
    (
        CellSpec(16, 16, (CELL_OPERATORS,) * 6),
        [
            CellSpec(16, 16, (CELL_OPERATORS,) * 6),
            CellSpec(16, 16, tuple((name,) for name in (*CELL_OPERATORS, "skip_connect"))),
            CellSpec(8, 8, ((), ("nor_conv_3x3",), ("nor_conv_1x1",), (), (), ("avg_pool_3x3",))),
            CellSpec(16, 8, (("nor_conv_1x1",), ("project",), ("skip_connect",), (), (), ("avg_pool_3x3",))),
            CellSpec(16, 8, ((), (), (), (), (), ("nor_conv_3x3",))),
        ],
        16,
    ),
    (ResidualSpec(16, 24), [ResidualSpec(16, 24), ResidualSpec(8, 16)], 16),
    (CellHeadSpec(24), [CellHeadSpec(24), CellHeadSpec(16)], 24),
]
PAIRS = [(bounds, spec, channels) for bounds, specs, channels in CASES for spec in specs]


def channels_in(spec: LayerSpec) -> int:
    match spec:
        case StemSpec() | CellStemSpec():
            return 3
        case DownsampleSpec() | StitchSpec() | ResidualSpec() | CellSpec():
            return spec.in_width
        case _:
            return spec.width


@pytest.fixture
def randomised():
    """A block whose norms, biases and low-rank updates are random: defaults would hide errors."""

    def make(bounds: LayerSpec) -> ElasticBlock:
        torch.manual_seed(0)
        block = elastic_block(bounds, in_channels=3, n_classes=5)
        with torch.no_grad():
            for tensor in [*block.parameters(), *block.buffers()]:
                if tensor.is_floating_point():
                    tensor.add_(0.1 * torch.rand_like(tensor))
        return block

    return make


@pytest.mark.parametrize(("bounds", "spec", "channels"), PAIRS, ids=str)
@pytest.mark.parametrize("size", [4, 6, 7])
def test_extracted_block_equals_elastic_block(randomised, bounds, spec, channels, size):
    block = randomised(bounds).eval()
    x = torch.randn(2, channels_in(spec), size, size)
    with torch.no_grad():
        torch.testing.assert_close(block.extract(spec)(x), block(x, spec), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("bounds", "spec", "channels"), PAIRS, ids=str)
def test_extracted_block_owns_its_weights(randomised, bounds, spec, channels):
    block = randomised(bounds).eval()
    x = torch.randn(2, channels_in(spec), 6, 6)
    with torch.no_grad():
        before = block(x, spec)
        for parameter in block.extract(spec).parameters():
            parameter.add_(1.0)
        torch.testing.assert_close(block(x, spec), before, rtol=0, atol=0)


@pytest.mark.parametrize("bounds", [case[0] for case in CASES], ids=str)
def test_every_trained_parameter_receives_a_gradient(randomised, bounds):
    block = randomised(bounds).train()
    specs = next(specs for b, specs, _ in CASES if b == bounds)
    total = torch.zeros(())
    for spec in [bounds, *specs]:
        total = total + block(torch.randn(4, channels_in(spec), 6, 6), spec).square().sum()
    total.backward()
    missing = [name for name, p in block.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []
    assert all(p.grad.isfinite().all() for p in block.parameters() if p.grad is not None)


def test_smaller_kernel_starts_as_the_centre_of_the_larger(randomised):
    block = elastic_block(MBConvSpec(8, 7, 2), in_channels=3, n_classes=5)
    full = block.slices(MBConvSpec(8, 7, 2))["depthwise.conv.weight"]
    small = block.slices(MBConvSpec(8, 3, 2))["depthwise.conv.weight"]
    torch.testing.assert_close(small, full[..., 2:5, 2:5])


def test_batch_statistics_of_a_narrow_subnet_reach_only_its_channels():
    block = elastic_block(MBConvSpec(24, 3, 2), in_channels=3, n_classes=5).train()
    block(torch.randn(8, 16, 4, 4) + 3, MBConvSpec(16, 3, 2))
    mean = block.full.get_buffer("expand.norm.running_mean")
    assert mean[:32].abs().min() > 0
    assert mean[32:].abs().max() == 0


def naive_recurrence(x, log_decay, b, c):
    """The state-space recurrence token by token, in float64."""
    g, length, heads, p = x.shape
    state = torch.zeros(g, heads, b.shape[2], p, dtype=x.dtype)
    outputs = []
    for t in range(length):
        state = state * log_decay[:, t].exp()[:, :, None, None] + b[:, t, None, :, None] * x[:, t, :, None, :]
        outputs.append((c[:, t, None, None, :] @ state)[:, :, 0])
    return torch.stack(outputs, 1)


@pytest.mark.parametrize("chunk", [1, 4, 16, 48])
def test_ssd_equals_the_naive_recurrence(chunk):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, 48, 2, 4, dtype=torch.float64, generator=generator)
    b, c = torch.randn(2, 3, 48, 5, dtype=torch.float64, generator=generator)
    log_decay = -3 * torch.rand(3, 48, 2, dtype=torch.float64, generator=generator)
    expected = naive_recurrence(x, log_decay, b, c)
    torch.testing.assert_close(ssd(x, log_decay, b, c, chunk), expected, rtol=1e-10, atol=1e-10)


def test_ssd_is_stable_under_strong_decay():
    x, log_decay = torch.ones(1, 256, 1, 1), torch.full((1, 256, 1), -50.0)
    b = c = torch.ones(1, 256, 1)
    y = ssd(x, log_decay, b, c, 16)
    torch.testing.assert_close(y, torch.ones_like(y))


@pytest.mark.parametrize("directions", [1, 2, 4])
def test_scans_come_back_to_their_places(directions):
    x = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(merge_scans(scans(x, directions), 4, 5), directions * x)


def test_first_scan_is_causal_and_four_scans_see_everything():
    def influence(directions: int) -> torch.Tensor:
        torch.manual_seed(0)
        block = SSM(8, 8, 4, directions, 2).eval()
        block.local = nn.Identity()
        x = torch.randn(1, 8, 5, 5, requires_grad=True)
        block(x)[0, :, 2, 2].sum().backward()
        return x.grad.abs().sum(1)[0] > 0

    one, four = influence(1), influence(4)
    assert one[:2].all()
    assert not one[3:].any()
    assert four.all()


def test_attention_equals_an_independent_implementation():
    torch.manual_seed(0)
    block = Attention(16, 4, 4, 2).eval()
    reference = nn.MultiheadAttention(16, 4, batch_first=True).eval()
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.cat([block.query.weight, block.key.weight, block.value.weight]))
        reference.in_proj_bias.copy_(torch.cat([block.query.bias, torch.zeros(16), block.value.bias]))
        reference.out_proj.load_state_dict(block.out.state_dict())
        x = torch.randn(2, 16, 3, 3)
        tokens = (x + block.position(x)).flatten(2).transpose(1, 2)
        y = block.norm(tokens)
        tokens = tokens + reference(y, y, y, need_weights=False)[0]
        tokens = tokens + block.project(nn.functional.gelu(block.expand(block.mlp_norm(tokens))))
        expected = tokens.transpose(1, 2).unflatten(2, (3, 3))
        torch.testing.assert_close(block(x), expected, rtol=1e-5, atol=1e-5)


class TestStitch:
    def test_starts_as_the_identity(self):
        block = ElasticStitch(StitchSpec("a", "b", 16, 16))
        x = torch.randn(2, 16, 3, 3)
        torch.testing.assert_close(block(x, StitchSpec("a", "b", 16, 16)), x)

    def test_merged_equals_unmerged(self):
        torch.manual_seed(0)
        block = ElasticStitch(StitchSpec("a", "b", 16, 24))
        nn.init.normal_(block.up)
        base = torch.randn(24, 16)
        block.set_base(base, torch.randn(24))
        x = torch.randn(2, 16, 3, 3)
        pixels = x.permute(0, 2, 3, 1)
        unmerged = pixels @ base.T + (pixels @ block.down.T) @ block.up.T + block.full.map.bias
        merged = block.extract(StitchSpec("a", "b", 16, 24))(x)
        torch.testing.assert_close(merged, unmerged.permute(0, 3, 1, 2), rtol=1e-5, atol=1e-5)

    def test_least_squares_recovers_an_affine_map(self):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(500, 6, generator=generator)
        weight, bias = torch.randn(4, 6, generator=generator), torch.randn(4, generator=generator)
        found, offset = least_squares(x, x @ weight.T + bias, ridge=1e-9)
        torch.testing.assert_close(found, weight, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(offset, bias, rtol=1e-4, atol=1e-4)

    def test_least_squares_beats_any_perturbation_of_itself(self):
        rng = torch.Generator().manual_seed(2)
        x, y = torch.randn(200, 5, generator=rng), torch.randn(200, 5, generator=rng)
        weight, bias = least_squares(x, y, ridge=1e-9)
        best = (x @ weight.T + bias - y).square().sum()
        for _ in range(20):
            other = weight + 0.01 * torch.randn(5, 5, generator=rng)
            assert (x @ other.T + bias - y).square().sum() > best

    def test_without_data_variance_it_is_the_identity(self):
        weight, _ = least_squares(torch.ones(10, 3), torch.ones(10, 3))
        torch.testing.assert_close(weight, torch.eye(3))


def test_chunked_lengths_that_do_not_divide_are_padded():
    torch.manual_seed(0)
    block = SSM(8, 8, 4, 4, 2).eval()
    x = torch.randn(1, 8, 7, 7)
    with torch.no_grad():
        y = block(x)
    assert y.shape == x.shape
    assert math.isfinite(float(np.abs(y.numpy()).max()))
