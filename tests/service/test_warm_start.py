"""A study starts from what earlier studies of its supernet found, and goes on from the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from db.records import Job, JobKind
from nas.evaluate.evaluator import PROTOCOL
from nas.pareto import cost_matrix, hypervolume, reference_costs
from nas.search.guided.searcher import GuidedSearcher
from nas.search.knowledge import Knowledge
from nas.types import Direction, Evaluation, Objective, Study
from predictors.predictor import FloatArray, Prediction, Predictor
from searchspaces.space import Arch
from service.jobs.context import JobContext, Reporter
from service.jobs.searching import warm_start as module
from service.jobs.searching.warm_start import warm_start
from service.settings import Settings
from service.stores import Stores
from tests.service.conftest import SPACE, seed_records

OBJECTIVES = (Objective("top1", Direction.MAXIMIZE, 0.0), Objective("latency_ms", Direction.MINIMIZE, 60.0))
NUMBER = 7.0  # of the protocol
WEIGHTS = np.random.default_rng(1).uniform(0.2, 1.0, len(SPACE.choices))
TASTE = np.random.default_rng(2).normal(0.1, 0.4, len(SPACE.choices))  # slow is not always better


def latency(arch: Arch) -> float:
    return 1.0 + float(WEIGHTS @ np.array(arch.genes))


def top1(arch: Arch) -> float:
    return float(1.0 / (1.0 + np.exp(-TASTE @ np.array(arch.genes))))


class KnownLatency:
    """The device's latency, known exactly."""

    def fit(self, archs: object, targets: FloatArray) -> None:
        raise TypeError("known")

    def predict(self, archs: list[Arch]) -> Prediction:
        values = np.array([latency(arch) for arch in archs])
        return Prediction(values, np.zeros(len(values)), values, values)


KNOWN: Mapping[str, Predictor] = {"latency_ms": KnownLatency()}  # type: ignore[dict-item]


def evaluated(archs: list[Arch], number: float = NUMBER) -> list[Evaluation]:
    return [Evaluation(a, {"top1": top1(a), "latency_ms": latency(a), PROTOCOL: number}) for a in archs]


def a_study(stores: Stores, study_id: str, **settings: object) -> Study:
    study = Study(study_id, SPACE.id, OBJECTIVES, "guided", 60, 0, supernet="digits", device="d")
    study = replace(study, **settings)  # type: ignore[arg-type]
    stores.studies.create_study(study)
    return study


def finished(stores: Stores, study_id: str, seed: int, number: float = NUMBER, n: int = 40) -> None:
    """A random study of ``n`` trials under a protocol."""
    a_study(stores, study_id)
    rng = np.random.default_rng(seed)
    archs = [SPACE.sample(rng) for _ in range(n)]
    for trial, evaluation in zip(
        stores.studies.start_trials(study_id, archs), evaluated(archs, number), strict=True
    ):
        stores.studies.finish_trial(study_id, trial.number, evaluation)


@pytest.fixture
def context(settings: Settings, stores: Stores) -> JobContext:
    seed_records(stores)
    return JobContext(settings, stores, Reporter(lambda _: None), lambda _: None, lambda: False)


def a_job(stores: Stores, **payload: object) -> Job:
    return stores.jobs.submit(JobKind.SEARCH, dict(payload))


def guided(learned: list[Evaluation]) -> GuidedSearcher:
    return GuidedSearcher(SPACE, OBJECTIVES, known=Knowledge(KNOWN, learned), seed=3)


def worth(evaluations: list[Evaluation]) -> float:
    return hypervolume(cost_matrix(evaluations, OBJECTIVES), reference_costs(OBJECTIVES))


def test_the_first_batch_knows_earlier_studies_and_its_front_is_no_worse(
    context: JobContext, stores: Stores
) -> None:
    finished(stores, "earlier", seed=1)
    learned = warm_start(a_job(stores), a_study(stores, "s"), KNOWN, NUMBER, context)
    assert [e.arch for e in learned] == [t.evaluation.arch for t in stores.studies.list_trials("earlier")]
    warm, cold = guided(learned).ask(8), guided([]).ask(8)
    assert warm != cold
    assert worth(evaluated(warm)) > worth(evaluated(cold))


def test_a_study_goes_on_from_what_it_began_with(context: JobContext, stores: Stores) -> None:
    finished(stores, "earlier", seed=1)
    study, job = a_study(stores, "s"), a_job(stores)
    began = warm_start(job, study, KNOWN, NUMBER, context)
    stores.studies.start_trials("s", guided(began).ask(4))
    finished(stores, "meanwhile", seed=2)
    assert warm_start(job, study, KNOWN, NUMBER, context) == began
    assert guided(warm_start(job, study, KNOWN, NUMBER, context)).ask(4) == guided(began).ask(4)
    later = warm_start(job, a_study(stores, "later"), KNOWN, NUMBER, context)
    assert len(later) > len(began)


@pytest.mark.parametrize("race", [None, "r"])
def test_a_study_that_began_cold_stays_so(context: JobContext, stores: Stores, race: str | None) -> None:
    study = a_study(stores, "r")
    asking = "r" if race is None else a_study(stores, "r.guided", race=race).id
    job = a_job(stores)
    assert warm_start(job, study, KNOWN, NUMBER, context) == []
    stores.studies.start_trials(asking, [SPACE.extreme(largest=True)])
    finished(stores, "meanwhile", seed=2)
    assert warm_start(job, study, KNOWN, NUMBER, context) == []


def test_other_weights_images_and_cold_starts_are_left_alone(context: JobContext, stores: Stores) -> None:
    finished(stores, "otherwise", seed=1, number=8.0)
    assert warm_start(a_job(stores), a_study(stores, "s"), KNOWN, NUMBER, context) == []
    finished(stores, "earlier", seed=1)
    cold = a_job(stores, warm_start=False)
    assert warm_start(cold, a_study(stores, "cold"), KNOWN, NUMBER, context) == []


def test_of_many_half_are_the_best_and_the_number_is_bounded(
    context: JobContext, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(stores, "many", seed=1, n=module.LEARNED + 60)
    learned = warm_start(a_job(stores), a_study(stores, "s"), KNOWN, NUMBER, context)
    assert len(learned) == module.LEARNED
    everything = evaluated([t.evaluation.arch for t in stores.studies.list_trials("many")])
    assert worth(evaluated([e.arch for e in learned])) == worth(everything)
    monkeypatch.setattr(module, "SCANNED", 30)
    newest = warm_start(a_job(stores), a_study(stores, "t"), KNOWN, NUMBER, context)
    assert [e.arch for e in newest] == [t.evaluation.arch for t in stores.studies.list_trials("many")][-30:]
