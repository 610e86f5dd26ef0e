"""Identifiers that sort by the time they were made."""

from __future__ import annotations

import secrets
import time

RANDOM_BITS = 74


def new_id() -> str:
    """32 hex digits in the layout of UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then random bits.

    Ids of one millisecond are in no particular order. The clock only orders listings; no
    decision rests on it.
    """
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(RANDOM_BITS)
    high, low = random >> 62, random & ((1 << 62) - 1)
    return f"{(milliseconds << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low:032x}"
