"""model.py: complete, minimal, the same each time, and free of our packages."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.blocks.plain import plain_call
from nas.errors import ExportError
from nas.export.codegen import model_source
from nas.export.formats import FORMATS
from nas.export.source import closure
from nas.supernet.extract import ExtractedSubnet, extract_subnet, fold
from predictors.device import Device
from tests.nas.export.conftest import DEEP, SPACE, Exported, make_supernet

HERMETIC = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"nas", "predictors", "searchspaces", "db", "service", "onnx"}:
            raise ImportError(f"{name} is hidden")
sys.meta_path.insert(0, Hidden())
import importlib.util
spec = importlib.util.spec_from_file_location("model", sys.argv[1] + "/model.py")
model = importlib.util.module_from_spec(spec)
spec.loader.exec_module(model)
import torch
from safetensors.torch import load_file, save_file
torch.set_num_threads(1)
images = load_file(sys.argv[2] + "/images.safetensors")["images"]
with torch.inference_mode():
    logits = model.load()(images)
save_file({"logits": logits}, sys.argv[2] + "/logits.safetensors")
"""


def test_runs_without_us_and_equals(deep: Exported, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    x = torch.rand(3, 1, 12, 12, generator=torch.Generator().manual_seed(8))
    save_file({"images": x}, tmp_path / "images.safetensors")
    command = [sys.executable, "-I", "-B", "-c", HERMETIC, str(deep.folder), str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    torch.testing.assert_close(
        load_file(tmp_path / "logits.safetensors")["logits"],
        FORMATS["torch"].open(deep.folder)(x),
        atol=1e-5,
        rtol=0,
    )


def test_imports_only_torch_safetensors_and_the_standard_library(deep: Exported) -> None:
    tree = ast.parse((deep.folder / "model.py").read_text())
    packages = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            packages |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            packages.add((node.module or "").partition(".")[0])
    assert packages - sys.stdlib_module_names == {"torch", "safetensors"}


def test_is_tidy(deep: Exported) -> None:
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", "E,F,W,I,UP,B"]
    target = ["--line-length", "110", "--target-version", "py311", str(deep.folder / "model.py")]
    done = subprocess.run([*command, *target], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_holds_only_what_its_layers_need() -> None:
    names = {"mbconv": "MBConv", "convnext": "ConvNeXt", "attention": "Attention", "ssm": "SSM"}
    for seed in range(4):
        spec = SPACE.decode(SPACE.sample(np.random.default_rng(seed)))
        source = _source(fold(extract_subnet(make_supernet(1), spec)))
        kinds = {block.kind for block in spec.blocks}
        for kind, name in names.items():
            assert (f"class {name}(" in source) is (kind in kinds)
        assert ("def segment_decay(" in source) is ("ssm" in kinds)
        assert ("import math" in source) is ("ssm" in kinds)
        assert "Elastic" not in source


def test_is_the_same_each_time_and_has_the_networks_keys(deep: Exported) -> None:
    network = fold(extract_subnet(make_supernet(1), SPACE.decode(DEEP)))
    source = _source(network)
    assert source == _source(network) == (deep.folder / "model.py").read_text()
    namespace: dict[str, object] = {"__file__": str(deep.folder / "model.py"), "__name__": "m"}
    exec(source, namespace)
    model = namespace["Model"]()  # type: ignore[operator]
    assert {k: v.shape for k, v in model.state_dict().items()} == {
        k: v.shape for k, v in network.state_dict().items()
    }


def _source(network: ExtractedSubnet) -> str:
    return model_source(network, channels=1, n_classes=5)


SCALE = 2.0
# says what the scale is for
SHIFT: float = SCALE + 1.0


def scaled(x: Tensor) -> Tensor:
    return x * SCALE + SHIFT


class Recursive(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return scaled(x) if self.training else Recursive.forward(self, x)


class UsesNumpy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * float(np.pi)


class UsesOurs(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * len(Device.__name__)


def test_constants_and_functions_come_before_their_users() -> None:
    parts = closure([Recursive, Recursive])
    assert list(parts.definitions) == ["SCALE", "SHIFT", "scaled", "Recursive"]
    assert parts.definitions["SHIFT"] == "# says what the scale is for\nSHIFT: float = SCALE + 1.0"
    assert {item.bound for item in parts.imports} == {"Tensor", "nn"}


def test_our_own_imports_are_followed() -> None:
    parts = closure([UsesOurs])
    assert "class Device:" in parts.definitions["Device"]
    assert parts.definitions["Device"].startswith("@dataclass(frozen=True")
    assert list(parts.definitions) == ["ACCELERATORS", "Device", "UsesOurs"]


def test_what_cannot_stand_alone_is_refused() -> None:
    class Local(nn.Module):
        pass

    with pytest.raises(ExportError, match="numpy"):
        closure([UsesNumpy])
    with pytest.raises(ExportError, match="Local"):
        closure([Local])
    with pytest.raises(ExportError, match="'numpy'"):
        _source(ExtractedSubnet(8, [("00_stem", plain_call(UsesNumpy))]))


def test_two_definitions_of_one_name_are_refused() -> None:
    parts = closure([Recursive])
    with pytest.raises(ExportError, match="cannot hold both"):
        parts.add("nas.blocks.head", "Recursive")
