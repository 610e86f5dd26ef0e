"""Evaluating a list of archs on a pool, chunk by chunk."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from operator import itemgetter

from nas.errors import EvaluatorError
from nas.evaluate.evaluator import EvaluationPool
from nas.types import Evaluation
from searchspaces.space import Arch

CHUNKS_PER_SLOT = 2  # per call: enough to even out slow chunks, few enough for a prefix-sharing evaluator


def evaluate_chunks(
    archs: Sequence[Arch], pool: EvaluationPool, should_stop: Callable[[], bool]
) -> Iterator[list[tuple[int, Evaluation]]]:
    """(position of the arch, evaluation) of all chunks that have ended meanwhile, together every arch once.

    What the pool has at hand comes first, in one list. Chunks that end while the caller is busy come in
    one list too, so that a caller who stores them is not outrun by many workers. When ``should_stop``
    returns True no further chunk is started; those in flight are still awaited, so the iteration ends
    early. Raises EvaluatorError when the evaluator returns other archs than it was given, and what the
    pool raises, after what else has ended.
    """
    recalled = pool.recall(archs) if archs else {}
    if recalled:
        yield [(i, recalled[arch]) for i, arch in enumerate(archs) if arch in recalled]
    positions = [i for i, arch in enumerate(archs) if arch not in recalled]
    size = max(1, math.ceil(len(positions) / (pool.capacity * CHUNKS_PER_SLOT)))
    waiting = deque(positions[start : start + size] for start in range(0, len(positions), size))
    in_flight: dict[Future[list[Evaluation]], list[int]] = {}
    while waiting or in_flight:
        while waiting and len(in_flight) < pool.capacity and not should_stop():
            chunk = waiting.popleft()
            in_flight[pool.submit([archs[i] for i in chunk])] = chunk
        if not in_flight:
            return
        done = wait(in_flight, return_when=FIRST_COMPLETED).done
        in_order = sorted(((in_flight.pop(future), future) for future in done), key=itemgetter(0))
        failures = [future.exception() for _, future in in_order]
        ended = [
            pair
            for (chunk, future), failure in zip(in_order, failures, strict=True)
            if failure is None
            for pair in zip(chunk, _checked([archs[i] for i in chunk], future.result()), strict=True)
        ]
        if ended:
            yield ended
        for failure in failures:
            if failure is not None:
                raise failure


def _checked(archs: Sequence[Arch], results: Sequence[Evaluation]) -> list[Evaluation]:
    if [result.arch for result in results] != list(archs):
        raise EvaluatorError(
            f"the evaluator returned {len(results)} evaluations for {len(archs)} archs, "
            "or returned them in another order"
        )
    return list(results)
