"""Stitched routes against anchors alone, by accuracy and latency measured on ONNX Runtime.

Routes are chosen by validation accuracy and measured latency; the chosen ones and the anchors
are then scored once on the test images. The anchors alone appear twice: as they were when they
were stitched, and after as many further epochs alone as the routes were trained together.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.stitching_parts.common import (
    fresh,
    kept,
    macs,
    name_of,
    print_rows,
    printer,
    score,
    spread_routes,
)
from nas.data.load import ImageData, load_data
from nas.stitching.train import DEFAULTS, Phases, anchor_of, train_stitched
from nas.supernet.checkpoint import load_supernet
from nas.supernet.config import TrainConfig
from nas.supernet.extract import extract_subnet, fold
from nas.supernet.supernet import Supernet
from nas.supernet.train import train
from predictors.profiler import MeasurementProtocol, run_campaign
from predictors.runtimes.registry import get_runtime
from searchspaces.registry import get_space
from searchspaces.space import Arch


def front(arguments: argparse.Namespace) -> None:
    """Train, measure, score and compare; every part is kept in the folder."""
    data = load_data(arguments.data, limit=arguments.limit)
    settings = {**DEFAULTS, "anchor_fraction": arguments.anchor_fraction, "frozen": arguments.frozen}
    config = TrainConfig(
        **settings, epochs=arguments.epochs, batch_size=96, lr=3e-3, threads=1, seed=arguments.seed
    )
    supernet = _trained(arguments, data, config)
    space, folder = supernet.space, arguments.folder
    routes = spread_routes(space, data, arguments.routes)
    names = [name_of(space, arch) for arch in routes]
    latency = kept(folder, "latency", lambda: _latencies(supernet, routes))
    val = kept(folder, "val", lambda: [score(supernet, arch, data, data.val) for arch in routes])
    rows = [
        {"route": name, "latency_ms": ms, "macs": macs(space, arch, data), "val": v["top1"]}
        for name, arch, ms, v in zip(names, routes, latency, val, strict=True)
    ]
    chosen = [
        i
        for i, row in enumerate(rows)
        if row["route"] in space.fabric.anchors
        or not any(o["latency_ms"] <= row["latency_ms"] and o["val"] > row["val"] for o in rows)
    ]
    test = kept(folder, "test", lambda: [score(supernet, routes[i], data, data.test)["top1"] for i in chosen])
    for i, top1 in zip(chosen, test, strict=True):
        rows[i]["test"] = top1
    alone = kept(folder, "alone", lambda: _alone(space.fabric.anchors, folder / "anchors", data))
    result = {
        "data": arguments.data.partition(":")[0],
        "space": space.id,
        "epochs": arguments.epochs,
        "anchor_fraction": arguments.anchor_fraction,
        "frozen": arguments.frozen,
        "images": len(data.train),
        "runtime": "onnxruntime, 1 thread, batch 1",
        "routes": rows,
        "anchors_when_stitched": alone,
        "against_anchors_when_stitched": _compare(rows, alone),
    }
    arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    longer = kept(folder, "longer", lambda: _longer(supernet, folder, data, config))
    result["anchors_longer_alone"] = longer
    result["against_anchors_longer_alone"] = _compare(rows, longer)
    arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    print_rows([row for row in rows if "test" in row])


def _trained(arguments: argparse.Namespace, data: ImageData, config: TrainConfig) -> Supernet:
    folder = arguments.folder
    if (folder / "supernet.json").exists() and not (folder / "training.json").exists():
        return load_supernet(folder)
    supernet = fresh(get_space(arguments.space), data, config.seed)
    train_stitched(supernet, data, config, folder=folder, report=printer())
    return supernet.cpu().eval()


def _latencies(supernet: Supernet, routes: Sequence[Arch]) -> list[float]:
    """Milliseconds of each route as it would be extracted; weights do not matter here."""
    runtime = get_runtime("onnxruntime")
    candidates = {}
    for arch in routes:
        subnet = supernet.space.decode(arch)
        example = torch.rand(1, supernet.in_channels, subnet.resolution, subnet.resolution)
        candidates[arch] = (fold(extract_subnet(supernet.eval(), subnet)), example)
    campaign = run_campaign(runtime, runtime.device(), candidates, MeasurementProtocol())
    found = {sample.arch: sample.latency_ms for sample in campaign.samples}
    return [found[arch] for arch in routes]


def _alone(anchors: Sequence[str], folder: Path, data: ImageData) -> dict[str, dict[str, float]]:
    rows = {}
    for name in anchors:
        anchor = load_supernet(folder / name)
        arch = anchor.space.extreme(largest=True)
        rows[name] = {
            split: score(anchor, arch, data, images)["top1"]
            for split, images in (("val", data.val), ("test", data.test))
        }
    return rows


def _longer(supernet: Supernet, folder: Path, data: ImageData, config: TrainConfig) -> dict[str, Any]:
    """The anchors trained on alone with the learning rate and the epochs of the joint phase."""
    phase = replace(Phases.of(config).joint, mode="multi", subnets=1, sampler="uniform", frozen="none")
    for name in supernet.space.fabric.anchors:
        own = folder / "longer" / name
        if not (own / "supernet.json").exists() or (own / "training.json").exists():
            anchor = anchor_of(supernet, name)
            anchor.load_state_dict(load_supernet(folder / "anchors" / name).state_dict())
            train(anchor, data, phase, folder=own, report=printer())
    return _alone(supernet.space.fabric.anchors, folder / "longer", data)


def _compare(
    rows: Sequence[Mapping[str, Any]], anchors: Mapping[str, Mapping[str, float]]
) -> list[dict[str, Any]]:
    """At the latency of every scored route: the best route that fast against the best anchor that fast."""
    scored = [row for row in rows if "test" in row]
    latency = {row["route"]: row["latency_ms"] for row in rows if row["route"] in anchors}
    result = []
    for limit in sorted(row["latency_ms"] for row in scored):
        within = [row for row in scored if row["latency_ms"] <= limit]
        reachable = [name for name in anchors if latency[name] <= limit]
        if reachable:
            route = max(within, key=lambda row: row["val"])  # chosen on validation, told on test
            anchor = max(reachable, key=lambda name: anchors[name]["val"])
            gain = route["test"] - anchors[anchor]["test"]
            result.append({"latency_ms": limit, "route": route["route"], "anchor": anchor, "gain": gain})
    return result
