"""How long a front query takes on a study of many stored evaluations.

``python -m benchmarks.front_query [--trials 100000] [--repeats 50]`` fills a SQLite database with one
study of a space's archs and random values, then asks the same questions of the store and over HTTP (a
server in this process). It prints medians in milliseconds of wall time and of this process's CPU time,
which other load on the machine changes less.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import uvicorn
from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from db.records import SupernetRecord
from db.schema.base import database_now
from db.schema.study_rows import FrontMemberRow, StudyRow, TrialRow, TrialValueRow
from nas.pareto import is_nondominated
from nas.types import Direction, Objective, Study, TrialState
from predictors.device import Device
from searchspaces.genes import archs_of, sample_genes
from searchspaces.registry import get_space
from service.app import create_app
from service.settings import Settings, load_settings
from service.stores import open_database, open_stores

SPACE = "hybrid-cifar"
DEVICE = Device("bench-device", "a benchmark, x86_64", "onnxruntime", "1.0")
OBJECTIVES = (Objective("top1", Direction.MAXIMIZE, 0.0), Objective("latency_ms", Direction.MINIMIZE, 20.0))
STUDY = Study(
    "big", f"{SPACE}@1", OBJECTIVES, "random", 10**6, 0, supernet="big-supernet", device=DEVICE.name
)
QUERIES = {
    "of the study": {"study": STUDY.id},
    "of the device, at most 5 ms": {"device": DEVICE.name, "max_latency_ms": 5.0},
    "of everything": {},
}


def main() -> None:
    """Fill, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=50)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nas-bench-") as folder:
        settings = load_settings(data_dir=Path(folder))
        n_front = fill(settings, arguments.trials)
        print(f"{arguments.trials} stored evaluations, {n_front} on the front; median ms: wall, CPU")
        ask_store(settings, arguments.repeats)
        ask_http(settings, arguments.repeats)


def fill(settings: Settings, n: int) -> int:
    """Store ``n`` finished trials with four values each and their front; returns its size."""
    space, rng = get_space(SPACE), np.random.default_rng(0)
    archs = archs_of(space, sample_genes(space, n, rng))
    latency = rng.lognormal(1.5, 0.5, n)
    top1 = np.clip(0.95 - 0.4 * np.exp(-latency / 3.0) - rng.gamma(3.0, 0.03, n), 0.0, 1.0)
    front = np.flatnonzero(is_nondominated(np.stack([-top1, latency], axis=1)))
    values = {"top1": top1, "latency_ms": latency, "latency_low_ms": 0.9 * latency, "params": 1e6 * latency}
    database = open_database(settings)
    stores = open_stores(database, settings)
    record = SupernetRecord(
        "big-supernet", space.id, "digits", 10, 3, 32, "nowhere", "0" * 64, {}, None, datetime.now(UTC)
    )
    stores.supernets.put(record)
    stores.devices.put_device(DEVICE)
    stores.studies.create_study(STUDY)
    trials = [
        {"study_id": STUDY.id, "number": i, "state": TrialState.COMPLETE.value, "arch_key": arch.key}
        | {"genes": list(arch.genes), "error": None}
        for i, arch in enumerate(archs)
    ]
    metrics = [
        {"study_id": STUDY.id, "number": i, "metric": metric, "value": float(column[i])}
        for i in range(n)
        for metric, column in sorted(values.items())
    ]
    members = [
        {"study_id": STUDY.id, "number": int(i), "top1": float(top1[i])}
        | {"predicted_latency_ms": float(latency[i]), "latency_low_ms": 0.9 * float(latency[i])}
        for i in front
    ]

    def work(session: Session) -> None:
        times = {"started_at": database_now(), "finished_at": database_now()}
        session.execute(insert(TrialRow).values(times), trials)
        session.execute(insert(TrialValueRow), metrics)
        session.execute(insert(FrontMemberRow), members)
        session.execute(update(StudyRow).where(StudyRow.id == STUDY.id).values(next_number=n))

    database.run_write(work)
    database.close()
    return len(front)


def ask_store(settings: Settings, repeats: int) -> None:
    """The questions as ``SqlStudyStore.fronts`` answers them."""
    database = open_database(settings)
    studies = open_stores(database, settings).studies
    for name, query in QUERIES.items():
        show(f"store, front {name}", repeats, lambda query=query: studies.fronts(**query))
    show("store, the study's own front", repeats, lambda: studies.front(STUDY.id))
    database.close()


def ask_http(settings: Settings, repeats: int) -> None:
    """The questions over HTTP, on one connection."""
    server = uvicorn.Server(
        uvicorn.Config(create_app(settings), host="127.0.0.1", port=0, log_level="warning")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=None) as client:
        for name, query in QUERIES.items():
            show(f"HTTP, front {name}", repeats, partial(_get, client, "/fronts", query))
        best = {"device": DEVICE.name, "max_latency_ms": 5.0}
        show("HTTP, best", repeats, partial(_get, client, "/fronts/best", best))
    server.should_exit = True
    thread.join()


def _get(client: httpx2.Client, path: str, query: Mapping[str, Any]) -> None:
    """One answered request; raises for a refused one."""
    client.get(path, params=query).raise_for_status()


def show(name: str, repeats: int, ask: Callable[[], object]) -> None:
    """Time a question after one untimed run."""
    ask()
    times = []
    for _ in range(repeats):
        began, began_cpu = time.perf_counter(), time.process_time()
        ask()
        times.append((time.perf_counter() - began, time.process_time() - began_cpu))
    wall, cpu = 1e3 * np.median(times, axis=0)
    print(f"{name:40s} {wall:8.2f} {cpu:8.2f}", flush=True)


if __name__ == "__main__":
    main()
