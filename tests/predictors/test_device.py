from __future__ import annotations

import pytest

from predictors.device import processor_name

X86 = "processor\t: 0\nmodel\t\t: 1\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\nmodel name\t: AMD EPYC\n"
BOARD = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd
CPU implementer\t: 0x41
CPU part\t: 0xd0b

Revision\t: c04170
Model\t\t: Raspberry Pi 5 Model B Rev 1.0
"""
NAMELESS = "processor\t: 0\nCPU part\t: 0xd0b\n"


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [(X86, "AMD EPYC"), (BOARD, "Raspberry Pi 5 Model B Rev 1.0"), (NAMELESS, None), ("", None)],
)
def test_the_processor_or_the_board_has_a_name(cpuinfo: str, name: str | None) -> None:
    assert processor_name(cpuinfo) == name
