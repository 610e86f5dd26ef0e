"""Two packages of hybrid-tiny that hold every operator, stitch pair and resolution between them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nas.export.manifest import Accuracy, Lineage, Manifest, PackageFacts
from nas.export.package import export_subnet
from nas.supernet.supernet import Supernet
from searchspaces.registry import get_space
from searchspaces.space import Arch, SearchSpace

SPACE = get_space("hybrid-tiny")
STATISTICS = {1: ([0.3], [0.5]), 3: ([0.4, 0.5, 0.6], [0.2, 0.25, 0.3])}


def arch_of(
    operators: Sequence[str], depths: Sequence[int], resolution: int, directions: Sequence[int]
) -> Arch:
    """The arch with these operators by block and directions by state-space block, all else in the middle."""
    wanted: dict[str, object] = {"resolution": resolution}
    wanted |= {f"s{s}.depth": depth for s, depth in enumerate(depths)}
    blocks = [f"s{s}.b{b}" for s, depth in enumerate(depths) for b in range(depth)]
    wanted |= {f"{block}.operator": name for block, name in zip(blocks, operators, strict=True)}
    scanned = [block for block, name in zip(blocks, operators, strict=True) if name == "ssm"]
    wanted |= {f"{block}.directions": k for block, k in zip(scanned, directions, strict=True)}
    genes = [
        choice.values.index(wanted[choice.name]) if choice.name in wanted else len(choice.values) // 2
        for choice in SPACE.choices
    ]
    return SPACE.arch(genes)


# conv > attention > ssm > conv > ssm > attention > conv: the six stitches; nine blocks
DEEP = arch_of(
    ["mbconv", "attention", "ssm", "convnext", "ssm", "attention", "mbconv", "convnext", "ssm"],
    (2, 2, 3, 2),
    resolution=12,
    directions=(4, 1, 2),
)
SHALLOW = arch_of(["ssm", "convnext", "attention", "mbconv"], (1, 1, 1, 1), resolution=8, directions=(2,))


def make_supernet(in_channels: int, *, space: SearchSpace = SPACE) -> Supernet:
    """A supernet in which no tensor has the value that its constructor gave it."""
    generator = torch.Generator().manual_seed(in_channels)
    torch.manual_seed(0)
    mean, std = STATISTICS[in_channels]
    supernet = Supernet(space, n_classes=5, in_channels=in_channels, mean=mean, std=std)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.add_(0.05 * torch.rand(parameter.shape, generator=generator))
    return supernet.eval()


def images(in_channels: int, n: int, seed: int = 3) -> Tensor:
    """Random images of another size than the subnets take."""
    return torch.rand(n, in_channels, 10, 10, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True, slots=True)
class Exported:
    """A package, where it came from, and the arguments to export it again."""

    supernet: Supernet
    arch: Arch
    calibration: list[Tensor]
    folder: Path
    manifest: Manifest


FACTS = PackageFacts(
    val=Accuracy(0.99, 300),
    test=Accuracy(0.97, 360),
    lineage=Lineage(supernet="digits-tiny", data="digits", study="study-1", trial=17, seed=4),
)


def export(in_channels: int, arch: Arch, folder: Path) -> Exported:
    supernet, calibration = make_supernet(in_channels), [images(in_channels, 16)]
    samples = images(in_channels, 20, seed=5).contiguous(memory_format=torch.channels_last)
    classes = ("zero", "one", "two|", "drei `ß`", "four")
    manifest = export_subnet(
        supernet, arch, folder, calibration=calibration, samples=samples, classes=classes, facts=FACTS
    )
    return Exported(supernet, arch, calibration, folder, manifest)


@pytest.fixture(scope="session")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(1, DEEP, tmp_path_factory.mktemp("export") / "deep")


@pytest.fixture(scope="session")
def shallow(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(3, SHALLOW, tmp_path_factory.mktemp("export") / "shallow")


@pytest.fixture
def copied(shallow: Exported, tmp_path: Path) -> Path:
    """A copy of the shallow package, to be damaged."""
    return Path(shutil.copytree(shallow.folder, tmp_path / "copied"))
