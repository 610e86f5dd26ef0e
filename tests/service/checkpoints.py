"""An untrained tiny checkpoint of digits with all that belongs to one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from nas.data.load import load_data
from nas.evaluate.accuracy import calibration_images
from nas.fidelity.alone import FILE
from nas.fidelity.runs import StandaloneRun, StandaloneRuns
from nas.supernet.calibration import save_calibration
from nas.supernet.checkpoint import save_supernet
from nas.supernet.supernet import Supernet
from predictors.accuracy.effects import ChoiceEffects
from predictors.accuracy.predictor import AccuracyPredictor
from service.jobs.inputs import SPLIT_SEED
from tests.contracts.predictor import sample_archs
from tests.service.conftest import SPACE
from tests.service.fake_runner import toy_report


def write_checkpoint_folder(folder: Path, *, seed: int = 0) -> str:
    """Weights, calibration images, report, predictor, effects, runs alone; returns the weights' digest."""
    torch.manual_seed(seed)
    data = load_data("digits", seed=SPLIT_SEED)
    supernet = Supernet(SPACE, n_classes=10, in_channels=1)
    info = {"data": "digits", "data_digest": data.digest, "classes": list(data.classes), "seed": 0}
    digest = save_supernet(folder, supernet, info=info, dtype=torch.float16)
    save_calibration(folder, calibration_images(data.train, seed=0))
    (folder / "fidelity.json").write_text(replace(toy_report("x"), space=SPACE.id).to_json())
    archs = sample_archs(SPACE, 30)
    predictor = AccuracyPredictor(SPACE, supernet=digest)
    depth = np.array([len(SPACE.decode(arch).layers) for arch in archs])
    predictor.fit(archs, 0.5 + 0.4 * depth / depth.max() - 0.2)
    predictor.save(folder / "accuracy")
    alone = (StandaloneRun(arch.key, arch.genes, 0.7, 1.0, 1, 1, 1) for arch in archs[:5])
    StandaloneRuns(SPACE.id, {"epochs": 1, "train_images": 100}, tuple(alone)).save(folder / FILE)
    weights = np.random.default_rng(0).normal(size=SPACE.encode(archs[:1]).shape[1])
    ChoiceEffects(SPACE, digest, weights, 100, 64).save(folder)
    return digest
