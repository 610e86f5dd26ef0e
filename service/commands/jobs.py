"""``nas train``, ``profile``, ``search``, ``extract``, ``jobs``: work that the server queues."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from service.client import Client
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
    run_job,
    show_race,
)

Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the job to its end.")]
Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]
Supernet = Annotated[str | None, typer.Option(help="Its name; default: the only one there is.")]
JOB_COLUMNS = ("id", "kind", "state", "attempts", "progress", "error")


def train(
    data: Annotated[str, typer.Option(help="Images: digits, cifar10:PATH, imagefolder:PATH …")],
    supernet: Annotated[str | None, typer.Option(help="Its name; default: the kind of data.")] = None,
    space: Annotated[str | None, typer.Option(help="Search space; default: by image size.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Training setting; repeatable.")
    ] = None,
    anchor: Annotated[
        list[str] | None,
        typer.Option(metavar="ANCHOR=SUPERNET", help="Stitched spaces: a trained anchor; repeatable."),
    ] = None,
    workers: Annotated[
        int, typer.Option(help="Processes that share each batch, one GPU each where there are GPUs.")
    ] = 1,
    seed: Seed = 0,
    wait: Wait = True,
    as_json: AsJson = False,
    server: Server = SERVER,
) -> None:
    """Train a supernet on images."""
    anchors = {}
    for text in anchor or ():
        key, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"must be ANCHOR=SUPERNET; got {text!r}", param_hint="--anchor")
        anchors[key] = value
    name = supernet or data.partition(":")[0]
    body = {"supernet": name, "space": space, "anchors": anchors, "workers": workers, "seed": seed}
    _train(body, data, set_, wait=wait, as_json=as_json, server=server)


def distill_anchors(
    teacher: Annotated[str, typer.Argument(help="Supernet whose largest subnet teaches.")],
    data: Annotated[str, typer.Option(help="Images: digits, cifar10:PATH, imagefolder:PATH …")],
    supernet: Annotated[str, typer.Option(help="Name of the stitched supernet.")],
    space: Annotated[str, typer.Option(help="A stitched space.")] = "stitched2-poolcifar",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Training setting; repeatable.")
    ] = None,
    seed: Seed = 0,
    wait: Wait = True,
    as_json: AsJson = False,
    server: Server = SERVER,
) -> None:
    """Distil several small anchors from a trained network and stitch them."""
    body = {"supernet": supernet, "space": space, "teacher": teacher, "seed": seed}
    _train(body, data, set_, wait=wait, as_json=as_json, server=server)


def _train(
    body: dict[str, Any], data: str, settings: list[str] | None, *, wait: bool, as_json: bool, server: str
) -> None:
    """Submit a train job and show its metrics."""
    config = dict(parse_setting(text) for text in settings or ())
    with problems_to_exit(), connect(server) as client:
        body = {**body, "data": absolute_source(data), "config": config}
        job = run_job(client, "train", as_json=as_json, wait=wait, **body)
        if not as_json and wait:
            print_table(("metric", body["supernet"]), sorted(job["result"]["metrics"].items()))


def profile(
    supernet: Supernet = None,
    device: Annotated[str, typer.Option(help="A device, or the server's machine.")] = "here",
    runtime: Annotated[
        str, typer.Option(help="onnxruntime, eager, openvino, onnxruntime-int8 … (docs/runtimes.md).")
    ] = "onnxruntime",
    threads: Annotated[int, typer.Option(help="Threads per network.")] = 1,
    samples: Annotated[
        int, typer.Option(help="How many subnets to measure; 10 if other devices are measured already.")
    ] = 100,
    transfer: Annotated[
        bool | None,
        typer.Option("--transfer/--no-transfer", help="Predict from other devices too; default: if few."),
    ] = None,
    refine: Annotated[bool, typer.Option(help="Measure what may be on the device's front.")] = False,
    passes: Annotated[int, typer.Option(help="Timings of each network; more for a noisy machine.")] = 30,
    memory: Annotated[bool, typer.Option("--memory", help="Peak memory of each run too.")] = False,
    energy: Annotated[bool, typer.Option("--energy", help="Energy too, where there is a counter.")] = False,
    seed: Seed = 0,
    wait: Wait = True,
    as_json: AsJson = False,
    server: Server = SERVER,
) -> None:
    """Measure sampled subnets on a device and fit its latency predictor."""
    with problems_to_exit(), connect(server) as client:
        name = the_supernet(client, supernet)
        body = {"supernet": name, "device": device, "runtime": runtime, "threads": threads}
        body |= {"transfer": transfer, "refine": refine}
        body |= {"passes": passes, "memory": memory, "energy": energy}
        job = run_job(client, "profile", as_json=as_json, wait=wait, samples=samples, seed=seed, **body)
        if not as_json and wait:
            result = job["result"]
            print_table(("quality", result["device"]), sorted(result["quality"].items()))


def search(
    supernet: Supernet = None,
    budget: Annotated[int, typer.Option(help="How many subnets to evaluate.")] = 200,
    device: Annotated[str, typer.Option(help="A device, or the server's machine.")] = "here",
    searcher: Annotated[str, typer.Option(help="guided, nsga2, tpe, random …")] = "guided",
    race: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="Searchers that run against each other instead.")
    ] = None,
    repeats: Annotated[int, typer.Option(help="Seeds of each searcher of a race.")] = 1,
    max_latency_ms: Annotated[float | None, typer.Option(help="Constraint.")] = None,
    min_top1: Annotated[float | None, typer.Option(help="Constraint.")] = None,
    batch_size: Annotated[int, typer.Option(help="Subnets proposed at a time.")] = 20,
    accuracy: Annotated[
        str, typer.Option(help="evaluated, or predicted (an imported supernet's predictor).")
    ] = "evaluated",
    study: Annotated[str | None, typer.Option(help="Id of the study; default: the job's.")] = None,
    warm_start: Annotated[
        bool, typer.Option("--warm-start/--cold", help="Learn from earlier studies of the supernet.")
    ] = True,
    refine: Annotated[
        int, typer.Option(help="How many subnets to measure on the way, to predict latency better.")
    ] = 0,
    seed: Seed = 0,
    wait: Wait = True,
    as_json: AsJson = False,
    server: Server = SERVER,
) -> None:
    """Search the Pareto front of accuracy and latency."""
    constraints: list[dict[str, Any]] = []
    if max_latency_ms is not None:
        constraints.append({"metric": "latency_ms", "maximum": max_latency_ms})
    if min_top1 is not None:
        constraints.append({"metric": "top1", "minimum": min_top1})
    with problems_to_exit(), connect(server) as client:
        name = the_supernet(client, supernet)
        body = {"supernet": name, "device": device, "searcher": searcher, "constraints": constraints}
        body["accuracy"] = accuracy
        racers = None if race is None else [name.strip() for name in race.split(",")]
        sizes = {"budget": budget, "batch_size": batch_size, "seed": seed, "study": study}
        contest = {"race": racers, "repeats": repeats, "warm_start": warm_start, "refine": refine}
        job = run_job(client, "search", as_json=as_json, wait=wait, **body, **sizes, **contest)
        if not as_json and wait:
            result = job["result"]
            out.print(
                f"study {result['study']}: {result['n_trials']} subnets, "
                f"{result['front_size']} on the front, hypervolume {result['hypervolume']:.4g}; "
                f"see it with: nas front --study {result['study']}"
            )
            if result.get("not_measured"):
                err.print(clean(f"note: not all of it was measured: {result['not_measured']}"), markup=False)
            show_race(result.get("race", ()))


def extract(
    subnet: Annotated[str, typer.Argument(help="SUPERNET:ARCHKEY, as `nas front` shows it.")],
    to: Annotated[list[str] | None, typer.Option(help="Format (onnx, pt2); repeatable.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where to; default: the subnet's id.")] = None,
    device: Annotated[str | None, typer.Option(help="Device whose latency is stated.")] = None,
    as_json: AsJson = False,
    server: Server = SERVER,
) -> None:
    """Write a subnet as a standalone model."""
    target = folder or Path(subnet.replace(":", "-"))
    with problems_to_exit(), connect(server) as client:
        body = {"subnet": subnet, "formats": to, "device": device}
        job = run_job(client, "extract", as_json=as_json, wait=True, **body)
        files = client.download_all(job["id"], target)
        if not as_json:
            print_table(("file", "bytes"), [(str(file), file.stat().st_size) for file in files])


def fidelity(
    supernet: Supernet = None,
    truth: Annotated[
        Path | None, typer.Option("--truth", "--table", help="Table (.npz) or JSON of subnets trained alone.")
    ] = None,
    train_alone: Annotated[int | None, typer.Option(help="Train so many subnets alone instead.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Of each of them; default: as the supernet.")] = None,
    subnets: Annotated[int, typer.Option(help="How many to draw from a table.")] = 500,
    metric: Annotated[str, typer.Option(help="top1, by which a search ranks, or log_likelihood.")] = "top1",
    images: Annotated[int, typer.Option(help="Validation images of an estimate.")] = 2000,
    seed: Seed = 0,
    wait: Wait = True,
    as_json: AsJson = False,
    server: Server = SERVER,
) -> None:
    """Check how well a supernet ranks its subnets."""
    if (truth is None) == (train_alone is None):
        raise typer.BadParameter("give either --truth FILE (or --table FILE) or --train-alone N")
    path = None if truth is None else str(truth.expanduser().absolute())
    with problems_to_exit(), connect(server) as client:
        body = {"supernet": the_supernet(client, supernet), "truth": path, "train_alone": train_alone}
        sizes = {"epochs": epochs, "subnets": subnets, "images": images, "seed": seed}
        job = run_job(client, "fidelity", as_json=as_json, wait=wait, metric=metric, **body, **sizes)
        if not as_json and wait:
            report = job["result"]["fidelity"]
            rows = [("supernet", report["spearman"], report["kendall_tau"])]
            rows += [(name, one["spearman"], one["kendall_tau"]) for name, one in report["proxies"].items()]
            print_table(("ranked by", "spearman", "kendall_tau"), rows, title=report["truth"])
            out.print(clean(fidelity_line(report)), markup=False)


def jobs(
    job_id: Annotated[str | None, typer.Argument(help="Show one job; default: all.")] = None,
    cancel: Annotated[str | None, typer.Option(metavar="JOB_ID", help="Ask a job to stop.")] = None,
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    as_json: AsJson = False,
    server: Server = SERVER,
) -> None:
    """List jobs, follow one, or cancel one."""
    with problems_to_exit(), connect(server) as client:
        if cancel is not None:
            found = [client.cancel(cancel)]
        elif job_id is not None:
            found = [client.job(job_id)]
        else:
            found = list(client.jobs(state=state))
        if as_json:
            print_json(found)
        else:
            print_table(JOB_COLUMNS, [[_job_cell(job, column) for column in JOB_COLUMNS] for job in found])


def the_supernet(client: Client, name: str | None) -> str:
    """The name given, or that of the only supernet on the server; exits if there is none or a choice."""
    if name is not None:
        return name
    names = [item["name"] for item in client.supernets()]
    if len(names) == 1:
        return str(names[0])
    err.print(
        f"error: name one with --supernet: {clean(', '.join(names)) or 'there is none yet'}", markup=False
    )
    raise typer.Exit(2)


def parse_setting(text: str) -> tuple[str, Any]:
    """``epochs=3`` as ("epochs", 3): the value as JSON if it is that, else as text."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{text!r} is not FIELD=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def absolute_source(source: str) -> str:
    """A data source with its path made absolute: the server may run in another folder."""
    kind, colon, rest = source.partition(":")
    path, mark, query = rest.partition("?")
    if not path:
        return source
    found = Path(path).expanduser().absolute()
    if not found.exists():
        err.print(f"note: {found} is not on this machine; the server looks for it on its own")
        return source
    return f"{kind}{colon}{found}{mark}{query}"


def _job_cell(job: dict[str, Any], column: str) -> object:
    progress = job["progress"]
    if column != "progress":
        return job[column]
    return f"{progress['stage']} {progress['done']}/{progress['total']}" if progress else None
