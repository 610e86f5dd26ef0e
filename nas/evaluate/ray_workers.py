"""Workers: Ray actors that take chunks from one queue, each replaced when it is lost.

Every worker has a thread that starts its actor, waits until it is ready, and then gives it one chunk
after the other. Which worker does a chunk, and how often a node was lost on the way, changes nothing
but the time it takes.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

import ray
import torch
from numpy.typing import NDArray
from ray.exceptions import RayActorError, RayError, RayTaskError

from nas.errors import EvaluatorError
from nas.evaluate.evaluator import Evaluator
from nas.types import Evaluation
from searchspaces.space import Arch

Arrays = Mapping[str, NDArray[Any]]
POLL_S = 0.5  # between two looks at whether a worker that is being started is still wanted
DEATHS = 2  # of workers on the same archs, until the archs are held responsible
STARTS = 3  # that fail one after the other, until a worker is given up


class EvaluatorFactory(Protocol):
    """Builds the evaluator inside an actor; picklable."""

    def __call__(self, arrays: Arrays) -> Evaluator:
        """``arrays`` are read-only views of memory that all actors share: copy before writing."""
        ...


@dataclass(slots=True, eq=False)
class Chunk:
    """Archs to evaluate, and how far that is: what is ``done`` is not repeated on another worker."""

    archs: list[Arch]
    future: Future[list[Evaluation]] = field(default_factory=Future)
    done: list[Evaluation] = field(default_factory=list)
    deaths: int = 0
    one_by_one: bool = False

    @property
    def group(self) -> list[Arch]:
        """What the next call of a worker evaluates."""
        rest = self.archs[len(self.done) :]
        return rest[:1] if self.one_by_one else rest

    def mourn(self, error: RayActorError) -> None:
        """Count a worker that died on ``group``; twice, and the archs go one by one, or one has failed."""
        self.deaths += 1
        if self.deaths < DEATHS:
            return
        self.deaths = 0
        if len(self.group) > 1:
            self.one_by_one = True
        else:
            reason = f"the worker process died twice on this arch: {error}"
            self.done.append(Evaluation(self.group[0], error=reason))


class _Actor:
    """One worker process: builds its evaluator once, then evaluates chunks on one thread."""

    def __init__(self, factory: EvaluatorFactory, arrays: Sequence[Any]) -> None:
        """``arrays`` holds one object reference, boxed: as a plain argument Ray would warn of restarts."""
        torch.set_num_threads(1)
        self._evaluator = factory(ray.get(arrays[0]))

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        return self._evaluator.evaluate(archs)

    def node(self) -> str:
        return str(ray.get_runtime_context().get_node_id())


class Workers:
    """``n`` workers of one CPU each on the Ray that this process has joined."""

    def __init__(self, factory: EvaluatorFactory, weights: Any, n: int, start_timeout_s: float) -> None:
        """``weights``: reference of the arrays in the object store."""
        self.n = n
        self._factory, self._weights = factory, weights
        self._start_timeout_s = start_timeout_s
        self._changed = threading.Condition()
        self._waiting: deque[Chunk] = deque()
        self._actors: set[Any] = set()
        self._n_ready, self._n_left = 0, n
        self._none_since = time.monotonic()  # when the last ready worker was lost; read while there is none
        self._closing = False
        self._failure: EvaluatorError | None = None
        self._threads = [
            threading.Thread(target=self._work, name=f"ray-worker-{i}", daemon=True) for i in range(n)
        ]
        for thread in self._threads:
            thread.start()

    def wait_for_first(self) -> None:
        """Until a worker is ready. Raises EvaluatorError when one was given up before."""
        with self._changed:
            self._changed.wait_for(lambda: self._n_ready > 0 or self._failure is not None)
            if self._n_ready == 0 and self._failure is not None:
                raise self._failure

    def put(self, chunk: Chunk) -> None:
        """Have a chunk evaluated; its future fails at once when no worker is left."""
        with self._changed:
            if self._n_left == 0:
                self._fail(chunk)
                return
            self._waiting.append(chunk)
            self._changed.notify()

    def close(self) -> None:
        """Kill all actors and end all threads; what waits or runs fails."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            actors = list(self._actors)
        if ray.is_initialized():
            for actor in actors:
                ray.kill(actor)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        """The life of one worker: actors one after the other, until the pool closes or gives up."""
        failed = 0
        try:
            while not self._closing:
                actor = self._start()
                try:
                    node = self._ready(actor)
                    failed = 0
                    self._serve(actor, node)
                except RayActorError as error:  # lost; chunks are safe, only its starting may count
                    failed += 1
                    if error.actor_init_failed or failed == STARTS:
                        raise EvaluatorError(f"an evaluation worker cannot be started: {error}") from error
                finally:
                    self._forget(actor)
        except EvaluatorError as error:
            self._leave(error)
        else:
            self._leave(EvaluatorError("the pool of workers was closed"))

    def _start(self) -> Any:
        remote: Any = ray.remote(_Actor).options(num_cpus=1, max_restarts=0)
        actor = remote.remote(self._factory, [self._weights])
        with self._changed:
            self._actors.add(actor)
        return actor

    def _ready(self, actor: Any) -> str:
        """The actor's node, once it answers. Raises EvaluatorError when there has been no worker for long."""
        answer = actor.node.remote()
        while not ray.wait([answer], timeout=POLL_S)[0]:
            with self._changed:
                if self._closing:
                    raise EvaluatorError("the pool of workers was closed")
                if self._n_ready == 0 and time.monotonic() - self._none_since > self._start_timeout_s:
                    raise EvaluatorError(
                        f"an evaluation worker did not start within {self._start_timeout_s:g} s; "
                        "each needs one free CPU of the Ray cluster"
                    )
        return str(ray.get(answer))

    def _serve(self, actor: Any, node: str) -> None:
        """Chunk after chunk until the pool closes; raises RayActorError when the actor is lost."""
        with self._changed:
            self._n_ready += 1
            self._changed.notify_all()
        try:
            while (chunk := self._take()) is not None:
                try:
                    _evaluate(actor, chunk)
                except RayActorError as error:
                    if not self._closing and not _is_lost(node):
                        chunk.mourn(error)
                    self._put_back(chunk)
                    raise
        finally:
            with self._changed:
                self._n_ready -= 1
                self._none_since = time.monotonic()

    def _take(self) -> Chunk | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._waiting)
            return None if self._closing else self._waiting.popleft()

    def _put_back(self, chunk: Chunk) -> None:
        """First in the queue again; complete when the last arch of it has failed."""
        with self._changed:
            if not chunk.group:
                chunk.future.set_result(chunk.done)
            else:
                self._waiting.appendleft(chunk)
                self._changed.notify()

    def _forget(self, actor: Any) -> None:
        with self._changed:
            self._actors.discard(actor)
        if ray.is_initialized():
            ray.kill(actor)

    def _leave(self, reason: EvaluatorError) -> None:
        """Give this worker up; with the last one, all chunks that wait fail."""
        with self._changed:
            self._failure = self._failure or reason
            self._n_left -= 1
            if self._n_left == 0:
                while self._waiting:
                    self._fail(self._waiting.popleft())
            self._changed.notify_all()

    def _fail(self, chunk: Chunk) -> None:
        chunk.future.set_exception(self._failure or EvaluatorError("no evaluation worker is left"))


def _evaluate(actor: Any, chunk: Chunk) -> None:
    """Evaluate what is left of a chunk. What the evaluator raises goes into its future."""
    try:
        while chunk.group:
            chunk.done += ray.get(actor.evaluate.remote(chunk.group))
            chunk.deaths = 0
    except RayActorError:
        raise
    except RayError as error:
        cause = error.cause if isinstance(error, RayTaskError) else error
        failure = EvaluatorError(f"the evaluator raised {type(cause).__name__}: {cause}")
        failure.__cause__ = error
        chunk.future.set_exception(failure)
    else:
        chunk.future.set_result(chunk.done)


def _is_lost(node: str) -> bool:
    """Whether a node of the cluster is known to be gone: its workers' deaths are no fault of an arch."""
    return any(item["NodeID"] == node and not item["Alive"] for item in ray.nodes())  # type: ignore[no-untyped-call]
