"""What guided promises beyond the contract: it uses what is known, and bad input ends in a clear result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from nas.errors import EvaluatorError, InfeasibleError
from nas.evaluate.inline_pool import InlinePool
from nas.memory_store import InMemoryStore
from nas.pareto import IntArray, cost_matrix, hypervolume, reference_costs
from nas.search.guided.searcher import DESIGN, GuidedSearcher
from nas.search.knowledge import NOTHING, Knowledge
from nas.study import StudyResult, run_study
from nas.types import Constraint, Direction, Evaluation, Objective
from predictors.errors import InvalidValueError
from predictors.predictor import FloatArray, Prediction
from searchspaces.genes import archs_of
from searchspaces.registry import get_space
from searchspaces.space import Arch, SearchSpace
from tests.contracts.toy import OBJECTIVES, ToyEvaluator, toy_evaluate, toy_space, toy_study, toy_values

LARGE = toy_space(5)  # 3 905 archs


class ToyLatency:
    """The toy's latency; ``std`` is what it says of its own error."""

    def __init__(self, space: SearchSpace, std: float = 0.0, factor: float = 1.0) -> None:
        self.space, self.std, self.factor = space, std, factor

    def fit(self, archs: Sequence[Arch], targets: FloatArray) -> None:
        raise TypeError("fitted")

    def predict(self, archs: Sequence[Arch]) -> Prediction:
        mean = np.array([self.factor * toy_values(self.space, arch)["latency_ms"] for arch in archs])
        std = np.full(len(mean), self.std)
        return Prediction(mean, std, mean - 1.645 * std, mean + 1.645 * std)


class Values:
    """An evaluator of given values."""

    metrics = ("top1", "latency_ms")

    def __init__(self, space: SearchSpace, **changes: float) -> None:
        self.space, self.changes = space, changes

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        return [Evaluation(arch, {**toy_values(self.space, arch), **self.changes}) for arch in archs]


def search(
    space: SearchSpace, budget: int, known: Knowledge = NOTHING, *, seed: int = 1, **changes: object
) -> StudyResult:
    study = toy_study(searcher="guided", budget=budget, batch_size=10, seed=seed, **changes)
    made = GuidedSearcher(space, study.objectives, constraints=study.constraints, known=known, seed=seed)
    return run_study(study, made, InlinePool(ToyEvaluator(space)), InMemoryStore())


def latency_known(space: SearchSpace, **settings: float) -> Knowledge:
    return Knowledge({"latency_ms": ToyLatency(space, **settings)})


def test_first_design_is_spread_over_known_latency() -> None:
    known = latency_known(LARGE)
    archs = GuidedSearcher(LARGE, OBJECTIVES, known=known, seed=3).ask(DESIGN)
    latencies = np.sort([np.log(toy_values(LARGE, arch)["latency_ms"]) for arch in archs])
    ends = [np.log(toy_values(LARGE, LARGE.extreme(largest=big))["latency_ms"]) for big in (False, True)]
    assert latencies[0] == pytest.approx(ends[0])
    assert latencies[-1] > ends[0] + 0.9 * (ends[1] - ends[0])
    assert np.diff(latencies).max() < 0.3 * (ends[1] - ends[0])


def test_60_evaluations_find_the_front_of_3905_archs() -> None:
    every = toy_evaluate(LARGE, list(LARGE.archs()))
    true = hypervolume(cost_matrix(every, OBJECTIVES), reference_costs(OBJECTIVES))
    for known in (NOTHING, latency_known(LARGE)):
        assert search(LARGE, 60, known).hypervolumes[-1][1] > 0.999 * true


def test_known_constraints_are_kept_from_the_first_model_based_batch_on() -> None:
    limit = Constraint("latency_ms", maximum=9.0)
    made = GuidedSearcher(LARGE, OBJECTIVES, constraints=(limit,), known=latency_known(LARGE), seed=1)
    made.tell(toy_evaluate(LARGE, made.ask(DESIGN)))
    asked = made.ask(10)
    assert all(toy_values(LARGE, arch)["latency_ms"] <= 9.0 for arch in asked)


def test_an_uncertain_predictor_is_no_reason_to_ask_beyond_a_limit() -> None:
    limit = Constraint("latency_ms", maximum=9.0)
    known = latency_known(LARGE, std=2.5)
    made = GuidedSearcher(LARGE, OBJECTIVES, constraints=(limit,), known=known, seed=1)
    made.tell(toy_evaluate(LARGE, made.ask(DESIGN)))
    assert all(toy_values(LARGE, arch)["latency_ms"] <= 9.0 for arch in made.ask(10))


def test_an_uncertain_predictor_promises_no_more_than_a_certain_one() -> None:
    """What an evaluation does not show cannot put an arch on the front."""
    asked = []
    for std in (0.0, 50.0):
        made = GuidedSearcher(LARGE, OBJECTIVES, known=latency_known(LARGE, std=std), seed=1)
        made.tell(toy_evaluate(LARGE, made.ask(DESIGN)))
        asked.append(made.ask(10))
    assert asked[0] == asked[1]


def test_earlier_evaluations_replace_the_first_design_and_may_be_asked_again() -> None:
    earlier = toy_evaluate(LARGE, [LARGE.sample(np.random.default_rng(i)) for i in range(60)])
    warm = GuidedSearcher(LARGE, OBJECTIVES, known=Knowledge(evaluations=earlier), seed=1)
    cold = GuidedSearcher(LARGE, OBJECTIVES, seed=1)

    def mean_top1(made: GuidedSearcher) -> float:
        archs = made.ask(10)
        return float(
            np.mean([toy_values(LARGE, a)["top1"] - toy_values(LARGE, a)["latency_ms"] / 60 for a in archs])
        )

    assert mean_top1(warm) > mean_top1(cold)
    small = toy_space(2)
    told = Knowledge(evaluations=toy_evaluate(small, list(small.archs())))
    assert len(GuidedSearcher(small, OBJECTIVES, known=told, seed=1).ask(50)) == small.size()


def test_the_front_of_an_earlier_study_of_another_device_is_asked_first() -> None:
    space = toy_space(4)
    every = list(space.archs())
    earlier = [Evaluation(a, {"top1": toy_values(space, a)["top1"], "latency_ms": 99.0}) for a in every]
    made = GuidedSearcher(
        space, OBJECTIVES, known=Knowledge({"latency_ms": ToyLatency(space)}, earlier), seed=1
    )
    asked: list[Arch] = []
    for _ in range(2):
        archs = made.ask(10)
        made.tell(toy_evaluate(space, archs))
        asked += archs
    found, best = (
        hypervolume(cost_matrix(toy_evaluate(space, archs), OBJECTIVES), reference_costs(OBJECTIVES))
        for archs in (asked, every)
    )
    assert found > 0.99 * best


def test_a_space_too_large_to_list_is_searched_by_an_evolved_pool() -> None:
    space = get_space("hybrid-cifar")
    objectives = (Objective("top1", Direction.MAXIMIZE, 0.0), Objective("params", Direction.MINIMIZE, 2000.0))

    def values(arch: Arch) -> Mapping[str, float]:
        chosen = space.values(arch)
        width = sum(float(v) for k, v in chosen.items() if k.endswith("width"))
        attention = sum(v == "attention" for v in chosen.values())
        return {"top1": 1 - np.exp(-width / 200) + 0.02 * attention, "params": width + 20 * attention}

    rng = np.random.default_rng(0)
    told = [Evaluation(a, values(a)) for a in (space.sample(rng) for _ in range(80))]
    made = GuidedSearcher(space, objectives, seed=1)
    made.tell(told)
    archs = made.ask(10)
    assert len(set(archs)) == 10
    assert not set(archs) & {e.arch for e in told}
    reference = reference_costs(objectives)

    def grown(asked: Sequence[Arch]) -> float:
        evaluations = [*told, *(Evaluation(arch, values(arch)) for arch in asked)]
        return hypervolume(cost_matrix(evaluations, objectives), reference)

    assert grown(archs) > max(grown([space.sample(rng) for _ in range(10)]) for _ in range(10))


def test_a_space_of_one_point_is_searched_and_exhausted() -> None:
    space = toy_space(1)
    one = SearchSpace(
        "toy", 1, (replace(space.choices[0]), replace(space.choices[1], values=("conv",)),
                   replace(space.choices[2], values=(3,))), space.fabric, space.build
    )  # fmt: skip
    assert one.size() == 1
    result = search(one, 20)
    assert (result.n_trials, result.exhausted) == (1, True)


def test_a_budget_beyond_the_space_ends_with_the_space() -> None:
    space = toy_space(2)
    for known in (NOTHING, latency_known(space)):
        result = search(space, 1000, known)
        assert (result.n_trials, result.exhausted) == (space.size(), True)


def test_constraints_that_nothing_satisfies_are_named() -> None:
    with pytest.raises(InfeasibleError, match="latency_ms"):
        search(
            toy_space(3),
            30,
            latency_known(toy_space(3)),
            constraints=(Constraint("latency_ms", maximum=0.5),),
        )


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("metric", ["top1", "latency_ms"])
def test_constant_objectives_are_searched_to_the_budget(metric: str, known: bool) -> None:
    space = toy_space(4)
    made = GuidedSearcher(space, OBJECTIVES, known=latency_known(space) if known else NOTHING, seed=1)
    study = toy_study(searcher="guided", budget=40, batch_size=10)
    pool = InlinePool(Values(space, **{metric: 0.5}))
    assert run_study(study, made, pool, InMemoryStore()).n_trials == 40


def test_objectives_that_are_not_numbers_count_as_failures() -> None:
    space = toy_space(3)
    made = GuidedSearcher(space, OBJECTIVES, seed=1)
    study = toy_study(searcher="guided", budget=20, batch_size=10)
    with pytest.raises(EvaluatorError, match="nan"):
        run_study(study, made, InlinePool(Values(space, top1=float("nan"))), InMemoryStore())
    archs = made.ask(20)
    made.tell(
        [
            Evaluation(a, {**toy_values(space, a), "top1": np.nan if i % 2 else 0.5})
            for i, a in enumerate(archs)
        ]
    )
    assert len(made.ask(5)) == 5


def test_what_resembles_failures_is_avoided() -> None:
    space = toy_space(4)
    archs = list(space.archs())[:: len(list(space.archs())) // 60]
    history = [
        Evaluation(a, error="too deep")
        if space.values(a)["depth"] == 4
        else Evaluation(a, toy_values(space, a))
        for a in archs
    ]
    made = GuidedSearcher(space, OBJECTIVES, seed=1)
    made.tell(history)
    assert sum(space.values(arch)["depth"] == 4 for arch in made.ask(10)) <= 3  # they are 80 % of the space


def test_a_predictor_without_finite_values_is_named() -> None:
    known = latency_known(toy_space(3), factor=float("nan"))
    with pytest.raises(InvalidValueError, match="latency_ms"):
        GuidedSearcher(toy_space(3), OBJECTIVES, known=known, seed=1).ask(3)


def test_hints_find_the_front_sooner() -> None:
    def hint(genes: IntArray) -> FloatArray:
        """Rises with what accuracy falls with, in a unit of its own, and not exactly."""
        top1 = [toy_values(LARGE, arch)["top1"] for arch in archs_of(LARGE, genes)]
        return -40.0 * np.array(top1) + np.random.default_rng(genes.sum()).normal(0.0, 0.5, len(genes))

    def found(known: Knowledge) -> float:
        return float(np.mean([search(LARGE, 20, known, seed=seed).hypervolumes[-1][1] for seed in range(5)]))

    plain = latency_known(LARGE)
    assert found(replace(plain, hints=(hint,))) > found(plain)


def test_hints_that_say_nothing_do_no_harm_but_delay() -> None:
    def constant(genes: IntArray) -> FloatArray:
        return np.ones(len(genes))

    every = toy_evaluate(LARGE, list(LARGE.archs()))
    true = hypervolume(cost_matrix(every, OBJECTIVES), reference_costs(OBJECTIVES))
    result = search(LARGE, 80, replace(latency_known(LARGE), hints=(constant,)))
    assert result.hypervolumes[-1][1] > 0.98 * true
