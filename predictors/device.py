"""Device: hardware + runtime + version + threads + precision + batch, fingerprinted."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

ACCELERATORS = frozenset({"cuda", "cuda-graph"})  # runtimes whose work is not done by this process


@dataclass(frozen=True, slots=True)
class Device:
    """One way of running networks on one machine. Samples of two fingerprints never enter one fit."""

    name: str  # "myhost-onnxruntime", unique in a database
    hardware: str  # "AMD EPYC, x86_64, 2 cores"
    runtime: str  # a name in predictors.runtimes.registry
    runtime_version: str
    threads: int = 1
    precision: str = "fp32"
    batch_size: int = 1

    @property
    def clock(self) -> Literal["cpu", "wall"]:
        """Which times are its latencies: CPU time of the process if one thread of it does all the work."""
        return "cpu" if self.threads == 1 and self.runtime not in ACCELERATORS else "wall"

    @property
    def fingerprint(self) -> str:
        """16 hex digits of SHA-256 over everything but the name."""
        fields = {key: value for key, value in asdict(self).items() if key != "name"}
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


@lru_cache(maxsize=1)
def hardware() -> str:
    """Processor, architecture and core count, the same after a restart."""
    return f"{_processor()}, {platform.machine()}, {_cores()} cores"


def local_name(runtime: str) -> str:
    """Name of this machine as a device of ``runtime``: ``HOST-RUNTIME`` in URL-safe characters."""
    host = re.sub(r"[^A-Za-z0-9]+", "-", platform.node()).strip("-") or "local"
    return f"{host}-{runtime}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = processor_name(info.read_text()) if info.exists() else None
    return found or platform.processor() or "unknown processor"


def processor_name(cpuinfo: str) -> str | None:
    """The processor in the text of ``/proc/cpuinfo``; on ARM, where it has no name there, the board."""
    for field in ("model name", "Model"):
        match = re.search(rf"^{field}\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
        if match:
            return match[1].strip()
    return None


def _cores() -> int:
    return os.cpu_count() or 1
