"""Peak memory of a run, measured in a process of its own. Linux only; elsewhere it is not measured.

A fresh process loads the network once and runs it, so that library and caches are warm, drops it and
gives free pages back. What its resident memory then grows by at most until the network has been loaded
again and has run is the network's own: weights, activations and what the runtime works with. Memory
that is needed only while loading (an export, a compilation) is not counted: the kernel's high-water
mark is set back between loading and running.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import pickle
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeAlias

from predictors.device import ACCELERATORS, Device
from predictors.errors import InvalidValueError, UnsupportedModelError
from predictors.runtimes.runtime import Session

Open: TypeAlias = Callable[[], AbstractContextManager[Session]]

PROCESS = Path("/proc/self")
RESET_PEAK = "5"  # proc_pid_clear_refs(5): the high-water mark becomes the present size
KIB = 1024
RUNS = 3
TIMEOUT_S = 300.0


def is_measurable(device: Device) -> bool:
    """Whether peak memory can be measured here on a device of this machine."""
    return device.runtime not in ACCELERATORS and os.access(PROCESS / "clear_refs", os.W_OK)


def run_peak_memory_bytes(open_network: Open, *, timeout_s: float = TIMEOUT_S) -> int:
    """Peak memory of a network, which ``open_network``, pickled into the new process, makes a session of.

    Raises UnsupportedModelError, with the reason, when that process dies (out of memory), hangs, or sees
    no growth: memory is counted in pages, so that the smallest networks may not show.
    """
    if timeout_s <= 0:
        raise InvalidValueError(f"timeout_s must be greater than 0; got {timeout_s}")
    context = multiprocessing.get_context("spawn")  # a forked process would begin with this one's memory
    receiver, sender = context.Pipe(duplex=False)
    # plain pickle, unlike multiprocessing's own, copies tensors: nothing is shared with this process
    process = context.Process(target=_measure, args=(pickle.dumps(open_network), sender), daemon=True)
    process.start()
    sender.close()
    try:
        answer = receiver.recv() if receiver.poll(timeout_s) else "took too long"
    except EOFError:
        process.join()
        answer = f"its process ended with exit code {process.exitcode}"
    finally:
        process.kill()
        process.join()
        receiver.close()
    if not isinstance(answer, int):
        raise UnsupportedModelError(f"peak memory: {answer}")
    return answer


def _measure(pickled: bytes, sender: Connection) -> None:
    """In the new process: send the peak in bytes, or what went wrong."""
    open_network: Open = pickle.loads(pickled)  # made by run_peak_memory_bytes, never by anybody else
    try:
        with open_network() as session:
            session.run()
        del session
        _give_back()
        before = _status("VmRSS")
        with open_network() as session:
            _give_back()
            (PROCESS / "clear_refs").write_text(RESET_PEAK)
            for _ in range(RUNS):
                session.run()
            grown = _status("VmHWM") - before
    except (UnsupportedModelError, OSError) as error:
        sender.send(str(error))
        return
    sender.send(grown if grown > 0 else "no growth was seen")


def _give_back() -> None:
    """Return free memory to the system, where the C library can."""
    gc.collect()
    with suppress(AttributeError, OSError):  # malloc_trim is glibc's
        ctypes.CDLL(None).malloc_trim(0)


def _status(field: str) -> int:
    """A field of /proc/self/status in bytes."""
    match = re.search(rf"^{field}:\s*(\d+) kB$", (PROCESS / "status").read_text(), re.MULTILINE)
    if match is None:
        raise OSError(f"{PROCESS / 'status'} has no {field}")
    return int(match[1]) * KIB
