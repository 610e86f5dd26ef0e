"""``nas demo``: the whole job end to end, over HTTP, on images that need no download or on none at all."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from searchspaces.errors import NasError
from service.commands.demo_steps import DemoSteps, median_latency
from service.commands.jobs import absolute_source
from service.commands.output import clean, err, out, problems_to_exit
from service.local import LocalServer

SEARCHERS = {"evolution": "nsga2", "bayesian": "tpe"}
FORMATS = ("onnx", "pt2")
CHECKPOINT = Path(__file__).resolve().parents[2] / "checkpoints" / "hybrid-cifar"
PRETRAINED_SAMPLES = 60  # subnets that are measured
PRETRAINED_BUDGET = 200  # subnets whose accuracy and latency are predicted
PRETRAINED_BATCH = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything: sizes that fit ten minutes on two cores for digits, more for others."""

    config: Mapping[str, Any]
    samples: int
    budget: int


PLANS = {
    "digits": Plan({"epochs": 60, "threads": 1}, samples=100, budget=100),
    "cifar10": Plan({"epochs": 3, "subnets": 2, "lr": 2e-3}, samples=100, budget=60),
}
OTHER = Plan({"epochs": 10}, samples=100, budget=80)


def demo(
    data: Annotated[str | None, typer.Option(help="digits (default), or a source such as cifar10.")] = None,
    path: Annotated[
        Path | None, typer.Option("--path", "--data-path", help="Folder or file of the source.")
    ] = None,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="Search a trained supernet: no training, no images needed.")
    ] = False,
    checkpoint: Annotated[
        Path, typer.Option(help="Folder of the trained supernet, with its accuracy predictor.")
    ] = CHECKPOINT,
    folder: Annotated[Path, typer.Option(help="Where everything is written.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
) -> None:
    """Train, measure this machine, search twice, extract the best model and verify it.

    With --pretrained, a trained supernet is searched for this machine, in about three minutes.
    An interrupted demo goes on where it was when it is started again in the same folder.
    """
    began = time.monotonic()
    if pretrained and not (checkpoint / "supernet.json").exists():
        err.print(f"error: {clean(checkpoint)}: there is no trained supernet", markup=False)
        raise typer.Exit(1)
    with problems_to_exit():
        try:
            with LocalServer(folder / "nas-data") as server:
                if pretrained:
                    source = _pretrained_source(data, path)
                    steps = DemoSteps(server.client, checkpoint.resolve().name, folder, seed)
                    _search_pretrained(steps, checkpoint.resolve(), source)
                else:
                    name = (data or "digits").partition(":")[0]
                    steps = DemoSteps(server.client, name, folder, seed)
                    _train_and_search(steps, _source(data or "digits", path), PLANS.get(name, OTHER))
        except NasError as error:
            err.print(f"error: {clean(error)}", style="bold red", markup=False)
            raise typer.Exit(1) from None
    out.print(f"\nDone in {time.monotonic() - began:.0f} s.")


def _train_and_search(steps: DemoSteps, source: str, plan: Plan) -> None:
    """What was done already in this folder is not done again."""
    steps.heading(f"1/6  Train one supernet on {steps.supernet} (all its subnets share their weights)")
    if steps.is_there():
        out.print(f"{steps.supernet} is trained already.")
    else:
        steps.job("train", supernet=steps.supernet, data=source, config=dict(plan.config))
    steps.heading(f"2/6  Measure {plan.samples} subnets on this machine and fit its latency predictor")
    steps.profile(plan.samples)
    steps.heading(f"3/6  Search: evolution and Bayesian, {plan.budget} subnets each")
    studies = [steps.search(label, name, plan.budget) for label, name in SEARCHERS.items()]
    steps.heading("4/6  The front: no subnet is both faster and more accurate than one of these")
    points = steps.front(studies)
    _finish(steps, median_latency(points), 5)


def _search_pretrained(steps: DemoSteps, checkpoint: Path, source: str | None) -> None:
    """No image is needed: accuracies are predicted, and calibration images come with the checkpoint."""
    steps.heading(f"1/6  Import the trained supernet {checkpoint.name} (its digests are checked)")
    if steps.is_there():
        out.print(f"{steps.supernet} is imported already.")
    else:
        steps.job("train", supernet=steps.supernet, checkpoint=str(checkpoint), data=source)
    steps.heading(f"2/6  Measure {PRETRAINED_SAMPLES} subnets on this machine and fit its latency predictor")
    steps.profile(PRETRAINED_SAMPLES)
    tested = "" if source is None else ", then test its front on images"
    steps.heading(f"3/6  Search {PRETRAINED_BUDGET} subnets by predicted accuracy and latency{tested}")
    study = steps.search(
        "pretrained", "guided", PRETRAINED_BUDGET, accuracy="predicted", batch_size=PRETRAINED_BATCH
    )
    steps.heading("4/6  The front: latencies are measured, top1 is predicted; test_top1 needs images")
    points = steps.front([study])
    _finish(steps, median_latency(points), 5)


def _finish(steps: DemoSteps, budget_ms: float, number: int) -> None:
    """Extract and verify, as steps ``number`` and ``number + 1`` of six."""
    steps.heading(f"{number}/6  Extract the best model within a latency budget")
    model, subnet = steps.extract(budget_ms, FORMATS)
    steps.heading(
        f"{number + 1}/6  Verify it: digests, every format against the model, latency measured again"
    )
    steps.verify(model)
    steps.next_steps(subnet, budget_ms)


def _pretrained_source(data: str | None, path: Path | None) -> str | None:
    """The source of images, CIFAR-10 if only a path is given, or None."""
    return None if data is None and path is None else _source(data or "cifar10", path)


def _source(data: str, path: Path | None) -> str:
    return absolute_source(f"{data}:{path}" if path else data)
