from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from nas.data.load import load_data
from nas.errors import CheckpointError
from nas.evaluate.accuracy import calibration_images
from nas.supernet.calibration import load_calibration, save_calibration
from nas.supernet.checkpoint import FORMAT, write_checkpoint


def test_images_come_back_bit_for_bit_in_the_same_batches(tmp_path: Path) -> None:
    batches = calibration_images(load_data("digits").train, n=200)
    save_calibration(tmp_path, batches)
    found = load_calibration(tmp_path)
    assert [len(batch) for batch in found] == [128, 72]
    for one, other in zip(found, batches, strict=True):
        assert torch.equal(one, other)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 200 * 64 + 1000


def test_missing_damaged_and_foreign_files_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=re.escape(str(tmp_path / "calibration.json"))):
        load_calibration(tmp_path)
    header = {"format": FORMAT, "batch_size": 2}
    write_checkpoint(tmp_path, "calibration", {"images": torch.zeros(3, 1, 8, 8)}, header)
    with pytest.raises(CheckpointError, match="must hold uint8 images"):
        load_calibration(tmp_path)
    save_calibration(tmp_path, [torch.zeros(3, 1, 8, 8)])
    text = json.loads((tmp_path / "calibration.json").read_text())
    (tmp_path / "calibration.json").write_text(json.dumps({**text, "batch_size": 0}))
    with pytest.raises(CheckpointError, match="batch_size must be a positive integer; got 0"):
        load_calibration(tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-1])
    (tmp_path / "calibration.json").write_text(json.dumps(text))
    with pytest.raises(CheckpointError, match=f"{re.escape(file.name)}: damaged"):
        load_calibration(tmp_path)
