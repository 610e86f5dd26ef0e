"""SubnetSpec: one decoded architecture as a chain of layers with every size resolved.

A layer names the *slot* of the supernet whose weights it uses and the sizes that it takes of
them. Features are maps (B, C, H, W); blocks keep H and W, and cells alone among them may change
C. Stem, downsample, residual and stitch change C; stem, downsample and residual also H and W.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

Family: TypeAlias = Literal["conv", "attention", "ssm"]


@dataclass(frozen=True, slots=True)
class StemSpec:
    """Normalisation and a 3x3 convolution from the image to ``width`` channels."""

    kind: ClassVar[str] = "stem"
    width: int
    stride: int


@dataclass(frozen=True, slots=True)
class DownsampleSpec:
    """Entry of a stage: a convolution from ``in_width`` to ``width`` channels (3x3 if strided, else 1x1)."""

    kind: ClassVar[str] = "downsample"
    in_width: int
    width: int
    stride: int


@dataclass(frozen=True, slots=True)
class CellStemSpec:
    """Stem of NAS-Bench-201: normalisation, a 3x3 convolution and batch norm, no activation."""

    kind: ClassVar[str] = "cell_stem"
    width: int


@dataclass(frozen=True, slots=True)
class ResidualSpec:
    """Entry of a stage of cells: the basic residual block with stride 2 of NAS-Bench-201."""

    kind: ClassVar[str] = "residual"
    in_width: int
    width: int
    stride: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class StitchSpec:
    """A 1x1 linear map between two blocks whose family, anchor or width differ."""

    kind: ClassVar[str] = "stitch"
    source: str
    target: str
    in_width: int
    width: int


@dataclass(frozen=True, slots=True)
class MBConvSpec:
    """Inverted residual (MobileNetV2): expand, depthwise ``kernel``, project."""

    kind: ClassVar[str] = "mbconv"
    family: ClassVar[Family] = "conv"
    width: int
    kernel: int
    expansion: int


@dataclass(frozen=True, slots=True)
class ConvNeXtSpec:
    """ConvNeXt-like: depthwise ``kernel``, norm, expand, project."""

    kind: ClassVar[str] = "convnext"
    family: ClassVar[Family] = "conv"
    width: int
    kernel: int
    expansion: int


@dataclass(frozen=True, slots=True)
class AttentionSpec:
    """Multi-head attention with a convolutional position encoding, then an MLP."""

    kind: ClassVar[str] = "attention"
    family: ClassVar[Family] = "attention"
    width: int
    heads: int
    head_dim: int
    expansion: int


@dataclass(frozen=True, slots=True)
class SSMSpec:
    """2-D state-space mixer in SSD form over ``directions`` scans, then an MLP.

    ``state`` is the state size N per head; heads have ``head_dim`` channels, so ``width`` is
    a multiple of ``head_dim``.
    """

    kind: ClassVar[str] = "ssm"
    family: ClassVar[Family] = "ssm"
    width: int
    head_dim: int
    state: int
    directions: int
    expansion: int


@dataclass(frozen=True, slots=True)
class CellSpec:
    """Cell of NAS-Bench-201 (arXiv 2001.00326, section 2.1): four nodes and the edges CELL_EDGES.

    ``edges`` holds for each edge the names of its operators, whose results are added up: one of
    CELL_OPERATORS in a subnet, or nothing where the space says "none"; all that can be chosen in
    the bounds of a slot. Edges out of node 0 map ``in_width`` to ``width`` channels. Raises
    ValueError for a wrong number of edges, an unknown operator, or one that keeps the width where
    it changes.
    """

    kind: ClassVar[str] = "cell"
    family: ClassVar[Family] = "conv"
    in_width: int
    width: int
    edges: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        if len(self.edges) != len(CELL_EDGES):
            raise ValueError(f"edges must be {len(CELL_EDGES)} tuples; got {len(self.edges)}")
        for (source, target), operators in zip(CELL_EDGES, self.edges, strict=True):
            for operator in operators:
                if operator not in CELL_OPERATORS:
                    raise ValueError(
                        f"edge {source}-{target}: no operator {operator!r}; there are {CELL_OPERATORS}"
                    )
                if source == 0 and self.in_width != self.width and operator in KEEP_WIDTH:
                    raise ValueError(
                        f"edge {source}-{target}: {operator!r} cannot map {self.in_width} to "
                        f"{self.width} channels"
                    )


CELL_EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))  # (source, target)
KEEP_WIDTH = ("skip_connect", "avg_pool_3x3")
CELL_OPERATORS = (*KEEP_WIDTH, "project", "nor_conv_1x1", "nor_conv_3x3")


@dataclass(frozen=True, slots=True)
class HeadSpec:
    """Global average pooling, norm and the classifier shared by all subnets."""

    kind: ClassVar[str] = "head"
    width: int


@dataclass(frozen=True, slots=True)
class CellHeadSpec:
    """Head of NAS-Bench-201: batch norm, ReLU, global average pooling and the classifier."""

    kind: ClassVar[str] = "cell_head"
    width: int


AnyStemSpec: TypeAlias = StemSpec | CellStemSpec
EntrySpec: TypeAlias = DownsampleSpec | ResidualSpec
BlockSpec: TypeAlias = MBConvSpec | ConvNeXtSpec | AttentionSpec | SSMSpec | CellSpec
AnyHeadSpec: TypeAlias = HeadSpec | CellHeadSpec
LayerSpec: TypeAlias = AnyStemSpec | EntrySpec | StitchSpec | BlockSpec | AnyHeadSpec


@dataclass(frozen=True, slots=True)
class Layer:
    """The sizes ``spec`` taken of the supernet's weights in ``slot``."""

    slot: str
    spec: LayerSpec


@dataclass(frozen=True, slots=True)
class SubnetSpec:
    """A network for square images of ``resolution`` pixels: the layers in the order they run."""

    resolution: int
    layers: tuple[Layer, ...]

    @property
    def blocks(self) -> tuple[BlockSpec, ...]:
        """The searched blocks, without stem, downsamples, stitches and head."""
        return tuple(layer.spec for layer in self.layers if isinstance(layer.spec, BlockSpec))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Side length in pixels of each layer's *input*, in the order of ``layers``."""
        size, sizes = self.resolution, []
        for layer in self.layers:
            sizes.append(size)
            if isinstance(layer.spec, StemSpec | EntrySpec):
                size = -(-size // layer.spec.stride)
        return tuple(sizes)
