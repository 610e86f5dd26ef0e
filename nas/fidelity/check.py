"""Hold a supernet's estimates against the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nas.errors import FidelityError
from nas.evaluate.evaluator import Evaluator
from nas.evaluate.smooth import smoothed
from nas.fidelity.measure import Subject, fidelity
from nas.fidelity.proxies import proxies
from nas.fidelity.report import FidelityReport
from nas.fidelity.truth import Truth
from searchspaces.space import Arch, SearchSpace

CHUNK = 4  # subnets between two reports of progress


def check_ranking(
    evaluator: Evaluator,
    truth: Truth,
    space: SearchSpace,
    *,
    supernet: str,
    metric: str,
    in_channels: int,
    n_classes: int,
    smooth: bool = False,
    seed: int = 0,
    resamples: int = 1000,
    report: Callable[[int, int], None] = lambda *_: None,
) -> FidelityReport:
    """Estimate ``metric`` of every subnet of the truth and report how well it orders them.

    ``supernet`` is the name to put into the report. ``smooth`` replaces the estimates by what a law
    fitted to them says (nas/evaluate/smooth.py). ``report(done, total)`` counts subnets and may
    raise to stop. Raises FidelityError for a metric that the evaluator does not give, a subnet
    that it cannot evaluate, and whatever ``fidelity`` refuses.
    """
    if metric not in evaluator.metrics:
        raise FidelityError(f"metric must be one of {evaluator.metrics}; got {metric!r}")
    estimates: Sequence[float] = _estimates(evaluator, truth.archs, metric, report)
    if smooth:
        estimates = smoothed(space, truth.archs, estimates).tolist()
    return fidelity(
        estimates,
        truth.top1,
        proxies(space, truth.archs, in_channels=in_channels, n_classes=n_classes),
        subject=Subject(space.id, supernet, f"{metric}, smoothed" if smooth else metric, truth.source),
        seed=seed,
        resamples=resamples,
    )


def _estimates(
    evaluator: Evaluator, archs: Sequence[Arch], metric: str, report: Callable[[int, int], None]
) -> list[float]:
    estimates: list[float] = []
    report(0, len(archs))
    for start in range(0, len(archs), CHUNK):
        for evaluation in evaluator.evaluate(archs[start : start + CHUNK]):
            if evaluation.error is not None:
                raise FidelityError(f"arch {evaluation.arch.key} has no estimate: {evaluation.error}")
            estimates.append(evaluation.values[metric])
        report(len(estimates), len(archs))
    return estimates
