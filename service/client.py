"""Client: the HTTP API as methods, for the command line and for notebooks. Loads neither torch nor ray."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias

import httpx2

from service.errors import ProblemError

Json: TypeAlias = dict[str, Any]
DEFAULT_URL = "http://127.0.0.1:8000"
PREFIX = "/api/v1"
FINAL_STATES = ("succeeded", "failed", "cancelled")
SUBMIT_TRIES = 3
WAIT_S = 20  # of one long poll
STREAM_SILENCE_S = 60.0  # the server breaks the silence every 15 s


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a job: its number, kind ("state", "progress", "log") and data."""

    seq: int
    kind: str
    data: Json


class Client:
    """Talks to one server. Every method raises ProblemError for an error of the server, or for none there.

    Answers are the JSON documents of the API. Usable as a context manager.
    """

    def __init__(self, url: str = DEFAULT_URL, *, token: str | None = None, timeout_s: float = 60.0) -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx2.Client(base_url=self.url, headers=headers, timeout=timeout_s)

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close connections."""
        self.close()

    def close(self) -> None:
        """Close connections."""
        self._http.close()

    def is_ready(self) -> bool:
        """Whether the server answers and is ready."""
        try:
            return self._http.get("/readyz").status_code == 200
        except httpx2.TransportError:
            return False

    def submit(self, kind: str, *, idempotency_key: str | None = None, **body: Any) -> Json:
        """Queue a job. A lost answer is asked for again under the same key, so nothing is queued twice."""
        headers = {"Idempotency-Key": idempotency_key or secrets.token_hex(16)}
        for attempt in range(1, SUBMIT_TRIES + 1):
            try:
                return self._json("POST", "/jobs", json={"kind": kind, **body}, headers=headers)
            except ProblemError as error:
                if error.status != 0 or attempt == SUBMIT_TRIES:
                    raise
                time.sleep(0.3 * attempt)
        raise AssertionError("the last try returns or raises")

    def job(self, job_id: str, *, wait_s: int = 0) -> Json:
        """A job as it stands, or after at most ``wait_s`` seconds when it has ended by then."""
        headers = {"Prefer": f"wait={wait_s}"} if wait_s else {}
        return self._json("GET", f"/jobs/{job_id}", headers=headers)

    def jobs(self, **filters: Any) -> Iterator[Json]:
        """All jobs, newest first; filters ``kind`` and ``state``."""
        return self._pages("/jobs", filters)

    def cancel(self, job_id: str) -> Json:
        """Ask a job to stop."""
        return self._json("POST", f"/jobs/{job_id}:cancel")

    def events(self, job_id: str, *, after: int = 0) -> Iterator[Event]:
        """Events of a job above ``after`` as they happen, until it ends or the connection does."""
        headers = {"Last-Event-ID": str(after), "Accept": "text/event-stream"}
        path = f"{PREFIX}/jobs/{job_id}/events"
        try:
            with self._http.stream("GET", path, headers=headers, timeout=STREAM_SILENCE_S) as response:
                if response.status_code != 200:
                    response.read()
                    raise _problem(response)
                yield from parse_events(response.iter_lines())
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error

    def wait(
        self, job_id: str, *, on_event: Callable[[Event], None] | None = None, timeout_s: float | None = None
    ) -> Json:
        """The job once it has ended; ``on_event`` sees what happens meanwhile.

        Follows the event stream, which is taken up again where it broke off; polls where streams
        do not get through. Raises TimeoutError after ``timeout_s`` seconds.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        seen, failures = 0, 0
        while True:
            try:
                for event in self.events(job_id, after=seen):
                    seen, failures = event.seq, 0
                    if on_event is not None:
                        on_event(event)
                    _check_deadline(deadline, job_id)
            except ProblemError as error:
                failures += 1
                if error.status not in (0, 502, 503, 504) or failures > SUBMIT_TRIES:
                    raise
                time.sleep(0.5 * failures)
            job = self.job(job_id, wait_s=WAIT_S if failures else 0)
            if job["state"] in FINAL_STATES:
                return job
            _check_deadline(deadline, job_id)

    def run(self, kind: str, *, on_event: Callable[[Event], None] | None = None, **body: Any) -> Json:
        """Submit a job and wait for its success; raises ProblemError if it fails or is cancelled."""
        job = self.wait(self.submit(kind, **body)["id"], on_event=on_event)
        if job["state"] != "succeeded":
            raise ProblemError(409, f"Job {job['state']}", str(job["error"] or ""), job)
        return job

    def front(self, **filters: Any) -> list[Json]:
        """Front points, fastest first; filters: device, supernet, study, max_latency_ms, min_top1."""
        points: list[Json] = self.front_answer(**filters)["points"]
        return points

    def front_answer(self, **filters: Any) -> Json:
        """``points`` as of ``front``, with the ``fidelity`` of their supernet and ``warnings``."""
        return self._json("GET", "/fronts", params=_given(filters))

    def best(self, **filters: Any) -> Json:
        """The most accurate subnet that satisfies the filters (those of ``front``)."""
        return self._json("GET", "/fronts/best", params=_given(filters))

    def subnet(self, subnet_id: str) -> Json:
        """A subnet by ``SUPERNET:ARCHKEY``."""
        return self._json("GET", f"/subnets/{subnet_id}")

    def spaces(self) -> list[Json]:
        """The built-in search spaces."""
        items: list[Json] = self._json("GET", "/spaces")["items"]
        return items

    def searchers(self) -> list[str]:
        """Names of searchers."""
        items: list[str] = self._json("GET", "/searchers")["items"]
        return items

    def supernets(self) -> Iterator[Json]:
        """All supernets."""
        return self._pages("/supernets", {})

    def devices(self) -> Iterator[Json]:
        """All devices."""
        return self._pages("/devices", {})

    def device(self, name: str) -> Json:
        """A device; ``here`` is the server's machine under the default runtime."""
        return self._json("GET", f"/devices/{name}")

    def agents(self) -> Iterator[Json]:
        """All device agents."""
        return self._pages("/agents", {})

    def agent_code(self, name: str, *, ttl_s: float = 600.0) -> Json:
        """A one-time ``code`` with which a machine becomes the agent of this name."""
        return self._json("POST", "/agents/codes", json={"name": name, "ttl_s": ttl_s})

    def agent_action(self, name: str, action: str) -> Json:
        """``lift`` an agent's quarantine or ``revoke`` its token."""
        return self._json("POST", f"/agents/{name}:{action}")

    def predictors(self, **filters: Any) -> Iterator[Json]:
        """All predictors; filters ``supernet`` and ``device``."""
        return self._pages("/predictors", filters)

    def studies(self, **filters: Any) -> Iterator[Json]:
        """All studies; filters ``supernet`` and ``device``."""
        return self._pages("/studies", filters)

    def trials(self, study_id: str) -> Iterator[Json]:
        """All trials of a study, by number."""
        return self._pages(f"/studies/{study_id}/trials", {"limit": 1000})

    def study_answers(self, study_id: str) -> Json:
        """Trend, outlook, constraints, milliseconds by layer and race of a study."""
        return self._json("GET", f"/studies/{study_id}/answers")

    def artifacts(self, job_id: str) -> list[Json]:
        """Files that a job stored."""
        items: list[Json] = self._json("GET", f"/jobs/{job_id}/artifacts")["items"]
        return items

    def download(self, sha256: str, target: Path) -> Path:
        """Fetch a file to ``target``; it is put there only when its bytes have the digest."""
        partial = target.with_name(f"{target.name}.part")
        sha = hashlib.sha256()
        try:
            with self._http.stream("GET", f"{PREFIX}/artifacts/{sha256}") as response:
                if response.status_code != 200:
                    response.read()
                    raise _problem(response)
                with partial.open("wb") as out:
                    for chunk in response.iter_bytes():
                        sha.update(chunk)
                        out.write(chunk)
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error
        if sha.hexdigest() != sha256:
            raise ProblemError(0, "Damaged download", f"{target.name} has the digest {sha.hexdigest()}", {})
        partial.replace(target)
        return target

    def download_all(self, job_id: str, folder: Path) -> list[Path]:
        """Fetch all files of a job into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        return [
            self.download(item["sha256"], folder / Path(item["name"]).name) for item in self.artifacts(job_id)
        ]

    def _pages(self, path: str, filters: Mapping[str, Any]) -> Iterator[Json]:
        params = _given(filters)
        while True:
            page = self._json("GET", path, params=params)
            yield from page["items"]
            if page["next_cursor"] is None:
                return
            params = {**params, "cursor": page["next_cursor"]}

    def _json(self, method: str, path: str, **options: Any) -> Json:
        try:
            response = self._http.request(method, PREFIX + path, **options)
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error
        if response.status_code >= 400:
            raise _problem(response)
        document: Json = response.json()
        return document

    def _unreachable(self, error: Exception) -> ProblemError:
        return ProblemError(0, "No answer", f"from {self.url} ({error}); start a server with `nas serve`", {})


def parse_events(lines: Iterator[str]) -> Iterator[Event]:
    """Server-sent events from lines; comments and retry hints are passed over."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            yield Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))
            fields = {}
        else:
            fields = {}


def describe(document: Mapping[str, Any]) -> Sequence[str]:
    """The fields at fault in a problem document, one text each."""
    return [f"{item['pointer']}: {item['detail']}" for item in document.get("errors", [])]


def _problem(response: httpx2.Response) -> ProblemError:
    try:
        document = response.json()
        title, detail = str(document["title"]), str(document["detail"])
    except (ValueError, KeyError, TypeError):
        return ProblemError(response.status_code, f"HTTP {response.status_code}", response.text[:200], {})
    return ProblemError(response.status_code, title, detail, document)


def _given(filters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in filters.items() if value is not None}


def _check_deadline(deadline: float | None, job_id: str) -> None:
    if deadline is not None and time.monotonic() > deadline:
        raise TimeoutError(f"job {job_id} has not ended in time")
