"""run_race_on_tune: a race whose searchers ask in Ray Tune trials.

Every racer is a Tune trial and a step of it asks one batch. The scheduler pauses each trial after
its step and, when all racers of a round have asked, settles the round and stops the losers: rungs are
synchronous, so the order in which trials happen to finish changes nothing. Actors are reused: one
that is free takes over the trial of any racer, whose searcher it makes anew from what the racer was
told, because a searcher is nothing else. The truth is in the store; Tune's own checkpoints are empty
and its folder is temporary.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayActorError, RayTaskError
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from nas.errors import EvaluatorError
from nas.evaluate.evaluator import SLOT, EvaluationPool
from nas.race.course import Course, RaceProgress, Request
from nas.race.race import Race
from nas.race.run import RaceResult, result_of
from nas.search.searcher import Searcher
from nas.store import StudyStore
from nas.study import ask_exactly
from nas.types import Evaluation, Study
from searchspaces.space import Arch

RACER = "racer"  # the one setting of a trial: the number of its racer
ASKED = "asked"
# Asking overlaps with no evaluation, so it takes no CPU from the evaluation's actors. A Ray that this
# project starts counts slots for it; on another cluster every racer asks in a process of its own, on the
# driver's machine, because Tune wants one folder that all its trials can write.
SHARE = 1e-3  # of the resource that stands for a node
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # the old one knows how to be silent
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the caller's handler decides
    "TUNE_WARN_THRESHOLD_S": "86400",  # settling a round takes as long as its evaluations
}


def run_race_on_tune(
    race: Race,
    make_searcher: Callable[[Study], Searcher],
    pool: EvaluationPool,
    store: StudyStore,
    *,
    slots: int,
    address: str | None = None,
    report: Callable[[RaceProgress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> RaceResult:
    """As ``nas.race.run.run_race``, with the same result, asking in several processes at once.

    ``make_searcher`` must be picklable. A Ray that this process has started is used and left
    running; otherwise one is started here for ``slots`` racers at a time, or joined at ``address``,
    and left at the end. Raises EvaluatorError, which names the searcher's own error, when a racer fails.
    """
    course = Course(race, pool, store, report=report, should_stop=should_stop)
    if first := course.requests():
        with _ray(slots, address), tempfile.TemporaryDirectory(prefix="nas-race-") as folder:
            _fit(course, first, race, make_searcher, Path(folder))
    return result_of(race, course)


class _Board:
    """An actor on which the driver writes what each racer was told and is to ask."""

    def __init__(self) -> None:
        self._told: dict[int, list[Evaluation]] = {}
        self._n_archs: dict[int, int] = {}

    def write(self, racer: int, n_archs: int, news: list[Evaluation]) -> None:
        self._told.setdefault(racer, []).extend(news)
        self._n_archs[racer] = n_archs

    def read(self, racer: int, since: int) -> tuple[list[Evaluation], int]:
        return self._told[racer][since:], self._n_archs[racer]


class Racer(tune.Trainable):
    """One step asks one batch of archs for the racer that the trial's config names."""

    def setup(self, config: dict[str, Any], **shared: Any) -> None:
        """``shared``: ``make_searcher`` from the number of a racer, ``board`` a boxed actor handle."""
        self._make_searcher: Callable[[int], Searcher] = shared["make_searcher"]
        self._board = shared["board"][0]
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take over another racer."""
        self._racer = int(new_config[RACER])
        self._searcher = self._make_searcher(self._racer)
        self._n_told = 0
        return True

    def step(self) -> dict[str, Any]:
        """Tell the searcher the news, then ask."""
        news, n_archs = ray.get(self._board.read.remote(self._racer, self._n_told))
        self._searcher.tell(news)
        self._n_told += len(news)
        return {ASKED: ask_exactly(self._searcher, n_archs)}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:  # noqa: ARG002
        """Nothing: what a searcher knows is what it was told."""
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing to load."""


class _Rounds(FIFOScheduler):
    """Runs the trials of a round once each, settles it, and stops what the race has dropped."""

    def __init__(self, course: Course, board: Any, first: list[Request]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._course, self._board = course, board
        self._asked: dict[int, list[Arch]] = {}
        self._n_written: dict[int, int] = {}
        self._due: dict[int, Request] = {}
        self._begin(first)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing for Tune to restore: a race is continued from the store."""
        return {}

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> str:
        """See TrialScheduler."""
        self._asked[_racer(trial)] = result[ASKED]
        if len(self._asked) < len(self._due):
            return str(TrialScheduler.PAUSE)
        self._course.settle(self._asked)
        self._begin(self._course.requests())
        if self._due:
            return str(TrialScheduler.PAUSE)
        for other in tune_controller.get_trials():
            if other is not trial and not other.is_finished():
                tune_controller.stop_trial(other)
        return str(TrialScheduler.STOP)

    def choose_trial_to_run(self, tune_controller: Any) -> TuneTrial | None:
        """A trial whose racer is due and has not asked yet."""
        trials: list[TuneTrial] = tune_controller.get_trials()
        for trial in trials:
            racer = _racer(trial)
            waits = trial.status in (TuneTrial.PENDING, TuneTrial.PAUSED)
            if waits and racer in self._due and racer not in self._asked:
                return trial
        return None

    def _begin(self, requests: list[Request]) -> None:
        """Write the requests of a round on the board before any trial may run."""
        writes = []
        for request in requests:
            news = self._course.told(request.racer, self._n_written.get(request.racer, 0))
            writes.append(self._board.write.remote(request.racer, request.n_archs, news))
            self._n_written[request.racer] = request.n_told
        ray.get(writes)
        self._asked, self._due = {}, {request.racer: request for request in requests}


def _racer(trial: TuneTrial) -> int:
    return int(trial.config[RACER])


def _searcher_of(studies: tuple[Study, ...], make_searcher: Callable[[Study], Searcher], i: int) -> Searcher:
    return make_searcher(studies[i])


def _fit(
    course: Course,
    first: list[Request],
    race: Race,
    make_searcher: Callable[[Study], Searcher],
    folder: Path,
) -> None:
    board: Any = ray.remote(_Board).options(num_cpus=0).remote()
    trainable = tune.with_parameters(
        Racer, make_searcher=partial(_searcher_of, race.racers, make_searcher), board=[board]
    )
    tuner = tune.Tuner(
        tune.with_resources(trainable, tune.PlacementGroupFactory([_resources()])),
        param_space={RACER: tune.grid_search(list(range(len(race.racers))))},
        tune_config=tune.TuneConfig(scheduler=_Rounds(course, board, first), reuse_actors=True),
        run_config=tune.RunConfig(
            name="race",
            storage_path=str(folder),
            verbose=0,
            failure_config=tune.FailureConfig(fail_fast="raise"),
        ),
    )
    try:
        with warnings.catch_warnings():  # of actors left behind by a failure: they end with their Ray
            warnings.filterwarnings("ignore", "fail_fast='raise'", UserWarning)
            tuner.fit()
    except (RayTaskError, RayActorError) as error:
        cause = getattr(error, "cause", error)
        raise EvaluatorError(f"a searcher of the race raised {type(cause).__name__}: {cause}") from error
    finally:
        ray.kill(board)


def _resources() -> dict[str, int | float]:
    """What a racer takes of the Ray that this process has joined."""
    if SLOT in ray.cluster_resources():  # type: ignore[no-untyped-call]
        return {SLOT: 1}
    own = ray.get_runtime_context().get_node_id()
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    address = next(node["NodeManagerAddress"] for node in nodes if node["NodeID"] == own)
    return {f"node:{address}": SHARE}


@contextmanager
def _ray(slots: int, address: str | None) -> Iterator[None]:
    """A Ray to run in: the one that there is, or one for as long as this lasts."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    with tempfile.TemporaryDirectory(prefix="nas-ray-", ignore_cleanup_errors=True) as folder:
        if address is None:
            options |= {
                "num_cpus": slots,
                "resources": {SLOT: slots},
                "include_dashboard": False,
                "_temp_dir": folder,
            }
        ray.init(address or "local", **options)
        try:
            yield
        finally:
            ray.shutdown()
