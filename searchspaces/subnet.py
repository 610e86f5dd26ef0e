"""SubnetSpec: one decoded architecture as a chain of layers with every size resolved.

A layer names the *slot* of the supernet whose weights it uses and the sizes that it takes of
them. Features are maps (B, C, H, W); all blocks keep C, H and W, only stem, downsample and
stitch may change C, and only stem and downsample change H and W.
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
class HeadSpec:
    """Global average pooling, norm and the classifier shared by all subnets."""

    kind: ClassVar[str] = "head"
    width: int


BlockSpec: TypeAlias = MBConvSpec | ConvNeXtSpec | AttentionSpec | SSMSpec
LayerSpec: TypeAlias = StemSpec | DownsampleSpec | StitchSpec | BlockSpec | HeadSpec


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
            if isinstance(layer.spec, StemSpec | DownsampleSpec):
                size = -(-size // layer.spec.stride)
        return tuple(sizes)
