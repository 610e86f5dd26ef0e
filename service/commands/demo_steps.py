"""Steps that the demonstrations share: each is a job of a server, shown as it runs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from service.client import Client
from service.commands.output import fidelity_line, out, print_table, run_job
from service.commands.results import verify
from service.plot import front_chart, write_html, write_png

BATCH_SIZE = 10


class DemoSteps:
    """Jobs on one supernet, whose results are printed and drawn into ``folder``."""

    def __init__(self, client: Client, supernet: str, folder: Path, seed: int) -> None:
        self.client, self.supernet, self.folder, self.seed = client, supernet, folder, seed

    def heading(self, text: str) -> None:
        """The title of the next step."""
        out.print(f"\n{text}", style="bold")

    def is_there(self) -> bool:
        """Whether the server has the supernet, from a demonstration that was interrupted."""
        return self.supernet in {item["name"] for item in self.client.supernets()}

    def job(self, kind: str, **body: Any) -> Mapping[str, Any]:
        """Run a job, with a bar; exits with 1 unless it succeeds."""
        if kind != "extract":
            body["seed"] = self.seed
        return run_job(self.client, kind, as_json=False, wait=True, **body)

    def profile(self, samples: int) -> None:
        """Measure subnets here and show how good the latency predictor is."""
        result = self.job("profile", supernet=self.supernet, device="here", samples=samples)["result"]
        print_table(("predictor on held-out subnets", result["device"]), sorted(result["quality"].items()))

    def search(self, label: str, searcher: str, budget: int, **settings: Any) -> str:
        """Search and say in a line what was found; returns the study's id."""
        began = time.monotonic()
        study = f"{self.supernet}-{label}"
        settings = {"batch_size": BATCH_SIZE, **settings}
        result = self.job(
            "search",
            supernet=self.supernet,
            device="here",
            searcher=searcher,
            budget=budget,
            study=study,
            **settings,
        )["result"]
        out.print(
            f"{label}: {result['n_trials']} subnets in {time.monotonic() - began:.0f} s, "
            f"{result['front_size']} on its front, hypervolume {result['hypervolume']:.4f}"
        )
        return study

    def front(self, studies: Sequence[str]) -> list[dict[str, Any]]:
        """Show the front as a table and as charts; returns its points."""
        answer = self.client.front_answer(supernet=self.supernet, device="here")
        points: list[dict[str, Any]] = answer["points"]
        columns = ("subnet_id", "top1", "top1_source", "test_top1", "latency_ms", "predicted_latency_ms")
        print_table(columns, [[point[column] for column in columns] for point in points])
        if answer["fidelity"]:
            out.print(fidelity_line(answer["fidelity"]), markup=False)
        chart = front_chart(
            [point for study in studies for point in self.client.front(study=study)],
            title=f"Fronts of {self.supernet} on this machine",
        )
        write_html(chart, self.folder / "front.html")
        write_png(chart, self.folder / "front.png")
        out.print(f"Charts: {self.folder / 'front.html'} and {self.folder / 'front.png'}")
        return points

    def extract(self, budget_ms: float, formats: Sequence[str]) -> tuple[Path, str]:
        """Extract the best subnet within a latency budget; returns its folder and id."""
        best = self.client.best(supernet=self.supernet, device="here", max_latency_ms=budget_ms)
        subnet = best["subnet_id"]
        kind = "validation top-1" if best["top1_source"] == "evaluated" else "a predicted top-1 of"
        out.print(
            f"Best within {budget_ms} ms: {subnet} with {kind} {best['top1']:.1%} "
            f"at {best['latency_ms']:.3g} ms ({best['latency_source']})"
        )
        job = self.job("extract", subnet=subnet, formats=list(formats), device="here")
        model = self.folder / subnet.replace(":", "-")
        for file in self.client.download_all(job["id"], model):
            out.print(f"  {file} ({file.stat().st_size / 1024:.0f} KiB)")
        return model, subnet

    def verify(self, model: Path) -> None:
        """Check the extracted model; exits with 1 if a check fails."""
        verify(model, as_json=False)

    def next_steps(self, subnet: str, budget_ms: float) -> None:
        """Commands to go on with."""
        self.heading("Next")
        for command in (
            f"nas serve --data-dir {self.folder / 'nas-data'}     # the dashboard, and the API for the rest",
            f"nas best --device here --max-latency-ms {budget_ms * 1.5:.2g}",
            f"nas extract {subnet} --to onnx",
        ):
            out.print(f"  .venv/bin/{command}", markup=False, soft_wrap=True)


def median_latency(points: Sequence[Mapping[str, Any]]) -> float:
    """The median latency of front points, in ms with two digits."""
    return float(f"{statistics.median(point['latency_ms'] for point in points):.2g}")
