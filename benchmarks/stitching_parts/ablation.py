"""Four starts of the stitches between the same trained anchors."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau, spearmanr

from benchmarks.stitching_parts.common import fresh, kept, macs, name_of, print_rows, score, spread_routes
from nas.blocks.stitch import ElasticStitch
from nas.data.load import ImageData, load_data
from nas.stitching.train import DEFAULTS, Phases, anchor_of, start_stitches, train_stitched
from nas.supernet.checkpoint import load_supernet
from nas.supernet.config import TrainConfig
from nas.supernet.supernet import Supernet
from nas.supernet.train import train
from searchspaces.registry import get_space
from searchspaces.space import Arch

VARIANTS = {  # name: (start, low-rank update is trained)
    "none": ("identity", False),  # channels are cut off or padded with zeros
    "identity": ("identity", True),
    "least_squares": ("least_squares", False),
    "least_squares+low_rank": ("least_squares", True),
}


def ablation(arguments: argparse.Namespace) -> None:
    """Run all seeds and variants and write accuracy and ranking of each."""
    data = load_data(arguments.data, limit=arguments.limit)
    space = get_space(arguments.space)
    routes = spread_routes(space, data, arguments.routes)
    settings = {**DEFAULTS, "anchor_fraction": arguments.anchor_fraction}
    config = TrainConfig(**settings, epochs=arguments.epochs, threads=1)
    alone = routes[:: max(1, len(routes) // arguments.alone)][: arguments.alone]
    truth = [
        _trained_alone(arch, data, config, arguments.folder / "alone", arguments.space) for arch in alone
    ]
    rows = []
    for seed in range(arguments.seeds):
        folder = arguments.folder / f"seed{seed}"
        anchors = _anchors(data, replace(config, seed=seed), folder, arguments.space)
        for variant in VARIANTS:
            row = _variant(
                variant, data, replace(config, seed=seed), folder, anchors, arguments.space, routes
            )
            rows.append({"seed": seed, "variant": variant, **_summary(row, routes, alone, truth)})
            print_rows(rows[-1:])
    proxy = [float(macs(space, arch, data)) for arch in alone]
    result = {
        "data": arguments.data,
        "space": arguments.space,
        "epochs": arguments.epochs,
        "anchor_fraction": arguments.anchor_fraction,
        "images": len(data.train),
        "routes": len(routes),
        "alone": [{"route": name_of(space, a), **t} for a, t in zip(alone, truth, strict=True)],
        "proxies": {"macs": _agreement(proxy, truth)},
        "rows": rows,
        "means": {name: _mean([r for r in rows if r["variant"] == name]) for name in VARIANTS},
    }
    arguments.json.write_text(json.dumps(result, indent=1) + "\n")


def _anchors(data: ImageData, config: TrainConfig, folder: Path, space: str) -> dict[str, Path]:
    """Each anchor trained alone, shared by all variants of a seed."""
    supernet = fresh(get_space(space), data, config.seed)
    phase = Phases.of(config).anchor
    assert phase is not None
    folders = {name: folder / "anchors" / name for name in supernet.space.fabric.anchors}
    for name, own in folders.items():
        if not (own / "supernet.json").exists():
            train(anchor_of(supernet, name), data, phase, folder=own)
    return folders


def _variant(
    variant: str,
    data: ImageData,
    config: TrainConfig,
    folder: Path,
    anchors: dict[str, Path],
    space: str,
    routes: Sequence[Arch],
) -> dict[str, Any]:
    start, low_rank = VARIANTS[variant]
    own = replace(config, stitch_init=start)

    def compute() -> dict[str, Any]:
        supernet = fresh(get_space(space), data, config.seed)
        _set_low_rank(supernet, low_rank)
        for path in anchors.values():
            supernet.load_state_dict(load_supernet(path).state_dict(), strict=False)
        start_stitches(supernet, data, own)
        before = [score(supernet, arch, data, data.val) for arch in routes]
        train_stitched(supernet, data, own, folder=folder / variant, anchors=anchors)
        after = [score(supernet, arch, data, data.val) for arch in routes]
        return {"before": before, "after": after}

    result: dict[str, Any] = kept(folder, f"scores-{variant}", compute)
    return result


def _set_low_rank(supernet: Supernet, trained: bool) -> None:
    for module in supernet.modules():
        if isinstance(module, ElasticStitch):
            module.up.requires_grad_(trained)
            module.down.requires_grad_(trained)


def _trained_alone(
    arch: Arch, data: ImageData, config: TrainConfig, folder: Path, space: str
) -> dict[str, float]:
    """The route trained from scratch on its own for as many epochs as a supernet in all."""

    def compute() -> dict[str, float]:
        supernet = fresh(get_space(space), data, 1000)
        own = replace(config, anchor_fraction=0.0, stitch_init="identity", subnets=1, sampler="uniform")
        only = replace(supernet.space, choices=_fixed(supernet, arch))
        supernet.space = only
        train(supernet, data, own, folder=folder / arch.key)
        return score(supernet, only.arch([0] * len(only.choices)), data, data.val)

    result: dict[str, float] = kept(folder, arch.key, compute)
    return result


def _fixed(supernet: Supernet, arch: Arch) -> tuple[Any, ...]:
    """The choices that are active in this arch, each with its one value."""
    space = supernet.space
    values = space.values(arch)
    return tuple(
        replace(choice, values=(values[choice.name],), active_if=None)
        for choice in space.choices
        if choice.name in values
    )


def _summary(
    result: dict[str, Any], routes: Sequence[Arch], alone: Sequence[Arch], truth: Sequence[dict[str, float]]
) -> dict[str, float]:
    after = dict(zip(routes, result["after"], strict=True))
    estimate = [-after[arch]["cross_entropy"] for arch in alone]
    stitched = slice(3, None)  # the anchors come first
    return {
        "top1_before": float(np.mean([row["top1"] for row in result["before"][stitched]])),
        "top1": float(np.mean([row["top1"] for row in result["after"][stitched]])),
        "cross_entropy": float(np.mean([row["cross_entropy"] for row in result["after"][stitched]])),
        "top1_anchors": float(np.mean([row["top1"] for row in result["after"][:3]])),
        **_agreement(estimate, truth),
    }


def _agreement(estimate: Sequence[float], truth: Sequence[dict[str, float]]) -> dict[str, float]:
    target = [-row["cross_entropy"] for row in truth]
    return {
        "spearman": float(spearmanr(estimate, target).statistic),
        "kendall_tau": float(kendalltau(estimate, target).statistic),
    }


def _mean(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    keys = [key for key in rows[0] if key not in ("seed", "variant")]
    return {
        key: {"mean": float(np.mean([r[key] for r in rows])), "std": float(np.std([r[key] for r in rows]))}
        for key in keys
    }
