"""``nas`` against a live server: what people see, what programs read, and clear errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from db.session import Database
from nas.fidelity.alone import FILE
from nas.fidelity.runs import StandaloneRun, StandaloneRuns
from service.cli import app
from service.client import Client, parse_events
from service.commands.output import clean
from service.errors import ProblemError
from service.stores import open_stores
from tests.contracts.predictor import sample_archs
from tests.service.conftest import DEVICE, SPACE, Live, free_port, seed_front

runner = CliRunner()


def nas(live: Live, *arguments: str) -> Result:
    return runner.invoke(app, [*arguments, "--server", live.url])


@pytest.fixture(scope="module")
def ids(live: Live) -> list[str]:
    database = Database(live.settings().database)
    ids = seed_front(open_stores(database, live.settings()))
    database.close()
    return ids


def test_train_waits_and_prints_json_when_asked(live: Live) -> None:
    done = nas(live, "train", "--data", "digits", "--supernet", "cli", "--set", "epochs=2", "--json")
    assert done.exit_code == 0, done.output
    job = json.loads(done.stdout)
    assert (job["state"], job["payload"]["config"]) == ("succeeded", {"epochs": 2})


def test_train_without_waiting_and_jobs(live: Live) -> None:
    job = json.loads(
        nas(live, "train", "--data", "digits", "--supernet", "cli2", "--no-wait", "--json").stdout
    )
    assert job["state"] == "pending"
    assert job["id"] in nas(live, "jobs").stdout
    with Client(live.url) as client:
        client.wait(job["id"], timeout_s=60)
    (shown,) = json.loads(nas(live, "jobs", job["id"], "--json").stdout)
    assert shown["state"] == "succeeded"


def test_failed_job_exits_with_its_error(live: Live) -> None:
    done = nas(live, "train", "--data", "digits", "--supernet", "bad-cli")
    assert done.exit_code == 1
    assert "images.bin: truncated" in done.stderr


def test_front_best_and_devices(live: Live, ids: list[str]) -> None:
    assert [point["subnet_id"] for point in json.loads(nas(live, "front", "--json").stdout)] == ids
    table = nas(live, "front", "--device", "here").stdout
    assert all(subnet_id in table for subnet_id in ids)
    assert "\x1b" not in table
    best = json.loads(nas(live, "best", "--device", "here", "--max-latency-ms", "2.5", "--json").stdout)
    assert best["subnet_id"] == ids[1]
    nothing = nas(live, "best", "--max-latency-ms", "0.1")
    assert nothing.exit_code == 1
    assert "latency_ms <= 0.1" in nothing.stderr
    assert DEVICE.name in nas(live, "devices").stdout


def test_search_and_extract(live: Live, ids: list[str], tmp_path: Path) -> None:
    done = nas(
        live, "search", "--supernet", "digits", "--budget", "10", "--batch-size", "5", "--study", "cli"
    )
    assert done.exit_code == 0, done.output
    assert "nas front --study cli" in done.stdout
    done = nas(live, "extract", ids[0], "--to", "onnx", "--folder", str(tmp_path / "model"))
    assert done.exit_code == 0, done.output
    assert (tmp_path / "model" / "model.onnx").read_bytes() == b"not a model"


def test_fidelity_is_asked_for_and_shown_beside_the_front(live: Live, ids: list[str]) -> None:
    unchecked = nas(live, "front")
    assert "has not been checked" in unchecked.stderr
    for wrong in ((), ("--truth", "x.npz", "--train-alone", "3")):
        assert nas(live, "fidelity", "--supernet", "digits", *wrong).exit_code == 2
    done = nas(live, "fidelity", "--supernet", "digits", "--train-alone", "3")
    assert done.exit_code == 0, done.output
    assert "Spearman 0.91 [0.83, 0.95]" in done.stdout
    assert "macs" in done.stdout
    for command in ("front", "best"):
        checked = nas(live, command)
        assert "best proxy macs 0.60; top choice loses 1.5 points" in checked.stdout
        assert "has not been checked" not in checked.stderr
    assert json.loads(nas(live, "best", "--json").stdout)["fidelity"]["kendall_tau"] == 0.72
    missing = nas(live, "fidelity", "--supernet", "digits", "--table", "no-such.npz")
    assert missing.exit_code == 1
    assert "#/truth: its path does not exist" in missing.stderr


def test_every_field_at_fault_is_shown(live: Live) -> None:
    done = nas(live, "search", "--supernet", "unknown", "--device", "mars")
    assert done.exit_code == 1
    assert "#/supernet" in done.stderr
    assert "#/device" in done.stderr


def test_no_server_is_a_clear_error() -> None:
    done = runner.invoke(app, ["jobs", "--server", f"http://127.0.0.1:{free_port()}"])
    assert done.exit_code == 1
    assert "nas serve" in done.stderr


def test_verify_of_no_package_is_a_clear_error(tmp_path: Path) -> None:
    done = runner.invoke(app, ["verify", str(tmp_path)])
    assert done.exit_code == 1
    assert "manifest.json" in done.stderr


def test_port_in_use_is_a_clear_error(live: Live, tmp_path: Path) -> None:
    port = live.url.rpartition(":")[2]
    done = runner.invoke(app, ["serve", "--port", port, "--data-dir", str(tmp_path)])
    assert done.exit_code == 1
    assert port in done.stderr


def test_control_characters_never_reach_the_terminal() -> None:
    assert clean("a\x1b[31mb\x07\u202e") == "a�[31mb��"


def test_client_raises_the_servers_problem(live: Live) -> None:
    with Client(live.url) as client, pytest.raises(ProblemError) as caught:
        client.best(device="mars")
    assert caught.value.status == 404
    assert caught.value.document["type"] == "urn:stitchnas:problem:no-feasible-point"


def test_events_are_parsed_from_lines() -> None:
    lines = ["retry: 1000", "", ": waiting", "", "id: 4", "event: log", 'data: {"message": "x"}', "", "id: 5"]
    (event,) = parse_events(iter(lines))
    assert (event.seq, event.kind, event.data) == (4, "log", {"message": "x"})


def test_front_shows_what_training_alone_would_give(live: Live, ids: list[str]) -> None:
    archs = sample_archs(SPACE, 25)
    runs = (
        StandaloneRun(a.key, a.genes, 0.5 + 0.01 * len(SPACE.decode(a).blocks), 1.0, 1, 1, 1) for a in archs
    )
    database = Database(live.settings().database)
    folder = Path(open_stores(database, live.settings()).supernets.get("digits").folder)
    database.close()
    StandaloneRuns(SPACE.id, {"epochs": 3}, tuple(runs)).save(folder / FILE)
    for command in ("front", "best"):
        shown = " ".join(nas(live, command).stdout.split())
        assert "predicted from 25 subnets of digits that were (cross-validated: Spearman" in shown
    assert json.loads(nas(live, "front", "--json").stdout)[0]["standalone_top1"] is not None
