"""Networks that need memory, for processes of their own: importing this loads no torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np

from predictors.errors import UnsupportedModelError
from predictors.runtimes.runtime import Images

MB = 2**20


@dataclass
class Hungry:
    """A network that holds ``held`` bytes and takes ``used`` more while it runs."""

    held: int
    used: int
    runs: int = 0

    def __post_init__(self) -> None:
        self.weights = np.ones(self.held, np.uint8)

    def run(self) -> None:
        self.runs += 1
        np.ones(self.used, np.uint8).sum()

    def outputs(self, images: Images) -> Images:
        return images


@contextmanager
def hungry(held: int, used: int) -> Iterator[Hungry]:
    np.ones(64 * MB, np.uint8).sum()  # what is needed for loading alone does not count
    yield Hungry(held, used)


def dying() -> AbstractContextManager[Hungry]:
    os._exit(7)


def refusing() -> AbstractContextManager[Hungry]:
    raise UnsupportedModelError("no kernel for it")
