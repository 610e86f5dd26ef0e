"""``nas front``, ``best``, ``devices``, ``verify``: what jobs have left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from searchspaces.errors import NasError
from service.commands.output import (
    SERVER,
    AsJson,
    Server,
    clean,
    connect,
    err,
    fidelity_line,
    out,
    print_json,
    print_table,
    problems_to_exit,
)
from service.errors import UnknownTableFormatError
from service.frames import save_front

Device = Annotated[str | None, typer.Option(help='A device, or "here" for the server\'s machine.')]
Supernet = Annotated[str | None, typer.Option(help="Name of a supernet.")]
StudyId = Annotated[str | None, typer.Option(help="Id of a study.")]
MaxLatency = Annotated[float | None, typer.Option(help="At most so many milliseconds.")]
MinTop1 = Annotated[float | None, typer.Option(help="At least this accuracy, in [0, 1].")]
POINT_COLUMNS = ("subnet_id", "top1", "top1_source", "test_top1", "latency_ms", "latency_source", "device")
ALONE_COLUMN = "standalone_top1"  # shown where a supernet tells it
DEVICE_COLUMNS = ("name", "runtime", "runtime_version", "threads", "hardware")


def front(
    device: Device = None,
    supernet: Supernet = None,
    study: StudyId = None,
    max_latency_ms: MaxLatency = None,
    min_top1: MinTop1 = None,
    save: Annotated[Path | None, typer.Option(help="Write to this .csv, .parquet or .json too.")] = None,
    as_json: AsJson = False,
    server: Server = SERVER,
) -> None:
    """Show the Pareto front of accuracy and latency."""
    with problems_to_exit(), connect(server) as client:
        answer = client.front_answer(
            device=device, supernet=supernet, study=study, max_latency_ms=max_latency_ms, min_top1=min_top1
        )
        points = answer["points"]
        _show_points(points, as_json=as_json)
        _show_reranked(answer["reranked"], err if as_json else out)
        _show_alone(answer["standalone"], err if as_json else out)
        show_fidelity(answer, as_json=as_json)
    if save is not None:
        try:
            save_front(points, save)
        except UnknownTableFormatError as error:
            raise typer.BadParameter(str(error), param_hint="--save") from None


def best(
    device: Device = None,
    supernet: Supernet = None,
    study: StudyId = None,
    max_latency_ms: MaxLatency = None,
    min_top1: MinTop1 = None,
    as_json: AsJson = False,
    server: Server = SERVER,
) -> None:
    """Show the most accurate subnet within a budget."""
    with problems_to_exit(), connect(server) as client:
        point = client.best(
            device=device, supernet=supernet, study=study, max_latency_ms=max_latency_ms, min_top1=min_top1
        )
        if as_json:
            print_json(point)
            return
        _show_points([point], as_json=False)
        _show_reranked(point["reranked"], out)
        _show_alone(point["standalone"], out)
        show_fidelity(point, as_json=False)
        out.print(f"extract it with: nas extract {clean(point['subnet_id'])}")


def devices(as_json: AsJson = False, server: Server = SERVER) -> None:
    """List devices and the quality of their latency predictors."""
    with problems_to_exit(), connect(server) as client:
        found, predictors = list(client.devices()), list(client.predictors())
        if as_json:
            print_json({"devices": found, "predictors": predictors})
            return
        print_table(DEVICE_COLUMNS, [[item[column] for column in DEVICE_COLUMNS] for item in found])
        names = ("device", "supernet", "n_samples")
        rows = [[*(p[n] for n in names), p["quality"].get("spearman")] for p in predictors]
        print_table((*names, "spearman"), rows, title="latency predictors")


def verify(
    folder: Annotated[Path, typer.Argument(help="A folder that `nas extract` wrote.")],
    as_json: AsJson = False,
) -> None:
    """Check an extracted model on this machine: digests, parity of every format, latency. Needs no server."""
    module = import_module("nas.export.verify")  # loads torch, which no other command does
    try:
        report = module.verify(folder)
    except NasError as error:
        err.print(f"error: {clean(error)}", markup=False)
        raise typer.Exit(1) from None
    checks = [asdict(check) for check in report.checks]
    if as_json:
        print_json({"passed": report.passed, "checks": checks})
    else:
        columns = ("kind", "subject", "passed", "detail")
        print_table(columns, [[check[column] for column in columns] for check in checks])
    if not report.passed:
        raise typer.Exit(1)


def show_fidelity(answer: Mapping[str, Any], *, as_json: bool) -> None:
    """What is known of the ranking behind a front: a line beside a table, warnings on standard error."""
    for warning in answer["warnings"]:
        err.print(f"warning: {clean(warning)}", markup=False)
    if answer["fidelity"] and not as_json:
        out.print(clean(fidelity_line(answer["fidelity"])), markup=False)


def _show_reranked(found: Sequence[Mapping[str, Any]], console: Console) -> None:
    """What a front rests on where nothing was searched for the device."""
    for one in found:
        console.print(
            f"nothing was searched for {clean(one['device'])}: these are the best of {one['n_evaluated']} "
            f"evaluated subnets of {clean(one['supernet'])}, by latencies predicted from {one['n_samples']} "
            f"measurements; the front may miss up to {100 * one['missing_share']:.1f} % of its hypervolume",
            markup=False,
        )


def _show_alone(found: Sequence[Mapping[str, Any]], console: Console) -> None:
    """What the accuracies of training alone rest on."""
    for one in found:
        checked = "" if one["spearman"] is None else f" (cross-validated: Spearman {one['spearman']:.2f})"
        console.print(
            f"{ALONE_COLUMN}: what training the subnet alone would give on the test images, predicted from "
            f"{one['runs']} subnets of {clean(one['supernet'])} that were{checked}",
            markup=False,
        )


def _show_points(points: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(points)
    elif points:
        known = any(point[ALONE_COLUMN] is not None for point in points)
        columns = (*POINT_COLUMNS, ALONE_COLUMN) if known else POINT_COLUMNS
        print_table(columns, [[point[column] for column in columns] for point in points])
    else:
        err.print("no front yet: run `nas search`")
