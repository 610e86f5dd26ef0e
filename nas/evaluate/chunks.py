"""Evaluating a list of archs on a pool, chunk by chunk."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait

from nas.errors import EvaluatorError
from nas.evaluate.evaluator import EvaluationPool
from nas.types import Evaluation
from searchspaces.space import Arch

CHUNKS_PER_SLOT = 2  # per call: enough to even out slow chunks, few enough for a prefix-sharing evaluator


def evaluate_chunks(
    archs: Sequence[Arch], pool: EvaluationPool, should_stop: Callable[[], bool]
) -> Iterator[tuple[int, list[Evaluation]]]:
    """(position of the first arch, evaluations) of each chunk as it ends, together every arch once.

    When ``should_stop`` returns True no further chunk is started; those in flight are still
    awaited, so the iteration ends early. Raises EvaluatorError when the evaluator returns other
    archs than it was given, and what the pool raises.
    """
    size = max(1, math.ceil(len(archs) / (pool.capacity * CHUNKS_PER_SLOT)))
    starts = deque(range(0, len(archs), size))
    in_flight: dict[Future[list[Evaluation]], int] = {}
    while starts or in_flight:
        while starts and len(in_flight) < pool.capacity and not should_stop():
            start = starts.popleft()
            in_flight[pool.submit(archs[start : start + size])] = start
        if not in_flight:
            return
        done = wait(in_flight, return_when=FIRST_COMPLETED).done
        for future in sorted(done, key=in_flight.__getitem__):
            start = in_flight.pop(future)
            yield start, _checked(archs[start : start + size], future.result())


def _checked(archs: Sequence[Arch], results: Sequence[Evaluation]) -> list[Evaluation]:
    if [result.arch for result in results] != list(archs):
        raise EvaluatorError(
            f"the evaluator returned {len(results)} evaluations for {len(archs)} archs, "
            "or returned them in another order"
        )
    return list(results)
