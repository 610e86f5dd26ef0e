"""Silence for compilers: they warn about their own code, and problems are exceptions."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LOGGERS = ("torch.export", "torch._inductor", "torch.utils._pytree", "torchao")


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings, and of the compilers' logs only errors."""
    before = {name: logging.getLogger(name).level for name in LOGGERS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in before.items():
                logging.getLogger(name).setLevel(level)
