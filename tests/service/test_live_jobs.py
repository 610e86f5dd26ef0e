"""Jobs over real HTTP: a real server, worker and runner processes, toy jobs."""

from __future__ import annotations

import json

import httpx2
import pytest

from service.client import Client
from service.errors import ProblemError
from tests.service.conftest import Live, eventually


def train_body(name: str, **config: int) -> dict[str, object]:
    return {"supernet": name, "data": "digits", "config": config}


def test_job_runs_and_is_watched(client: Client) -> None:
    seen = []
    job = client.submit("train", **train_body("watched"))
    assert job["state"] == "pending"
    done = client.wait(job["id"], on_event=seen.append, timeout_s=60)
    assert done["state"] == "succeeded"
    assert done["result"]["supernet"] == "watched"
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert [event.data["to"] for event in seen if event.kind == "state"] == [
        "pending",
        "running",
        "succeeded",
    ]
    assert any(event.kind == "progress" and event.data["stage"] == "train" for event in seen)
    assert "watched" in [item["name"] for item in client.supernets()]


def test_answer_is_202_with_location(live: Live) -> None:
    body = {"kind": "train", **train_body("located")}
    response = httpx2.post(f"{live.url}/api/v1/jobs", json=body)
    assert response.status_code == 202
    assert response.headers["location"] == f"/api/v1/jobs/{response.json()['id']}"
    assert httpx2.get(live.url + response.headers["location"]).json()["id"] == response.json()["id"]


def test_event_stream_resumes_after_last_event_id(client: Client, live: Live) -> None:
    job = client.run("train", **train_body("resumed"))
    events = list(client.events(job["id"]))
    assert list(client.events(job["id"], after=3)) == events[3:]
    url = f"{live.url}/api/v1/jobs/{job['id']}/events"
    text = httpx2.get(url, headers={"Last-Event-ID": str(len(events) - 1)}).text
    assert text.count("data:") == 1
    assert json.loads(text.split("data: ")[1].split("\n")[0])["to"] == "succeeded"


def test_prefer_wait_answers_when_the_job_ends(client: Client) -> None:
    job = client.submit("train", **train_body("awaited"))
    assert client.job(job["id"], wait_s=30)["state"] == "succeeded"


def test_same_key_gives_the_same_job_even_after_it_is_done(client: Client) -> None:
    body = train_body("once")
    first = client.submit("train", idempotency_key="k-once", **body)
    client.wait(first["id"], timeout_s=60)
    # A new job of this name would be refused by now: its supernet exists.
    assert client.submit("train", idempotency_key="k-once", **body)["id"] == first["id"]
    with pytest.raises(ProblemError, match="key") as caught:
        client.submit("train", idempotency_key="k-once", **train_body("other"))
    assert caught.value.status == 422
    with pytest.raises(ProblemError, match="#/supernet"):
        client.submit("train", **body)


def test_running_job_is_cancelled(client: Client) -> None:
    job = client.submit("train", **train_body("long", epochs=10_000))
    eventually(lambda: client.job(job["id"])["progress"], "the job runs")
    assert client.cancel(job["id"])["state"] == "cancelling"
    assert client.wait(job["id"], timeout_s=30)["state"] == "cancelled"
    assert client.cancel(job["id"])["state"] == "cancelled"


def test_job_that_ignores_cancellation_is_killed_after_the_grace(client: Client) -> None:
    job = client.submit("train", **train_body("stubborn", epochs=10_000))
    eventually(lambda: client.job(job["id"])["progress"], "the job runs")
    client.cancel(job["id"])
    assert client.wait(job["id"], timeout_s=30)["state"] == "cancelled"


def test_pending_job_is_cancelled_at_once_and_finished_one_not_at_all(client: Client) -> None:
    blocker = client.submit("train", **train_body("blocker", epochs=10_000))
    waiting = client.submit("train", **train_body("waiting"))
    assert client.cancel(waiting["id"])["state"] == "cancelled"
    client.cancel(blocker["id"])
    client.wait(blocker["id"], timeout_s=30)
    done = client.run("train", **train_body("finished"))
    with pytest.raises(ProblemError) as caught:
        client.cancel(done["id"])
    assert caught.value.status == 409


def test_error_of_the_job_itself_fails_it_without_a_retry(client: Client) -> None:
    job = client.wait(client.submit("train", **train_body("bad"))["id"], timeout_s=60)
    assert (job["state"], job["attempts"]) == ("failed", 1)
    assert job["error"] == "DataError: images.bin: truncated"


def test_crash_is_retried_three_times_at_most(client: Client) -> None:
    job = client.wait(client.submit("train", **train_body("crash"))["id"], timeout_s=60)
    assert (job["state"], job["attempts"]) == ("failed", 3)
    assert "exit code 3" in job["error"]


def test_crash_once_is_survived(client: Client) -> None:
    job = client.wait(client.submit("train", **train_body("flaky"))["id"], timeout_s=60)
    assert (job["state"], job["attempts"]) == ("succeeded", 2)


def test_extracted_files_are_downloaded_by_digest(client: Client, live: Live, tmp_path: object) -> None:
    genes = [0] * 63
    job = client.run("extract", subnet={"supernet": "digits", "genes": genes}, formats=["onnx"])
    (item,) = client.artifacts(job["id"])
    from pathlib import Path

    (file,) = client.download_all(job["id"], Path(str(tmp_path)) / "out")
    assert file.read_bytes() == b"not a model"
    response = httpx2.get(f"{live.url}/api/v1/artifacts/{item['sha256']}")
    assert response.headers["content-disposition"].startswith("attachment")
    tag = response.headers["etag"]
    again = httpx2.get(f"{live.url}/api/v1/artifacts/{item['sha256']}", headers={"If-None-Match": tag})
    assert again.status_code == 304


def test_jobs_are_listed_by_pages_and_filters(client: Client) -> None:
    ids = [job["id"] for job in client.jobs(limit=3)]
    assert ids == sorted(ids, reverse=True)
    assert len(set(ids)) == len(ids) >= 4
    assert {job["state"] for job in client.jobs(state="failed")} <= {"failed"}
