"""RayPool: an EvaluationPool of long-lived Ray actors that share one copy of the weights.

The weights are put once in Ray's object store as NumPy arrays, which the actors of a node read in
place (torch tensors would be copied, 0.3 s for 100 MB; arrays take 1.5 ms). Chunks go to whichever
actor is free. An actor that dies is restarted by Ray, which also repeats the chunk once; should
the chunk kill it again, its archs are tried one by one, so that a subnet that needs more memory than
there is becomes one failed evaluation instead of the end of the search.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from nas.errors import ConfigError, EvaluatorError
from nas.evaluate.evaluator import SLOT, Evaluator
from nas.types import Evaluation
from searchspaces.space import Arch

Arrays = Mapping[str, NDArray[Any]]
MIN_STORE_BYTES = 128 * 2**20
STORE_SPARE_BYTES = 64 * 2**20


class EvaluatorFactory(Protocol):
    """Builds the evaluator inside an actor; picklable."""

    def __call__(self, arrays: Arrays) -> Evaluator:
        """``arrays`` are read-only views of memory that all actors share: copy before writing."""
        ...


class _Actor:
    """One worker process: builds its evaluator once, then evaluates chunks on one thread."""

    def __init__(self, factory: EvaluatorFactory, arrays: Sequence[Any]) -> None:
        """``arrays`` holds one object reference, boxed: as a plain argument Ray would warn of restarts."""
        torch.set_num_threads(1)
        self._evaluator = factory(ray.get(arrays[0]))

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        return self._evaluator.evaluate(archs)

    def ready(self) -> bool:
        return True


class RayPool:
    """``n_actors`` workers of one CPU each, on a local Ray or on the cluster at ``address``.

    A Ray that this process has already started is used and left running; otherwise ``close``
    shuts down what was started here, with its temporary folder.
    """

    def __init__(
        self,
        factory: EvaluatorFactory,
        weights: Arrays,
        n_actors: int,
        *,
        address: str | None = None,
        start_timeout_s: float = 300.0,
    ) -> None:
        """Returns once every actor has built its evaluator.

        Raises ConfigError for ``n_actors`` < 1, ConnectionError when there is no cluster at
        ``address``, and EvaluatorError when the factory fails or an actor does not start in time,
        as happens in a cluster without a free CPU.
        """
        if n_actors < 1:
            raise ConfigError(f"n_actors must be at least 1; got {n_actors}")
        self._folder: Path | None = None
        self._started = not ray.is_initialized()
        self._start_timeout_s = start_timeout_s
        self._actors: list[Any] = []
        self._threads = ThreadPoolExecutor(n_actors, thread_name_prefix="ray-pool")
        self._free: SimpleQueue[Any] = SimpleQueue()
        try:
            if self._started:
                self._start_ray(n_actors, address, sum(array.nbytes for array in weights.values()))
            self._start_actors(factory, weights, n_actors)
        except BaseException:
            self.close()
            raise

    @property
    def capacity(self) -> int:
        """One chunk per actor."""
        return len(self._actors)

    def submit(self, archs: Sequence[Arch]) -> Future[list[Evaluation]]:
        """The future raises EvaluatorError when the evaluator raised or its worker cannot be restarted.

        Raises RuntimeError after ``close``.
        """
        return self._threads.submit(self._evaluate, list(archs))

    def close(self) -> None:
        """Kill the actors; chunks in flight fail with EvaluatorError. May be called twice."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if ray.is_initialized():
            for actor in self._actors:
                ray.kill(actor)
        self._threads.shutdown(wait=True)
        if self._started:
            ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _start_ray(self, n_actors: int, address: str | None, n_bytes: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        if address is None:
            self._folder = Path(tempfile.mkdtemp(prefix="nas-ray-"))
            options |= {
                "num_cpus": n_actors,
                "resources": {SLOT: n_actors},
                "include_dashboard": False,
                "object_store_memory": max(MIN_STORE_BYTES, n_bytes + STORE_SPARE_BYTES),
                "_temp_dir": str(self._folder),
            }
        ray.init(address or "local", **options)

    def _start_actors(self, factory: EvaluatorFactory, weights: Arrays, n_actors: int) -> None:
        # The reference is kept: a restarted actor reads the weights again.
        self._weights = ray.put({name: np.ascontiguousarray(array) for name, array in weights.items()})
        worker = ray.remote(_Actor).options(num_cpus=1, max_restarts=-1, max_task_retries=1)
        self._actors = [worker.remote(factory, [self._weights]) for _ in range(n_actors)]
        for actor in self._actors:
            self._await_ready(actor)
            self._free.put(actor)

    def _evaluate(self, archs: list[Arch]) -> list[Evaluation]:
        actor = self._free.get()
        try:
            return self._chunk(actor, archs)
        finally:
            self._free.put(actor)

    def _chunk(self, actor: Any, archs: list[Arch]) -> list[Evaluation]:
        try:
            evaluations: list[Evaluation] = _get(actor.evaluate.remote(archs))
        except RayActorError as error:
            self._await_ready(actor)  # a worker that cannot be restarted is not the fault of an arch
            if len(archs) > 1:
                return [evaluation for arch in archs for evaluation in self._chunk(actor, [arch])]
            return [Evaluation(archs[0], error=f"the worker process died twice on this arch: {error}")]
        return evaluations

    def _await_ready(self, actor: Any) -> None:
        try:
            _get(actor.ready.remote(), timeout_s=self._start_timeout_s)
        except RayActorError as error:
            raise EvaluatorError(f"an evaluation worker cannot be started: {error}") from error
        except GetTimeoutError as error:
            raise EvaluatorError(
                f"an evaluation worker did not start within {self._start_timeout_s:g} s; "
                "each needs one free CPU of the Ray cluster"
            ) from error


def _get(reference: Any, *, timeout_s: float | None = None) -> Any:
    try:
        return ray.get(reference, timeout=timeout_s)
    except RayTaskError as error:
        cause = error.cause
        raise EvaluatorError(f"the evaluator raised {type(cause).__name__}: {cause}") from error
