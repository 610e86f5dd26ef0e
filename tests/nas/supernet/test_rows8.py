from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nas.errors import CheckpointError
from nas.supernet.checkpoint import load_supernet, read_checkpoint, save_supernet, write_checkpoint
from nas.supernet.rows8 import MIN_SIZE, SCALE, pack, unpack
from tests.nas.supernet.test_supernet import randomised_supernet


def test_every_row_is_rounded_by_at_most_half_its_step() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(64, 16, 3, 3, generator=generator) * torch.logspace(-6, 3, 64)[:, None, None, None]
    weight[5] = 0
    packed = pack({"w": weight})
    assert packed["w"].dtype == torch.int8
    error = (unpack(packed)["w"] - weight).flatten(1).abs().amax(1)
    assert (error <= weight.flatten(1).abs().amax(1) / 127 * 0.5001).all()
    assert (unpack(packed)["w"][5] == 0).all()


def test_small_tensors_vectors_and_counters_are_not_rounded_to_eight_bits() -> None:
    tensors = {
        "small": torch.ones(8, MIN_SIZE // 8 - 1),
        "vector": torch.ones(2 * MIN_SIZE),
        "count": torch.tensor(3),
    }
    packed = pack(tensors)
    assert [packed[name].dtype for name in tensors] == [torch.float16, torch.float16, torch.int64]
    assert set(unpack(packed)) == set(tensors)


def test_a_checkpoint_in_eight_bits_is_smaller_and_nearly_the_same(tmp_path: Path) -> None:
    supernet = randomised_supernet()
    sizes = {}
    for dtype in (torch.float16, torch.int8):
        folder = tmp_path / str(dtype)
        save_supernet(folder, supernet, info={}, dtype=dtype)
        sizes[dtype] = sum(file.stat().st_size for file in folder.iterdir())
    assert sizes[torch.int8] < 0.85 * sizes[torch.float16]
    loaded = load_supernet(tmp_path / "torch.int8").state_dict()
    for name, tensor in supernet.state_dict().items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.allclose(loaded[name], tensor, atol=0.005 * float(tensor.abs().max()), rtol=1e-2)


def test_values_and_scales_that_cannot_be_are_refused(tmp_path: Path) -> None:
    supernet = randomised_supernet()
    save_supernet(tmp_path, supernet, info={}, dtype=torch.int8)
    tensors, header = read_checkpoint(tmp_path, "supernet")
    name = next(key for key in tensors if key.endswith(SCALE))
    write_checkpoint(tmp_path, "supernet", {**tensors, name: tensors[name][:-1]}, header)
    with pytest.raises(CheckpointError, match=f"{name.removesuffix(SCALE)}: scales .* do not fit"):
        load_supernet(tmp_path)
    with torch.no_grad():
        next(iter(supernet.parameters())).fill_(1e9)
    with pytest.raises(CheckpointError, match="too large"):
        save_supernet(tmp_path, supernet, info={}, dtype=torch.float16)
