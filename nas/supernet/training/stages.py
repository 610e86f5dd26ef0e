"""A chain cut into stages, each from one downsample to the next; the head belongs to none."""

from __future__ import annotations

import numpy as np

from nas.errors import ConfigError
from searchspaces.space import SearchSpace
from searchspaces.subnet import EntrySpec, Layer, SubnetSpec

TRIALS = 12  # random pairs of subnets that must agree before the choices of a stage


def stages_of(subnet: SubnetSpec) -> list[tuple[Layer, ...]]:
    """The layers of each stage; the stem opens the first one."""
    stages: list[list[Layer]] = [[]]
    for layer in subnet.layers[:-1]:
        if isinstance(layer.spec, EntrySpec):
            stages.append([])
        stages[-1].append(layer)
    return [tuple(stage) for stage in stages]


def first_choices(space: SearchSpace, *, seed: int) -> list[int]:
    """For each stage the number of leading choices that fix all stages before it.

    Subnets that agree in these choices differ from that stage on only. Raises ConfigError for a
    space whose choices do not follow its stages, so that no choice is left for a later stage.
    """
    rng = np.random.default_rng([seed, 8])
    n = len(space.choices)
    firsts = [next(c for c in range(n + 1) if _agree(space, c, 0, rng))]  # stage 0 shares a resolution
    for stage in range(1, len(stages_of(space.decode(space.sample(rng))))):
        firsts.append(next(c for c in range(firsts[-1], n + 1) if _agree(space, c, stage, rng)))
    if firsts[-1] == n:
        raise ConfigError(
            f"mode 'blockwise' needs a space with choices for every stage; {space.id} has none for its last"
        )
    return firsts


def _agree(space: SearchSpace, n_fixed: int, stage: int, rng: np.random.Generator) -> bool:
    """Whether subnets with equal first choices have equal layers before ``stage``, as far as tried."""
    for _ in range(TRIALS):
        fixed = space.sample(rng).genes[:n_fixed]
        pair = [space.decode(space.arch([*fixed, *space.sample(rng).genes[n_fixed:]])) for _ in range(2)]
        one, other = (stages_of(subnet) for subnet in pair)
        if one[:stage] != other[:stage] or pair[0].resolution != pair[1].resolution:
            return False
    return True
