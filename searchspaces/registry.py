"""Search spaces by name.

``hybrid-tiny`` and ``hybrid-cifar`` are presets; ``PRESET-rA-B`` is the same space with the
image resolutions A and B as the options (``hybrid-tiny-r8-12``).
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

from searchspaces.errors import UnknownSpaceError
from searchspaces.hybrid import HybridConfig, Stage, hybrid_space
from searchspaces.space import SearchSpace

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
RESOLUTIONS = range(8, 225)
LARGE_IMAGE = 20  # from this resolution on, the stem halves the image
_NAME = re.compile(
    r"(?P<preset>hybrid-[a-z]+)(?:-r(?P<resolutions>[1-9][0-9]{0,2}(?:-[1-9][0-9]{0,2}){0,7}))?"
)


@lru_cache(maxsize=64)
def get_space(name: str) -> SearchSpace:
    """The search space called ``name``.

    Raises UnknownSpaceError, which lists what there is.
    """
    match = _NAME.fullmatch(name)
    config = PRESETS.get(match["preset"]) if match else None
    if match is None or config is None:
        raise UnknownSpaceError(
            f"no search space {name!r:.80}; there are {', '.join(PRESETS)} (and NAME-rA-B…)"
        )
    if match["resolutions"] is None:
        return hybrid_space(name, config)
    resolutions = tuple(int(text) for text in match["resolutions"].split("-"))
    if list(resolutions) != sorted(set(resolutions)) or not all(r in RESOLUTIONS for r in resolutions):
        raise UnknownSpaceError(
            f"space {name!r}: resolutions must ascend within {RESOLUTIONS[0]}..{RESOLUTIONS[-1]}"
        )
    stride = 1 if resolutions[-1] < LARGE_IMAGE else 2
    return hybrid_space(name, replace(config, resolutions=resolutions, stem_stride=stride))
