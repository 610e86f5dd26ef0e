"""RayPool: an EvaluationPool of long-lived Ray actors that share one copy of the weights.

The weights are put once in Ray's object store as NumPy arrays, which the actors of a node read in
place (torch tensors would be copied, 0.3 s for 100 MB; arrays take 1.5 ms). Chunks wait in one queue
for whichever actor is free, and actors come and go: one that dies, alone or with its node, is replaced
as soon as the cluster has a CPU for it, while the others go on with its chunk. Should a chunk kill two
actors, its archs are tried one by one, so that a subnet that needs more memory than there is becomes
one failed evaluation instead of the end of the search.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import ray

from nas.errors import ConfigError
from nas.evaluate.evaluator import SLOT
from nas.evaluate.ray_workers import Arrays, Chunk, EvaluatorFactory, Workers
from nas.types import Evaluation
from searchspaces.space import Arch

MIN_STORE_BYTES = 128 * 2**20
STORE_SPARE_BYTES = 64 * 2**20


class RayPool:
    """``n_actors`` workers of one CPU each, on a local Ray or on the cluster at ``address``.

    Without ``n_actors`` there is one for each CPU of this machine or, given an ``address``, of the
    cluster. A Ray that this process has already started is used and left running; otherwise ``close``
    shuts down what was started here, with its temporary folder.
    """

    def __init__(
        self,
        factory: EvaluatorFactory,
        weights: Arrays,
        n_actors: int | None = None,
        *,
        address: str | None = None,
        start_timeout_s: float = 300.0,
    ) -> None:
        """Returns once an actor has built its evaluator; the others join when they have built theirs.

        Raises ConfigError for ``n_actors`` < 1, ConnectionError when there is no cluster at
        ``address``, and EvaluatorError when the factory fails or no actor starts in time, as happens
        in a cluster without a free CPU.
        """
        if n_actors is not None and n_actors < 1:
            raise ConfigError(f"n_actors must be at least 1; got {n_actors}")
        self._folder: Path | None = None
        self._started = not ray.is_initialized()
        self._workers: Workers | None = None
        try:
            if self._started:
                self._start_ray(n_actors, address, sum(array.nbytes for array in weights.values()))
            # The reference is kept: a new actor reads the weights again.
            self._weights = ray.put({name: np.ascontiguousarray(array) for name, array in weights.items()})
            self._workers = Workers(factory, self._weights, n_actors or n_cpus(), start_timeout_s)
            self._workers.wait_for_first()
        except BaseException:
            self.close()
            raise

    @property
    def capacity(self) -> int:
        """One chunk per actor, those that are being replaced included."""
        return 0 if self._workers is None else self._workers.n

    def recall(self, archs: Sequence[Arch]) -> Mapping[Arch, Evaluation]:  # noqa: ARG002
        """Nothing is at hand."""
        return {}

    def submit(self, archs: Sequence[Arch]) -> Future[list[Evaluation]]:
        """The future raises EvaluatorError when the evaluator raised or no worker is left to run it.

        Raises RuntimeError after ``close``.
        """
        chunk = Chunk(list(archs))
        if self._workers is None:
            raise RuntimeError("no chunk can be submitted after shutdown of the pool")
        self._workers.put(chunk)
        return chunk.future

    def close(self) -> None:
        """Kill the actors; chunks in flight fail with EvaluatorError. May be called twice."""
        workers, self._workers = self._workers, None
        if workers is not None:
            workers.close()
        if self._started:
            ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _start_ray(self, n_actors: int | None, address: str | None, n_bytes: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        if address is None:
            n_slots = n_actors or os.cpu_count() or 1
            self._folder = Path(tempfile.mkdtemp(prefix="nas-ray-"))
            options |= {
                "num_cpus": n_slots,
                "resources": {SLOT: n_slots},
                "include_dashboard": False,
                "object_store_memory": max(MIN_STORE_BYTES, n_bytes + STORE_SPARE_BYTES),
                "_temp_dir": str(self._folder),
            }
        ray.init(address or "local", **options)


def n_cpus() -> int:
    """CPUs of the Ray that this process has joined, free or not; at least 1."""
    return max(1, int(ray.cluster_resources().get("CPU", 0)))  # type: ignore[no-untyped-call]
