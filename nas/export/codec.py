"""Frozen dataclasses out of parsed JSON, with every value checked against its annotation."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def decode(cls: type[T], data: object) -> T:
    """An instance of the dataclass ``cls``, the inverse of ``asdict`` and JSON.

    Annotations may hold int, float, str, bool, None, dataclasses, unions of these,
    ``tuple[X, ...]`` and ``Mapping[str, X]``. Unknown keys are ignored, so that older readers
    accept newer additions. Raises ValueError that names the field, the value and what is allowed.
    """
    result: T = _decode(cls, data, "")
    return result


def _decode(annotation: Any, data: object, path: str) -> Any:
    if is_dataclass(annotation) and isinstance(annotation, type):
        return _dataclass(annotation, data, path)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _union(arguments, data, path)
    if origin is tuple:
        if not isinstance(data, list):
            raise _wrong(path, "an array", data)
        return tuple(_decode(arguments[0], item, f"{path}[{i}]") for i, item in enumerate(data))
    if origin is Mapping:
        if not isinstance(data, dict):
            raise _wrong(path, "an object", data)
        return {key: _decode(arguments[1], item, f"{path}.{key}") for key, item in data.items()}
    return _scalar(annotation, data, path)


def _dataclass(cls: type[Any], data: object, path: str) -> Any:
    if not isinstance(data, dict):
        raise _wrong(path, "an object", data)
    hints, values = get_type_hints(cls), {}
    for field in fields(cls):
        name = f"{path}.{field.name}" if path else field.name
        if field.name in data:
            values[field.name] = _decode(hints[field.name], data[field.name], name)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{name} is missing")
    return cls(**values)


def _union(options: tuple[Any, ...], data: object, path: str) -> Any:
    if data is None and type(None) in options:
        return None
    problems = []
    for option in options:
        if option is not type(None):
            try:
                return _decode(option, data, path)
            except ValueError as error:
                problems.append(error)
    raise problems[0] if len(problems) == 1 else _wrong(path, "one of several types", data)


def _scalar(kind: Any, data: object, path: str) -> Any:
    if kind is float and isinstance(data, int | float) and not isinstance(data, bool):
        if abs(data) <= sys.float_info.max:  # false for NaN
            return float(data)
    elif type(data) is kind:  # not isinstance: True is an int in Python, not in JSON
        return data
    raise _wrong(path, "a finite number" if kind is float else getattr(kind, "__name__", str(kind)), data)


def _wrong(path: str, allowed: str, data: object) -> ValueError:
    return ValueError(f"{path or 'document'} must be {allowed}; got {data!r:.80}")
