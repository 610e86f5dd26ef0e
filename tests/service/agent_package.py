"""The agent's own distribution in an environment of its own: ONNX Runtime, NumPy, and nothing else."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

from packaging.requirements import Requirement

AGENT = Path(__file__).parents[2] / "agent"


def build_wheel(folder: Path) -> Path:
    """The wheel of ``agent/pyproject.toml``."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=AGENT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def needed_by(wheel: Path) -> set[str]:
    """The distributions that the wheel asks for, and those that they ask for."""
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        lines = archive.read(metadata).decode().splitlines()
    waiting = [line.partition(": ")[2] for line in lines if line.startswith("Requires-Dist: ")]
    found: set[str] = set()
    while waiting:
        requirement = Requirement(waiting.pop())
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if wanted and requirement.name not in found:
            found.add(requirement.name)
            waiting += importlib.metadata.requires(requirement.name) or []
    return found


def make_environment(folder: Path) -> Path:
    """An environment with the wheel and what it needs, taken from this one; its Python."""
    wheel = build_wheel(folder / "dist")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    for name in needed_by(wheel):
        distribution = importlib.metadata.distribution(name)
        tops = {Path(str(file)).parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
        for top in tops:
            target = site / top
            if not target.exists():
                target.symlink_to(Path(str(distribution.locate_file(top))))
    return folder / "venv" / "bin" / "python"
