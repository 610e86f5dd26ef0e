"""``nas import-supernet``: a supernet that was trained elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.commands.jobs import absolute_source
from service.commands.output import (
    SERVER,
    AsJson,
    Server,
    connect,
    out,
    print_table,
    problems_to_exit,
    run_job,
)


def import_supernet(
    folder: Annotated[Path, typer.Argument(help="Folder with supernet.json and its tensors.")],
    supernet: Annotated[str | None, typer.Option(help="Its name; default: the folder's.")] = None,
    data: Annotated[
        str | None, typer.Option(help="The images that it was trained on, as of nas train.")
    ] = None,
    as_json: AsJson = False,
    server: Server = SERVER,
) -> None:
    """Take a trained supernet as it is: digests are checked, nothing is trained.

    Without --data, the folder must hold calibration images, and accuracies can only be predicted.
    """
    path = folder.expanduser().absolute()
    name = supernet or path.name
    source = None if data is None else absolute_source(data)
    with problems_to_exit(), connect(server) as client:
        body = {"supernet": name, "checkpoint": str(path), "data": source}
        job = run_job(client, "train", as_json=as_json, wait=True, **body)
        if not as_json:
            out.print(f"imported {name}, {job['result']['space']}")
            metrics = sorted(job["result"]["metrics"].items())
            if metrics:
                print_table(("accuracy predictor", name), metrics)
