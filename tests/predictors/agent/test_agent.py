"""The agent's parts: credentials, what it makes of the server's answers, leases, measuring ONNX files."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import onnx
import pytest
from onnx import TensorProto, helper

from predictors.agent import credentials
from predictors.agent.__main__ import main
from predictors.agent.agent import Agent
from predictors.agent.credentials import Credentials
from predictors.agent.lease import Lease
from predictors.agent.measure import describe, measure
from predictors.agent.server import Server
from predictors.agent.wire import Task, result_json
from predictors.errors import (
    AgentRefusedError,
    CredentialsError,
    InvalidValueError,
    MeasurementStoppedError,
    ServerUnreachableError,
    UnsupportedModelError,
)
from predictors.protocol import MeasurementProtocol
from predictors.quantities.memory import is_measurable
from predictors.references.onnx_models import reference_nets
from predictors.runtimes.onnx_session import open_model

PROTOCOL = MeasurementProtocol(passes=3, rounds=1, warmup=1, seconds=0.0, repeat_fraction=0.5)
MINE = Credentials("https://nas.example", "pi", "nas_agent_x")


class Answers(BaseHTTPRequestHandler):
    """Answers each request with the next of ``queue``; the last one for ever."""

    queue: ClassVar[list[tuple[int, bytes, dict[str, str]]]] = []
    seen: ClassVar[list[tuple[str, str | None]]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append((self.path, self.headers.get("Authorization")))
        status, body, headers = self.queue.pop(0) if len(self.queue) > 1 else self.queue[0]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def answering(*answers: tuple[int, Any] | tuple[int, Any, dict[str, str]]) -> Iterator[Server]:
    def encoded(body: Any) -> bytes:
        return body if isinstance(body, bytes) else json.dumps(body).encode()

    Answers.seen.clear()
    Answers.queue[:] = [(item[0], encoded(item[1]), item[2] if len(item) > 2 else {}) for item in answers]
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Server(f"http://127.0.0.1:{http.server_address[1]}", "secret", timeout_s=5)
        finally:
            http.shutdown()
            thread.join()


def test_credentials_come_back_and_are_private(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "agent.json"
    credentials.save(file, MINE)
    assert credentials.load(file) == MINE
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["agent.json"]
    file.chmod(0o644)
    with pytest.raises(CredentialsError, match="chmod 600"):
        credentials.load(file)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"server": "x"}', '{"server": 1, "name": "a", "token": "b"}']
)
def test_damaged_credentials_are_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "agent.json"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(CredentialsError, match=r"agent\.json: damaged"):
        credentials.load(file)
    with pytest.raises(CredentialsError, match="not there"):
        credentials.load(tmp_path / "other.json")


@pytest.mark.parametrize("url", ["", "nas.example", "file:///etc/passwd", "ftp://nas.example", "http://"])
def test_a_server_is_an_http_url(url: str) -> None:
    with pytest.raises(InvalidValueError, match="server must be"):
        Server(url)


def test_answers_are_documents_refusals_or_reasons_to_try_again() -> None:
    problem = {"type": "urn:stitchnas:problem:lease-lost", "detail": "gone"}
    with answering((200, {"a": 1}), (204, b""), (409, problem), (404, b"<html>"), (503, {}), (429, {}),
                   (200, b"<html>")) as server:  # fmt: skip
        assert server.post("/x", {}) == {"a": 1}
        assert server.post("/x", {}) is None
        with pytest.raises(AgentRefusedError, match="gone") as caught:
            server.post("/x", {})
        assert (caught.value.status, caught.value.slug) == (409, "lease-lost")
        with pytest.raises(AgentRefusedError, match="404"):
            server.post("/x", {})
        for _ in range(3):
            with pytest.raises(ServerUnreachableError):
                server.post("/x", {})
    with pytest.raises(ServerUnreachableError):  # nobody listens any more
        server.post("/x", {})


def test_redirects_are_not_followed_with_the_token(tmp_path: Path) -> None:
    with answering((302, b"", {"Location": "http://127.0.0.1:1/elsewhere"})) as server:
        with pytest.raises(AgentRefusedError, match="302"):
            server.download("0" * 64, tmp_path / "x")
        assert Answers.seen == [(f"/api/v1/artifacts/{'0' * 64}", "Bearer secret")]


def test_a_download_must_have_its_digest(tmp_path: Path) -> None:
    with answering((200, b"other bytes")) as server, pytest.raises(ServerUnreachableError, match="digest"):
        server.download("0" * 64, tmp_path / "x")


def a_task(**changes: Any) -> dict[str, Any]:
    return {"id": "t-0", "epoch": 1, "ttl_s": 8.0, "protocol": asdict(PROTOCOL), "candidates": ["a", "b"],
            "references": ["c"], **changes}  # fmt: skip


def test_a_task_that_the_agent_does_not_understand_is_an_error() -> None:
    assert Task.from_json(a_task()).protocol == PROTOCOL
    for document in ({}, a_task(protocol={"telepathy": 1}), a_task(candidates=None)):
        with pytest.raises(InvalidValueError, match="update it"):
            Task.from_json(document)


def test_heartbeats_come_when_due_and_tell_of_a_lost_lease() -> None:
    now = [0.0]
    with answering((200, {}), (503, {}), (409, {"type": "x", "detail": "taken"})) as server:
        lease = Lease(server, Task.from_json(a_task()), lambda: False, clock=lambda: now[0])
        for moment, requests, stops in (
            (1.0, 0, False),
            (2.1, 1, False),
            (3.0, 1, False),
            (4.5, 2, False),
            (7.0, 3, True),
        ):
            now[0] = moment
            assert lease.should_stop() is stops
            assert len(Answers.seen) == requests
        assert lease.is_lost
        assert lease.should_stop()
        assert len(Answers.seen) == 3


def files(tmp_path: Path) -> dict[str, Path]:
    found = {}
    for name, model in zip("abc", reference_nets(), strict=False):
        found[name] = tmp_path / name
        found[name].write_bytes(model)
    return found


def test_models_of_a_task_are_measured(tmp_path: Path) -> None:
    of, seen = files(tmp_path), []
    campaign = measure(Task.from_json(a_task()), describe(), of.__getitem__, seen.append, lambda: False)
    document = result_json(campaign, describe(), 1)
    assert [item["index"] for item in document["samples"]] == [0, 1]
    assert [item["index"] for item in document["references"]] == [0]
    assert len(document["repeats"]) == 1
    assert all(len(item[clock]) == 3 for item in document["samples"] for clock in ("cpu_ms", "wall_ms"))
    assert seen[-1].done == seen[-1].total
    with pytest.raises(MeasurementStoppedError):
        measure(Task.from_json(a_task()), describe(), of.__getitem__, seen.append, lambda: True)


@pytest.mark.skipif(not is_measurable(describe().device("x")), reason="needs Linux's /proc/self/clear_refs")
def test_peak_memory_is_measured_where_the_task_asks_for_it(tmp_path: Path) -> None:
    of, task = files(tmp_path), Task.from_json(a_task(candidates=["a"]))
    task = replace(task, protocol=replace(task.protocol, memory=True))
    campaign = measure(task, describe(), of.__getitem__, lambda _: None, lambda: False)
    (item,) = result_json(campaign, describe(), 1)["samples"]
    assert item["quantities"]["file_size_bytes"] == of["a"].stat().st_size
    # the smallest of networks may not show in pages: then there is a note and no figure
    peak = item["quantities"]["run_peak_memory_bytes"]
    assert (peak is None) == bool(campaign.notes)
    assert peak is None or 0 < peak < 64 * 2**20


def test_models_that_cannot_run_are_failures_but_references_must(tmp_path: Path) -> None:
    of = files(tmp_path)
    of["b"].write_bytes(b"no model")
    campaign = measure(Task.from_json(a_task()), describe(), of.__getitem__, lambda _: None, lambda: False)
    assert [arch.genes for arch in campaign.failures] == [(1,)]
    assert result_json(campaign, describe(), 1)["failures"][0]["index"] == 1
    with pytest.raises(UnsupportedModelError):
        measure(
            Task.from_json(a_task(references=["b"])),
            describe(),
            of.__getitem__,
            lambda _: None,
            lambda: False,
        )


def test_a_model_without_a_fixed_shape_is_refused() -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 3))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 3))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(UnsupportedModelError, match="fixed shape"):
        open_model(model.SerializeToString())


def test_reference_nets_are_always_the_same_and_differ() -> None:
    models = reference_nets()
    assert models == reference_nets()
    assert len(set(models)) == len(models) >= 5
    for model in models:
        onnx.checker.check_model(onnx.load_from_string(model))
        open_model(model).run()


def test_an_unknown_token_ends_the_agent_and_a_stop_ends_its_waiting(tmp_path: Path) -> None:
    with answering((401, {"type": "x", "detail": "no"})) as server, pytest.raises(AgentRefusedError):
        Agent(server, describe(), measure, lambda: False, poll_s=0.01).run()
    calls = [False] * 5 + [True] * 1000
    Agent(Server("http://127.0.0.1:9"), describe(), measure, lambda: calls.pop(0), poll_s=0.001).run()


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = ["--state", str(tmp_path / "agent.json")]
    assert main(state) == 2
    credentials.save(tmp_path / "agent.json", MINE)
    assert main([*state, "--server", "http://other.example"]) == 2
    assert main([*state, "--server", "http://127.0.0.1:9", "--code", "nas_code_x"]) == 1
    assert credentials.load(tmp_path / "agent.json") == MINE
    assert os.listdir(tmp_path) == ["agent.json"]
