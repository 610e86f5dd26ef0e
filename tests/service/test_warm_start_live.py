"""Over HTTP: a second study of a supernet begins with what the first one found, unless told not to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from db.session import Database
from service.client import Client
from service.stores import open_stores
from tests.service.checkpoints import write_checkpoint_folder
from tests.service.conftest import DEVICE, start_server, stop_server

pytestmark = pytest.mark.slow
OBJECTIVES = [{"metric": "top1", "direction": "maximize"}, {"metric": "macs", "direction": "minimize"}]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    server = start_server(tmp_path / "data", NAS_RUNNER="inline_runner", NAS_LEASE_TTL_S="60")
    database = Database(server.settings().database)
    open_stores(database, server.settings()).devices.put_device(DEVICE)
    database.close()
    with server.client as client:
        yield client
    stop_server(server)


def searched(client: Client, study: str, **settings: object) -> dict[str, object]:
    settings = {"budget": 10, "batch_size": 10, "seed": 3, "objectives": OBJECTIVES, **settings}
    job = client.run("search", supernet="d", device=DEVICE.name, study=study, **settings)
    return dict(job["result"])


def test_the_second_study_knows_the_first(client: Client, tmp_path: Path) -> None:
    write_checkpoint_folder(tmp_path / "tiny")
    client.run("train", supernet="d", data="digits", checkpoint=str(tmp_path / "tiny"))
    first = searched(client, "first", searcher="random", budget=40)
    assert first["n_learned"] == 0
    warm, cold = searched(client, "warm"), searched(client, "cold", warm_start=False)
    assert (warm["n_learned"], cold["n_learned"]) == (40, 0)
    assert client.study_answers("warm")["n_learned"] == 40
    asked = {study: [t["genes"] for t in client.trials(study)] for study in ("warm", "cold")}
    assert asked["warm"] != asked["cold"]
    assert float(str(warm["hypervolume"])) >= float(str(cold["hypervolume"]))
