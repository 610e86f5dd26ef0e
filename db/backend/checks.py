"""Input checks made before anything reaches SQL, so that bad input never half-writes."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from db.errors import InvalidRecordError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
DIGEST = re.compile(r"[0-9a-f]{64}")
MAX_LIMIT = 1000
MAX_TEXT = 1_000_000  # characters of one text field
MAX_INTEGER = 2**63 - 1


def to_json(value: Any) -> str:
    """JSON text with sorted keys; NaN and infinity raise ValueError."""
    return json.dumps(value, allow_nan=False, sort_keys=True, separators=(",", ":"))


def from_json(text: str) -> Any:
    """The value of ``to_json``'s text."""
    return json.loads(text)


def json_digest(value: Any) -> str:
    """SHA-256 (64 hex digits) of ``to_json``: equal requests have equal digests."""
    return hashlib.sha256(to_json(value).encode()).hexdigest()


def check_name(field: str, name: str) -> str:
    """The name, if it may become part of URLs and folders."""
    if not NAME.fullmatch(name):
        raise InvalidRecordError(
            f"{field} must be 1 to 100 of A-Z a-z 0-9 . _ - and start with a letter or digit; got {name!r}"
        )
    return name


def check_text(field: str, text: str) -> str:
    """The text, if every database can hold it: valid Unicode without NUL, at most a million characters."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRecordError(f"{field} must be valid Unicode; {error.reason}") from error
    if "\0" in text or len(text) > MAX_TEXT:
        raise InvalidRecordError(f"{field} must hold no NUL and at most {MAX_TEXT} characters")
    return text


def clean_text(text: str) -> str:
    """A message in a form that every database holds: NUL and lone surrogates escaped, the middle of a
    longer one than ``MAX_TEXT`` left out. For reports of failures, which must not fail themselves.
    """
    text = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    if len(text) <= MAX_TEXT:
        return text
    half = MAX_TEXT // 2 - 10
    return f"{text[:half]} [...] {text[-half:]}"


def check_json(field: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """A plain copy of a JSON object that every database can hold.

    Raises InvalidRecordError for NaN, infinity and values that are no JSON. Tuples become lists and
    keys become text, as in JSON.
    """
    try:
        text = to_json(dict(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRecordError(f"{field} must be a JSON object with finite numbers; {error}") from error
    copy: dict[str, Any] = from_json(text)
    return copy


def check_finite(field: str, value: float) -> float:
    """The number as a float, if it is finite."""
    number = float(value)
    if not math.isfinite(number):
        raise InvalidRecordError(f"{field} must be a finite number; got {value!r}")
    return number


def check_positive(field: str, value: float) -> float:
    """The number as a float, if it is finite and greater than 0."""
    if check_finite(field, value) <= 0.0:
        raise InvalidRecordError(f"{field} must be greater than 0; got {value!r}")
    return float(value)


def check_integer(field: str, value: int, minimum: int = 0, maximum: int = MAX_INTEGER) -> int:
    """The integer, if it lies within the bounds (both included)."""
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise InvalidRecordError(f"{field} must be an integer in {minimum}..{maximum}; got {value!r}")
    return value


def check_limit(limit: int) -> int:
    """A page size in 1..1000."""
    return check_integer("limit", limit, 1, MAX_LIMIT)


def check_times(field: str, times: Sequence[float]) -> list[float]:
    """Raw times in ms as a list, if there are any and all are finite and not negative."""
    numbers = [check_finite(field, time) for time in times]
    if not numbers or min(numbers) < 0.0:
        raise InvalidRecordError(f"{field} must hold at least one time, none negative; got {numbers}")
    return numbers


def check_digest(field: str, digest: str) -> str:
    """The digest, if it is a SHA-256 in 64 lower-case hex digits."""
    if not DIGEST.fullmatch(digest):
        raise InvalidRecordError(f"{field} must be 64 lower-case hex digits; got {digest!r}")
    return digest
