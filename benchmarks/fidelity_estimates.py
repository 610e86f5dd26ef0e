"""The estimates whose ranking benchmarks/rank_fidelity.py checks, by the names of its ``--metric``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from nas.data.types import ImageData, Split
from nas.errors import FidelityError
from nas.evaluate.accuracy import calibration_images
from nas.evaluate.evaluator import Evaluator
from nas.evaluate.layer_probe import LayerProbeEvaluator
from nas.evaluate.likelihood import LikelihoodEvaluator
from nas.evaluate.predicted import PredictedAccuracyEvaluator
from nas.evaluate.probe import ProbeEvaluator
from nas.fidelity.alone import FILE, Alone, alone_in, predictor_of_runs
from nas.fidelity.check import check_ranking
from nas.fidelity.measure import agreement
from nas.fidelity.report import FidelityReport
from nas.fidelity.truth import Truth
from nas.supernet.supernet import Supernet
from predictors.accuracy.predictor import ACCURACY_FOLDER, AccuracyPredictor
from searchspaces.space import SearchSpace

PREDICTED = "predicted_top1"  # of the accuracy predictor that a checkpoint carries
STANDALONE = "standalone_top1"  # predicted too, from other subnets trained alone that it carries
PREDICTIONS = (PREDICTED, STANDALONE)
PROBES = (*ProbeEvaluator.metrics, *LayerProbeEvaluator.metrics)
METRICS = (*PREDICTIONS, *LikelihoodEvaluator.metrics, *PROBES)
METRIC = {"nats-size": "layer_probe", "nasbench201": "layer_probe", "hybrid": "probe"}
PROBED = 2000  # training images that probes are fitted on


def default_metric(arguments: argparse.Namespace) -> str:
    """Of the space; what a checkpoint with subnets trained alone predicts of others for ``hybrid``."""
    carried = arguments.checkpoint is not None and (checkpoint_folder(arguments.checkpoint) / FILE).exists()
    return STANDALONE if carried and arguments.space == "hybrid" else METRIC[arguments.space]


def checkpoint_folder(path: Path) -> Path:
    """The folder of a checkpoint that is named by itself or by one of its files."""
    return path if path.is_dir() else path.parent


def require_other_subnets(checkpoint: Path, truth: Truth, space: SearchSpace) -> None:
    """Raise FidelityError if a subnet of the truth is among those that the checkpoint carries."""
    found = standalone(checkpoint, space)
    shared = {run.arch for run in found.runs.runs} & {arch.key for arch in truth.archs}
    if shared:
        raise FidelityError(
            f"{len(shared)} subnets of the truth are among those that {STANDALONE} is predicted from, "
            f"such as {min(shared)}; give others with --truth, or another --metric"
        )


def standalone(checkpoint: Path, space: SearchSpace) -> Alone:
    """What the checkpoint knows of training alone. Raises FidelityError if that is nothing."""
    found = alone_in(checkpoint_folder(checkpoint), space)
    if found is None:
        raise FidelityError(f"{checkpoint}: holds no {FILE}, which --metric {STANDALONE} needs")
    return found


def estimate(
    supernet: Supernet,
    data: ImageData,
    truth: Truth,
    arguments: argparse.Namespace,
    progress: Callable[[int, int], None],
) -> FidelityReport:
    """The report on the truth's subnets, from random validation images."""
    rng = np.random.default_rng([arguments.seed, 10])
    chosen = rng.permutation(len(data.val))[: arguments.images]
    split = Split(data.val.images[chosen], data.val.labels[chosen])
    predicted = arguments.metric in (PREDICTED, STANDALONE)
    report = check_ranking(
        evaluator(supernet, data, split, arguments),
        truth,
        supernet.space,
        supernet=str(arguments.checkpoint or f"trained for {arguments.train:g} minutes"),
        metric="top1" if predicted else arguments.metric,
        smooth=arguments.smooth,
        in_channels=data.in_channels,
        n_classes=data.n_classes,
        seed=arguments.seed,
        report=progress,
    )
    if arguments.metric == STANDALONE:
        report = with_runs_alone(report, truth, supernet.space, arguments.checkpoint)
    return replace(report, metric=arguments.metric) if predicted else report


def with_runs_alone(
    report: FidelityReport, truth: Truth, space: SearchSpace, checkpoint: Path
) -> FidelityReport:
    """One more proxy: a law fitted to the checkpoint's runs, which has not seen the supernet."""
    law = predictor_of_runs(standalone(checkpoint, space).runs, space).predict(truth.archs).mean
    found = agreement(law, np.array(truth.top1))
    return replace(report, proxies={**report.proxies, "runs_without_supernet": found})


def evaluator(supernet: Supernet, data: ImageData, split: Split, arguments: argparse.Namespace) -> Evaluator:
    """What gives the metric that is asked for."""
    if arguments.metric == PREDICTED:
        folder = checkpoint_folder(arguments.checkpoint) / ACCURACY_FOLDER
        return PredictedAccuracyEvaluator(AccuracyPredictor.load(folder, supernet.space))
    if arguments.metric == STANDALONE:
        return PredictedAccuracyEvaluator(standalone(arguments.checkpoint, supernet.space).predictor)
    calibration = calibration_images(data.train, seed=arguments.seed)
    if arguments.metric in LikelihoodEvaluator.metrics:
        return LikelihoodEvaluator(supernet, split, calibration)
    probed = random_images(data, PROBED).train
    if arguments.metric in LayerProbeEvaluator.metrics:
        return LayerProbeEvaluator(supernet, probed, split, calibration, seed=arguments.seed)
    return ProbeEvaluator(supernet, probed, split, calibration, seed=arguments.seed)


def random_images(data: ImageData, images: int) -> ImageData:
    """The same data with random ``images`` of the training images."""
    chosen = np.random.default_rng([0, 11]).permutation(len(data.train))[:images]
    return replace(data, train=Split(data.train.images[chosen], data.train.labels[chosen]))
