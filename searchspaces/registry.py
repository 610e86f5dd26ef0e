"""Search spaces by name.

``hybrid-tiny`` and ``hybrid-cifar`` are presets; ``PRESET-rA-B`` is the same space with the
image resolutions A and B as the options (``hybrid-tiny-r8-12``). ``nats-size`` and
``nasbench201`` take images of 32 pixels, ``nats-size-r16`` and ``nasbench201-r16`` of 16;
``nats-size-d4`` builds networks of a quarter of the widths that its choices name, and
``nasbench201-cC-nN`` has C channels and N cells a stage instead of the published 16 and 5.
``stitched-P`` and ``stitched2-P`` are the routes through the anchors of preset P (``tiny``,
``cifar``: one of each family; ``pooltiny``, ``poolcifar``: small ones to be distilled),
``anchor-P-NAME`` one of them alone; they take ``-rA-B`` too. ``NAME-mM`` is any of these on M copies of the
weights, ``NAME-mM-by-CHOICE`` with the copies dealt to that choice's options.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TypeVar

from searchspaces import anchors
from searchspaces.cells import nasbench201_space, nats_size_space
from searchspaces.errors import UnknownSpaceError
from searchspaces.hybrid import hybrid_space
from searchspaces.hybrid_blocks import HybridConfig, Stage
from searchspaces.mixture import mixture_space
from searchspaces.routes import Rule
from searchspaces.space import SearchSpace
from searchspaces.stitched import StitchedConfig, anchor_space, stitched_space

TINY = HybridConfig(
    stages=(
        Stage(widths=(8, 16), depths=(1, 2), stride=1),
        Stage(widths=(8, 16, 24), depths=(1, 2), stride=2),
        Stage(widths=(16, 24, 32), depths=(1, 2, 3), stride=2),
        Stage(widths=(16, 32, 48), depths=(1, 2), stride=1),
    ),
    resolutions=(8, 12),
    stem_stride=1,
    head_dim=8,
)
CIFAR = HybridConfig(
    stages=(
        Stage(widths=(16, 32), depths=(1, 2, 3), stride=1),
        Stage(widths=(32, 48, 64), depths=(1, 2, 3), stride=2),
        Stage(widths=(64, 96, 128), depths=(2, 3, 4), stride=2),
        Stage(widths=(96, 128, 160), depths=(1, 2), stride=1),
    ),
    resolutions=(24, 28, 32),
    stem_stride=2,
    head_dim=16,
)
PRESETS = {"hybrid-tiny": TINY, "hybrid-cifar": CIFAR}
ANCHORS = {
    "tiny": anchors.TINY,
    "cifar": anchors.CIFAR,
    "pooltiny": anchors.POOL_TINY,
    "poolcifar": anchors.POOL_CIFAR,
}
RULES: Mapping[str, Rule] = {"stitched": "one-way", "stitched2": "two-way"}
STITCHED = tuple(f"{kind}-{preset}" for kind in RULES for preset in ANCHORS)
RECORDED = ("nats-size", "nasbench201")  # spaces with a public table of accuracies
SPACES = (*PRESETS, *RECORDED, *STITCHED)  # the names without variants
ConfigT = TypeVar("ConfigT", HybridConfig, StitchedConfig)
RESOLUTIONS = range(8, 225)
LARGE_IMAGE = 20  # from this resolution on, the stem halves the image
_RESOLUTIONS = r"(?:-r(?P<resolutions>[1-9][0-9]{0,2}(?:-[1-9][0-9]{0,2}){0,7}))?"
_NAME = re.compile(r"(?P<preset>hybrid-[a-z]+)" + _RESOLUTIONS)
_STITCHED = re.compile(
    r"(?:(?P<kind>stitched2?)-(?P<routes>[a-z]+)|anchor-(?P<alone>[a-z]+)-(?P<anchor>[a-z]+))" + _RESOLUTIONS
)
_CELLS = re.compile(
    r"(?:nats-size(?:-d(?P<divisor>2|4|8))?|nasbench201(?:-c(?P<width>4|8|16|32))?(?:-n(?P<cells>[1-9]))?)"
    r"(?:-r(?P<resolution>8|[1-9][0-9]{1,2}))?"
)
_MIXTURE = re.compile(r"(?P<base>.+)-m(?P<copies>[1-9])(?:-by-(?P<by>.+))?")


@lru_cache(maxsize=64)
def get_space(name: str) -> SearchSpace:
    """The search space called ``name``.

    Raises UnknownSpaceError, which lists what there is.
    """
    mixture = _MIXTURE.fullmatch(name)
    if mixture is not None:
        base = get_space(mixture["base"])
        return mixture_space(base, int(mixture["copies"]), by=mixture["by"], name=name)
    cells = _CELLS.fullmatch(name)
    if cells is not None:
        return _cell_space(name, cells)
    stitched = _STITCHED.fullmatch(name)
    if stitched is not None and (stitched["routes"] or stitched["alone"]) in ANCHORS:
        return _stitched_space(name, stitched)
    match = _NAME.fullmatch(name)
    config = PRESETS.get(match["preset"]) if match else None
    if match is None or config is None:
        raise UnknownSpaceError(
            f"no search space {name!r:.80}; there are {', '.join(SPACES)} (and NAME-rA-B…)"
        )
    return hybrid_space(name, _resized(name, config, match["resolutions"]))


def anchor_space_name(space: str, anchor: str) -> str:
    """The name of the space of one anchor alone: ``stitched2-tiny-r8``, "ssm" gives ``anchor-tiny-ssm-r8``.

    Raises UnknownSpaceError for a space that is not stitched.
    """
    match = _STITCHED.fullmatch(space)
    if match is None or not match["kind"]:
        raise UnknownSpaceError(f"space {space!r:.80} has no anchors of their own")
    suffix = f"-r{match['resolutions']}" if match["resolutions"] else ""
    return f"anchor-{match['routes']}-{anchor}{suffix}"


def _resized(name: str, config: ConfigT, text: str | None) -> ConfigT:
    """The configuration for resolutions given as "A-B", with a stem that suits them."""
    if text is None:
        return config
    resolutions = tuple(int(part) for part in text.split("-"))
    if list(resolutions) != sorted(set(resolutions)) or not all(r in RESOLUTIONS for r in resolutions):
        raise UnknownSpaceError(
            f"space {name!r}: resolutions must ascend within {RESOLUTIONS[0]}..{RESOLUTIONS[-1]}"
        )
    return replace(config, resolutions=resolutions, stem_stride=1 if resolutions[-1] < LARGE_IMAGE else 2)


def _stitched_space(name: str, match: re.Match[str]) -> SearchSpace:
    config = _resized(name, ANCHORS[match["routes"] or match["alone"]], match["resolutions"])
    if match["kind"]:
        return stitched_space(name, config, RULES[match["kind"]])
    names = [anchor.name for anchor in config.anchors]
    if match["anchor"] not in names:
        raise UnknownSpaceError(f"space {name!r}: the anchor must be one of {', '.join(names)}")
    return anchor_space(name, config, match["anchor"])


def _cell_space(name: str, match: re.Match[str]) -> SearchSpace:
    resolution = int(match["resolution"] or 32)
    if resolution % 4 or resolution not in RESOLUTIONS:
        raise UnknownSpaceError(
            f"space {name!r}: the resolution is halved twice and must be a multiple of 4 "
            f"within {RESOLUTIONS[0]}..{RESOLUTIONS[-1]}; got {resolution}"
        )
    if name.startswith("nats-size"):
        return nats_size_space(name, resolution=resolution, divisor=int(match["divisor"] or 1))
    return nasbench201_space(
        name, width=int(match["width"] or 16), cells=int(match["cells"] or 5), resolution=resolution
    )
