"""``nas demo``: the whole job end to end, over HTTP, on images that need no download."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from searchspaces.errors import NasError
from service.commands.jobs import absolute_source
from service.commands.output import clean, err, out, print_table, problems_to_exit, run_job
from service.commands.results import verify
from service.local import LocalServer
from service.plot import front_chart, write_html, write_png

SEARCHERS = {"evolution": "nsga2", "bayesian": "tpe"}
BATCH_SIZE = 10


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
    data: Annotated[str, typer.Option(help="digits, or a source such as cifar10.")] = "digits",
    path: Annotated[Path | None, typer.Option(help="Folder or file of the source.")] = None,
    folder: Annotated[Path, typer.Option(help="Where everything is written.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
) -> None:
    """Train, measure this machine, search twice, extract the best model and verify it.

    An interrupted demo goes on where it was when it is started again in the same folder.
    """
    began = time.monotonic()
    source = absolute_source(f"{data}:{path}" if path else data)
    name = data.partition(":")[0]
    with problems_to_exit():
        try:
            with LocalServer(folder / "nas-data") as server:
                _Demo(server, name, source, folder, seed).run(PLANS.get(name, OTHER))
        except NasError as error:
            err.print(f"error: {clean(error)}", style="bold red", markup=False)
            raise typer.Exit(1) from None
    out.print(f"\nDone in {time.monotonic() - began:.0f} s.")


class _Demo:
    """The steps, each a job of the server; what is there already is not done again."""

    def __init__(self, server: LocalServer, name: str, source: str, folder: Path, seed: int) -> None:
        self.client, self.url = server.client, server.url
        self.name, self.source, self.folder, self.seed = name, source, folder, seed

    def run(self, plan: Plan) -> None:
        """All steps in order."""
        self._heading(f"1/6  Train one supernet on {self.name} (all its subnets share their weights)")
        if self.name in {supernet["name"] for supernet in self.client.supernets()}:
            out.print(f"{self.name} is trained already.")
        else:
            self._job("train", supernet=self.name, data=self.source, config=dict(plan.config))
        self._heading(f"2/6  Measure {plan.samples} subnets on this machine and fit its latency predictor")
        self._show_quality(
            self._job("profile", supernet=self.name, device="here", samples=plan.samples)["result"]
        )
        self._heading(f"3/6  Search: evolution and Bayesian, {plan.budget} subnets each")
        for label, searcher in SEARCHERS.items():
            self._search(label, searcher, plan.budget)
        self._heading("4/6  The front: no subnet is both faster and more accurate than one of these")
        points = self._front()
        self._heading("5/6  Extract the best model within a latency budget")
        budget = float(f"{statistics.median(point['latency_ms'] for point in points):.2g}")
        model, subnet = self._extract(budget)
        self._heading("6/6  Verify it: digests, every format against the model, latency measured again")
        verify(model, as_json=False)
        self._next_steps(subnet, budget)

    def _heading(self, text: str) -> None:
        out.print(f"\n{text}", style="bold")

    def _job(self, kind: str, **body: Any) -> Mapping[str, Any]:
        if kind != "extract":
            body["seed"] = self.seed
        return run_job(self.client, kind, as_json=False, wait=True, **body)

    def _show_quality(self, result: Mapping[str, Any]) -> None:
        print_table(("predictor on held-out subnets", result["device"]), sorted(result["quality"].items()))

    def _search(self, label: str, searcher: str, budget: int) -> None:
        began = time.monotonic()
        result = self._job(
            "search",
            supernet=self.name,
            device="here",
            searcher=searcher,
            budget=budget,
            batch_size=BATCH_SIZE,
            study=f"{self.name}-{label}",
        )["result"]
        out.print(
            f"{label}: {result['n_trials']} subnets in {time.monotonic() - began:.0f} s, "
            f"{result['front_size']} on its front, hypervolume {result['hypervolume']:.4f}"
        )

    def _front(self) -> list[dict[str, Any]]:
        points = self.client.front(supernet=self.name, device="here")
        columns = ("subnet_id", "top1", "test_top1", "latency_ms", "predicted_latency_ms", "study_id")
        print_table(columns, [[point[column] for column in columns] for point in points])
        chart = front_chart(
            [point for label in SEARCHERS for point in self.client.front(study=f"{self.name}-{label}")],
            title=f"Fronts of {self.name} on this machine",
        )
        write_html(chart, self.folder / "front.html")
        write_png(chart, self.folder / "front.png")
        out.print(f"Charts: {self.folder / 'front.html'} and {self.folder / 'front.png'}")
        return points

    def _extract(self, budget: float) -> tuple[Path, str]:
        best = self.client.best(supernet=self.name, device="here", max_latency_ms=budget)
        subnet = best["subnet_id"]
        out.print(
            f"Best within {budget} ms: {subnet} with validation top-1 {best['top1']:.1%} "
            f"at {best['latency_ms']:.3g} ms ({best['latency_source']})"
        )
        job = self._job("extract", subnet=subnet, formats=["onnx", "pt2"], device="here")
        model = self.folder / subnet.replace(":", "-")
        for file in self.client.download_all(job["id"], model):
            out.print(f"  {file} ({file.stat().st_size / 1024:.0f} KiB)")
        return model, subnet

    def _next_steps(self, subnet: str, budget: float) -> None:
        self._heading("Next")
        for command in (
            f"nas serve --data-dir {self.folder / 'nas-data'}     # the dashboard, and the API for the rest",
            f"nas best --device here --max-latency-ms {budget * 1.5:.2g}",
            f"nas extract {subnet} --to onnx",
        ):
            out.print(f"  .venv/bin/{command}", markup=False, soft_wrap=True)
