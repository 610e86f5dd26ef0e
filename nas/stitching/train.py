"""Train a stitched supernet: each anchor alone, then the stitches in closed form, then all routes.

A run is three phases of the ordinary trainer in folders of their own, so it resumes exactly
wherever it was stopped, and the anchors stay on disk as supernets that can be used alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nas.blocks.stitch import ElasticStitch
from nas.data.load import ImageData
from nas.errors import CheckpointError, ConfigError
from nas.stitching.fit import fit_anchor_stitches, stitched_fabric
from nas.supernet.checkpoint import load_supernet
from nas.supernet.config import TrainConfig
from nas.supernet.resize import to_float
from nas.supernet.supernet import Supernet
from nas.supernet.train import TrainProgress, TrainResult, total_steps, train
from searchspaces.registry import anchor_space_name, get_space
from searchspaces.space import SearchSpace
from searchspaces.stitched import StitchedFabric

DEFAULTS: Mapping[str, Any] = {  # where a stitched space wants other settings than one residual stream
    "anchor_fraction": 0.7,
    "stitch_init": "least_squares",
    "sampler": "cost_balanced",
}
JOINT_LR = 0.25  # of the anchors': they are trained already
IMAGES = 512  # that the stitches are fitted on


def is_stitched(space: SearchSpace) -> bool:
    """Whether the space has anchors of its own, so that ``train_stitched`` and ``DEFAULTS`` are for it."""
    return isinstance(space.fabric, StitchedFabric) and len(space.fabric.anchors) > 1


@dataclass(frozen=True, slots=True)
class Phases:
    """The configurations of the two trained phases; ``anchor`` is None where anchors are not trained."""

    anchor: TrainConfig | None
    joint: TrainConfig

    @classmethod
    def of(cls, config: TrainConfig) -> Phases:
        """``anchor_fraction`` of the epochs train each anchor alone on whole batches, the rest all routes.

        Raises ConfigError if nothing is left for all routes.
        """
        alone = int(config.anchor_fraction * config.epochs)
        if alone == config.epochs:
            raise ConfigError("anchor_fraction must lie below 1 in a stitched space; got 1.0")
        common = replace(config, anchor_fraction=0.0, stitch_init="identity")  # done between the phases
        joint = replace(common, epochs=config.epochs - alone, lr=config.lr * JOINT_LR if alone else config.lr)
        if not alone:
            return cls(None, joint)
        return cls(replace(common, epochs=alone, mode="multi", subnets=1, sampler="uniform"), joint)


def train_stitched(
    supernet: Supernet,
    data: ImageData,
    config: TrainConfig,
    *,
    folder: Path,
    anchors: Mapping[str, Path] | None = None,
    report: Callable[[TrainProgress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> TrainResult:
    """Train a supernet of a stitched space and leave it in ``folder``, its anchors in ``folder/anchors``.

    ``anchors`` maps an anchor to the folder of a trained supernet of its own space, which is then
    taken as it is. Steps count over all phases. Continues from what ``folder`` holds.

    Raises CheckpointError, before anything is trained, if a given anchor is of another space or
    takes other images, or if the state in ``folder`` is another run's.
    """
    fabric = stitched_fabric(supernet)
    given = {name: _given(supernet, name, path) for name, path in (anchors or {}).items()}
    phases = Phases.of(config)
    todo = [name for name in fabric.anchors if name not in given]
    steps = Steps(phases, len(todo), len(data.train.labels))
    for name, anchor in given.items():
        _adopt(supernet, anchor, name)
    for i, name in enumerate(todo if phases.anchor else ()):
        assert phases.anchor is not None
        alone = anchor_of(supernet, name)
        own = folder / "anchors" / name
        if not is_complete(own):
            result = train(
                alone,
                data,
                phases.anchor,
                folder=own,
                report=steps.reporter(report, i * steps.anchor, f"anchor {name}"),
                should_stop=should_stop,
            )
            if not result.completed:
                return replace(result, step=i * steps.anchor + result.step, steps=steps.total)
        _adopt(supernet, load_supernet(own), name)
    return _joint(supernet, data, config, phases, steps, folder, report, should_stop)


def anchor_of(supernet: Supernet, anchor: str) -> Supernet:
    """A supernet of the anchor alone, with its own copy of the weights that it has here."""
    space = get_space(anchor_space_name(supernet.space.name, anchor))
    alone = Supernet(space, n_classes=supernet.n_classes, in_channels=supernet.in_channels)
    theirs = supernet.state_dict()
    alone.load_state_dict({name: theirs[name].detach().cpu().clone() for name in alone.state_dict()})
    return alone.train(supernet.training)


def start_stitches(supernet: Supernet, data: ImageData, config: TrainConfig) -> None:
    """Fit the stitches on training images if the configuration wants least squares."""
    if config.stitch_init == "least_squares":
        n = len(data.train.labels)
        chosen = np.random.default_rng([config.seed, 4]).choice(n, min(IMAGES, n), replace=False)
        device = next(supernet.parameters()).device
        fit_anchor_stitches(supernet, to_float(torch.from_numpy(data.train.images[chosen]).to(device)))


def _joint(
    supernet: Supernet,
    data: ImageData,
    config: TrainConfig,
    phases: Phases,
    steps: Steps,
    folder: Path,
    report: Callable[[TrainProgress], None],
    should_stop: Callable[[], bool],
) -> TrainResult:
    start_stitches(supernet, data, config)
    done = steps.total - steps.joint
    with _frozen(supernet, config):
        result = train(
            supernet,
            data,
            phases.joint,
            folder=folder,
            report=steps.reporter(report, done, "joint"),
            should_stop=should_stop,
        )
    return replace(result, step=done + result.step, steps=steps.total)


@contextmanager
def _frozen(supernet: Supernet, config: TrainConfig) -> Iterator[None]:
    """Inside, only the low-rank updates of the stitches are trained if the configuration says so."""
    if config.frozen == "none":
        yield
        return
    stitches = [module for module in supernet.modules() if isinstance(module, ElasticStitch)]
    trained = {id(weight) for stitch in stitches for weight in (stitch.down, stitch.up)}
    kept = [p for p in supernet.parameters() if p.requires_grad and id(p) not in trained]
    for parameter in kept:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in kept:
            parameter.requires_grad_(True)


class Steps:
    """Steps per phase, and reports that count over all of them."""

    def __init__(self, phases: Phases, n_anchors: int, n_images: int) -> None:
        self.anchor = total_steps(n_images, phases.anchor) if phases.anchor else 0
        self.joint = total_steps(n_images, phases.joint)
        self.total = n_anchors * self.anchor + self.joint

    def reporter(
        self, report: Callable[[TrainProgress], None], done: int, phase: str
    ) -> Callable[[TrainProgress], None]:
        """Passes progress on with the ``done`` steps of earlier phases added."""

        def shifted(progress: TrainProgress) -> None:
            step = done + progress.step
            left_here = progress.steps - progress.step
            per_step = progress.eta_s / left_here if left_here else 0.0
            eta = per_step * (self.total - step)
            report(replace(progress, step=step, steps=self.total, phase=phase, eta_s=eta))

        return shifted


def _given(supernet: Supernet, anchor: str, folder: Path) -> Supernet:
    fabric = stitched_fabric(supernet)
    if anchor not in fabric.anchors:
        raise CheckpointError(
            f"{folder}: {supernet.space.id} has no anchor {anchor!r};"
            f" its anchors are {', '.join(fabric.anchors)}"
        )
    found = load_supernet(folder)
    wanted = get_space(anchor_space_name(supernet.space.name, anchor)).id
    for name, theirs, ours in (
        ("space", found.space.id, wanted),
        ("n_classes", found.n_classes, supernet.n_classes),
        ("in_channels", found.in_channels, supernet.in_channels),
    ):
        if theirs != ours:
            raise CheckpointError(
                f"{folder}: {name} is {theirs!r}; anchor {anchor!r} of {supernet.space.id} needs {ours!r}"
            )
    return found


def _adopt(supernet: Supernet, anchor: Supernet, name: str) -> None:
    unknown = supernet.load_state_dict(anchor.state_dict(), strict=False).unexpected_keys
    assert not unknown, f"anchor {name} does not fit"


def is_complete(folder: Path) -> bool:
    """Whether a training that left its supernet here had come to its end."""
    return (folder / "supernet.json").exists() and not (folder / "training.json").exists()
