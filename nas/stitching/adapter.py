"""AnchorAdapter: a user's own network, cut into stem, blocks and head so that it can be stitched.

Between blocks a network carries either maps (B, C, H, W) or tokens (B, P + H W, C), where the
first P are not pixels (class and register tokens). Stitches work on maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any, Literal, TypeAlias

from torch import Tensor, nn

from searchspaces.errors import AnchorMismatchError

Layout: TypeAlias = Literal["map", "tokens"]


@dataclass(frozen=True)
class AnchorAdapter:
    """``head(blocks(stem(images)))`` is the network; ``prefix`` is P, the tokens that are no pixels."""

    name: str
    stem: nn.Module
    blocks: tuple[tuple[str, nn.Module], ...]
    head: nn.Module
    layout: Layout = "map"
    prefix: int = 0

    def __post_init__(self) -> None:
        if not self.name or set(self.name) & set("@>/."):
            raise ValueError(
                f"name of an anchor must be non-empty without any of @ > / . ; got {self.name!r}"
            )
        if not self.blocks:
            raise ValueError(f"anchor {self.name!r} needs at least one block")
        if self.prefix and self.layout == "map":
            raise ValueError(f"anchor {self.name!r}: maps have no prefix tokens; got prefix={self.prefix}")

    @classmethod
    def of_modules(
        cls,
        name: str,
        module: nn.Module,
        *,
        stem: Sequence[str],
        blocks: Sequence[str],
        head: Sequence[str],
        layout: Layout = "map",
        prefix: int = 0,
    ) -> AnchorAdapter:
        """Cut ``module`` by the dotted names of its submodules; those of stem and head run in order.

        Raises ValueError for a name that the module does not have.
        """
        have = dict(module.named_modules())
        for path in (*stem, *blocks, *head):
            if path not in have:
                raise ValueError(f"anchor {name!r}: {type(module).__name__} has no submodule {path!r}")
        return cls(
            name,
            nn.Sequential(*(have[path] for path in stem)),
            tuple((path, have[path]) for path in blocks),
            nn.Sequential(*(have[path] for path in head)),
            layout,
            prefix,
        )

    @classmethod
    def of_vit(cls, name: str, model: Any) -> AnchorAdapter:
        """A vision transformer of timm, or one with the same attributes.

        Raises ValueError, naming the attribute, for a model that lacks one.
        """
        for attribute in ("patch_embed", "_pos_embed", "norm_pre", "blocks", "norm", "forward_head"):
            if not hasattr(model, attribute):
                raise ValueError(f"anchor {name!r}: {type(model).__name__} has no attribute {attribute!r}")
        blocks = tuple((f"blocks.{i}", block) for i, block in enumerate(model.blocks))
        prefix = int(getattr(model, "num_prefix_tokens", 1))
        return cls(name, _ViTStem(model), blocks, _ViTHead(model), "tokens", prefix)

    def to_map(self, features: Tensor) -> Tensor:
        """Features between blocks as a map (B, C, H, W).

        Raises AnchorMismatchError for features that are no square map.
        """
        return to_map(features, self.layout, self.prefix, f"anchor {self.name!r}")


def to_map(features: Tensor, layout: Layout, prefix: int, where: str) -> Tensor:
    """Features in this layout as (B, C, H, H); AnchorMismatchError, which names ``where``, if not square."""
    shape = tuple(features.shape)
    if layout == "map":
        if features.ndim != 4 or shape[2] != shape[3]:
            raise AnchorMismatchError(f"{where}: features must be square maps (B, C, H, H); got {shape}")
        return features
    side = isqrt(max(0, shape[1] - prefix)) if features.ndim == 3 else 0
    if not side or side**2 + prefix != shape[1]:
        raise AnchorMismatchError(f"{where}: features must be tokens (B, {prefix} + H H, C); got {shape}")
    return features[:, prefix:].transpose(1, 2).unflatten(2, (side, side))


class _ViTStem(nn.Module):
    """Images to tokens with their positions."""

    model: Any

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.patch_embed, self.norm_pre = model.patch_embed, model.norm_pre
        for name in ("cls_token", "reg_token", "pos_embed"):
            value = getattr(model, name, None)
            if isinstance(value, nn.Parameter):
                self.register_parameter(name, value)
        object.__setattr__(self, "model", model)  # not a submodule: its blocks belong to the anchor

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, R, R) to (B, P + H W, width)."""
        tokens: Tensor = self.norm_pre(self.model._pos_embed(self.patch_embed(images)))
        return tokens


class _ViTHead(nn.Module):
    """Tokens to logits."""

    model: Any

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.norm = model.norm
        for name in ("attn_pool", "fc_norm", "head_drop", "head"):
            setattr(self, name, getattr(model, name, None))
        object.__setattr__(self, "model", model)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, P + H W, width) to (B, n_classes)."""
        logits: Tensor = self.model.forward_head(self.norm(tokens))
        return logits
