"""What commands show: JSON, tables, progress bars; plain text when piped, nothing that moves a cursor."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from service.client import DEFAULT_URL, Client, Event, describe
from service.errors import ProblemError

WIDTH_PIPED = 200  # where there is no terminal to ask, so that ids stay in one piece
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH_PIPED)
err = Console(stderr=True, highlight=False, soft_wrap=True)
MAX_NUMBERS = 3  # of a progress report beside its bar
CURVE = ("evaluations", "hypervolume", "low", "high")
LINE_INTERVAL_S = 10.0  # between lines of progress where there is no terminal

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Server = Annotated[str, typer.Option("--server", envvar="NAS_SERVER", help="URL of the server.")]
SERVER = DEFAULT_URL


def connect(server: str) -> Client:
    """A client of the server, with the token in NAS_TOKEN if there is one."""
    return Client(server, token=os.environ.get("NAS_TOKEN"))


@contextmanager
def problems_to_exit() -> Iterator[None]:
    """Turn an error of the server into a message and exit code 1, an interrupt into 130."""
    try:
        yield
    except ProblemError as error:
        for line in describe(error.document) or [str(error)]:
            err.print(Text.assemble(("error: ", "bold red"), clean(line)))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def clean(value: object) -> str:
    """Text without control characters, which a terminal would obey."""
    return "".join(character if character.isprintable() else "�" for character in str(value))


def print_json(document: Any) -> None:
    """The document as indented JSON on standard output."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def fidelity_line(report: Mapping[str, Any]) -> str:
    """A fidelity report in one line."""
    low, high = report["interval"]["spearman"]
    best = max(report["proxies"].items(), key=lambda item: item[1]["spearman"], default=None)
    proxy = f"; best proxy {best[0]} {best[1]['spearman']:.2f}" if best else ""
    return (
        f"ranking of {report['supernet']}: Spearman {report['spearman']:.2f} [{low:.2f}, {high:.2f}], "
        f"Kendall {report['kendall_tau']:.2f} over {report['subnets']} subnets{proxy}; "
        f"top choice loses {100 * report['top_regret']:.1f} points"
    )


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None
) -> None:
    """A table; numbers align right."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(type(row[index]) in (int, float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    out.print(table)


def cell(value: object) -> str:
    """A value as a table shows it: four significant digits, a dash for nothing."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else clean(value)


def run_job(client: Client, kind: str, *, as_json: bool, wait: bool, **body: Any) -> Mapping[str, Any]:
    """Submit a job, follow it with a progress bar and return it; exits with 1 if it does not succeed."""
    job = client.submit(kind, **{name: value for name, value in body.items() if value is not None})
    if wait:
        try:
            with JobBar(enabled=not as_json) as bar:
                job = client.wait(job["id"], on_event=bar)
        except KeyboardInterrupt:
            err.print(f"job {job['id']} goes on; stop it with: nas jobs --cancel {job['id']}")
            raise
    if as_json:
        print_json(job)
    if job["state"] in ("failed", "cancelled"):
        err.print(Text(f"{kind} {job['state']}: {clean(job['error'] or '')}", "bold red"))
        raise typer.Exit(1)
    return job


def show_race(curves: Sequence[Mapping[str, Any]]) -> None:
    """Where each searcher of a race ended; nothing where there was none."""
    if curves:
        ends = [[c[name][-1] if c[name] else None for name in CURVE] for c in curves]
        rows = [[c["searcher"], c["n_seeds"], *end] for c, end in zip(curves, ends, strict=True)]
        print_table(("searcher", "seeds", *CURVE), rows, title="race")


class JobBar:
    """A progress bar on a terminal; elsewhere a line per stage and every few seconds. On standard error."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self.stage = ""
        self.task: TaskID | None = None
        self.printed = 0.0
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[numbers]}"),
            console=err,
            disable=not (enabled and err.is_terminal),
        )

    def __enter__(self) -> JobBar:
        """Begin to draw."""
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave what was drawn."""
        self.progress.stop()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if not self.enabled:
            return
        if event.kind == "log":
            self.progress.console.print(Text(clean(event.data["message"])))
        elif event.kind == "state" and event.data["to"] == "pending" and event.data["reason"]:
            self.progress.console.print(Text(f"tried again: {clean(event.data['reason'])}"))
        elif event.kind == "progress":
            self._show(event.data)

    def _show(self, data: Mapping[str, Any]) -> None:
        stage, numbers = clean(data["stage"]), _numbers(data)
        if not err.is_terminal:
            self._print(stage, f"{data['done']}/{data['total']}  {numbers}")
            return
        if self.task is None or stage != self.stage:
            self.stage = stage
            self.task = self.progress.add_task(stage, total=data["total"], numbers=numbers)
        self.progress.update(self.task, completed=data["done"], total=data["total"], numbers=numbers)

    def _print(self, stage: str, text: str) -> None:
        now = time.monotonic()
        if stage != self.stage or now - self.printed >= LINE_INTERVAL_S:
            self.stage, self.printed = stage, now
            err.print(Text(f"{stage} {text}".rstrip()))


def _numbers(data: Mapping[str, Any]) -> str:
    shown = [name for name in data if name not in ("stage", "done", "total", "created_at", "eta_s")]
    texts = [f"{clean(name)} {cell(data[name])}" for name in shown[:MAX_NUMBERS]]
    if data.get("eta_s"):
        texts.append(f"{data['eta_s']:.0f} s left")
    return "  ".join(texts)
