"""A search on a Ray cluster of two nodes and PostgreSQL; one node is killed in the middle."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from db.records import SupernetRecord
from db.session import Database
from nas.types import Trial, TrialState
from predictors.device import Device
from service.client import Client
from service.settings import load_settings
from service.stores import Stores, open_stores
from tests.service.checkpoints import write_checkpoint_folder
from tests.service.cluster_runner import WITNESS
from tests.service.conftest import SPACE, eventually, start_server, stop_server
from tests.service.ray_nodes import RayNode, cluster_environment, start_node

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.postgres]
BOARD = Device("board", "a toy, x86_64, 2 cores", "onnxruntime", "1.0")
BUDGET, BATCH = 48, 8
CHUNK = 2  # archs of a batch that a worker evaluates at once, two chunks for each of two CPUs
START_S, SEARCH_S = 240.0, 400.0
JOB = {
    "supernet": "digits",
    "device": BOARD.name,
    "objectives": [
        {"metric": "top1", "direction": "maximize"},
        {"metric": "macs", "direction": "minimize"},
    ],
    "searcher": "nsga2",
    "budget": BUDGET,
    "batch_size": BATCH,
    "study": "two-nodes",
}


@pytest.fixture
def nodes() -> Iterator[tuple[RayNode, RayNode]]:
    with tempfile.TemporaryDirectory(prefix="nas-cluster-", ignore_cleanup_errors=True) as folder:
        environment = cluster_environment()
        started = []
        try:
            started.append(start_node(Path(folder), environment))
            started.append(start_node(Path(folder), environment, started[0].address))
            yield started[0], started[1]
        finally:
            for node in started[::-1]:
                node.kill()


@pytest.fixture
def client(nodes: tuple[RayNode, RayNode], postgres_database_url: str, tmp_path: Path) -> Iterator[Client]:
    """Of a server that knows the cluster and the database by two variables."""
    server = start_server(
        tmp_path / "data",
        NAS_RUNNER="tests.service.cluster_runner",
        NAS_LEASE_TTL_S="60",
        NAS_RAY_ADDRESS=nodes[0].address,
        NAS_DATABASE_URL=postgres_database_url,
        **nodes[0].environment,
        **{WITNESS: str(tmp_path / "witness")},
    )
    with server.client as client:
        yield client
    stop_server(server)


@pytest.fixture
def stores(client: Client, postgres_database_url: str, tmp_path: Path) -> Iterator[Stores]:
    """The server's stores, with an untrained supernet of digits and a device that is no one's."""
    settings = load_settings(data_dir=tmp_path / "data", database_url=postgres_database_url)
    database = Database(settings.database)
    stores = open_stores(database, settings)
    folder = tmp_path / "data" / "supernets" / "digits"
    digest = write_checkpoint_folder(folder)
    stores.supernets.put(
        SupernetRecord(
            "digits", SPACE.id, "digits", 10, 1, 8, str(folder), digest, {}, None, datetime.now(UTC)
        )
    )
    stores.devices.put_device(BOARD)
    yield stores
    database.close()


def complete(stores: Stores) -> dict[int, Trial]:
    trials = stores.studies.list_trials("two-nodes")
    return {trial.number: trial for trial in trials if trial.state is TrialState.COMPLETE}


def lines(tmp_path: Path) -> list[list[str]]:
    file = tmp_path / "witness"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def test_a_node_lost_in_the_middle_costs_nothing_that_was_stored(
    nodes: tuple[RayNode, RayNode], client: Client, stores: Stores, tmp_path: Path
) -> None:
    job = client.submit("search", **JOB)
    eventually(
        lambda: len({node for node, _ in lines(tmp_path)}) == 2 or client.job(job["id"])["error"],
        "both nodes have evaluated",
        START_S,
    )
    before, seen = complete(stores), len(lines(tmp_path))
    nodes[1].kill()
    job = client.wait(job["id"], timeout_s=SEARCH_S)

    assert (job["state"], job["error"], job["attempts"]) == ("succeeded", None, 1)
    assert job["result"]["n_trials"] == BUDGET
    assert job["result"]["n_failed"] == 0
    after = complete(stores)
    assert sorted(after) == list(range(BUDGET))
    assert {number: after[number] for number in before} == before
    archs = [trial.evaluation.arch.key for trial in after.values()]
    assert len(set(archs)) == BUDGET

    witnessed = lines(tmp_path)
    assert len({node for node, _ in witnessed[:seen]}) == 2
    assert len({node for node, _ in witnessed[seen + CHUNK :]}) == 1  # a chunk may have ended meanwhile
    assert {arch for _, arch in witnessed} == set(archs)
    repeated = {arch for arch, n in Counter(arch for _, arch in witnessed).items() if n > 1}
    assert len(repeated) <= CHUNK  # what the lost node had evaluated and could not say any more
    assert not repeated & {trial.evaluation.arch.key for trial in before.values()}
