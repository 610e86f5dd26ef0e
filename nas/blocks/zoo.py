"""Which module implements which spec: the one place that knows them all."""

from __future__ import annotations

from typing import Any, assert_never

from nas.blocks.attention import Attention
from nas.blocks.cell import Cell, CellHead, CellStem, Residual, edges_text
from nas.blocks.conv import ConvNeXt, Downsample, ElasticKernelBlock, MBConv, Stem
from nas.blocks.elastic import ElasticBlock
from nas.blocks.head import Head
from nas.blocks.plain import PlainCall, plain_call
from nas.blocks.ssm import SSM
from nas.blocks.stitch import ElasticStitch, plain_stitch
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
)


def plain_of(spec: LayerSpec, *, in_channels: int, n_classes: int) -> PlainCall:
    """The constructor call of the plain module of this layer, convolutions not folded."""
    match spec:
        case StemSpec():
            return plain_call(Stem, in_channels=in_channels, width=spec.width, stride=spec.stride)
        case DownsampleSpec():
            return plain_call(Downsample, in_width=spec.in_width, width=spec.width, stride=spec.stride)
        case StitchSpec():
            return plain_stitch(spec)
        case MBConvSpec():
            return plain_call(MBConv, width=spec.width, kernel=spec.kernel, expansion=spec.expansion)
        case ConvNeXtSpec():
            return plain_call(ConvNeXt, width=spec.width, kernel=spec.kernel, expansion=spec.expansion)
        case AttentionSpec():
            return plain_call(
                Attention,
                width=spec.width,
                heads=spec.heads,
                head_dim=spec.head_dim,
                expansion=spec.expansion,
            )
        case SSMSpec():
            return plain_call(
                SSM,
                width=spec.width,
                head_dim=spec.head_dim,
                state=spec.state,
                directions=spec.directions,
                expansion=spec.expansion,
            )
        case HeadSpec():
            return plain_call(Head, width=spec.width, n_classes=n_classes)
        case CellStemSpec():
            return plain_call(CellStem, in_channels=in_channels, width=spec.width)
        case CellSpec():
            return plain_call(Cell, in_width=spec.in_width, width=spec.width, edges=edges_text(spec))
        case ResidualSpec():
            return plain_call(Residual, in_width=spec.in_width, width=spec.width)
        case CellHeadSpec():
            return plain_call(CellHead, width=spec.width, n_classes=n_classes)
        case other:
            assert_never(other)


def elastic_block(bounds: LayerSpec, *, in_channels: int, n_classes: int) -> ElasticBlock[Any]:
    """A weight slot with these largest sizes."""

    def plain(spec: LayerSpec) -> PlainCall:
        return plain_of(spec, in_channels=in_channels, n_classes=n_classes)

    match bounds:
        case StitchSpec():
            return ElasticStitch(bounds)
        case MBConvSpec():
            return ElasticKernelBlock(bounds, plain, "depthwise.conv.weight")
        case ConvNeXtSpec():
            return ElasticKernelBlock(bounds, plain, "depthwise.weight")
        case _:
            return ElasticBlock(bounds, plain)
