"""The source of classes together with everything of ours that they refer to.

Names are resolved through the syntax tree of the module that defines them: a name that the
module defines is copied, a name that it imports from one of our packages is followed there,
and an import of torch or of the standard library is repeated.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import ModuleType

from nas.errors import ExportError

OURS = ("nas", "predictors", "searchspaces")
ALLOWED = frozenset({"torch", "safetensors"}) | sys.stdlib_module_names


@dataclass(frozen=True, slots=True, order=True)
class Import:
    """``import module [as bound]``, or ``from module import name [as bound]``."""

    module: str
    name: str | None
    bound: str

    @property
    def is_stdlib(self) -> bool:
        """Whether it belongs to the first group of imports."""
        return self.module.partition(".")[0] in sys.stdlib_module_names


@dataclass(slots=True)
class Closure:
    """Definitions in an order in which each comes after what it refers to, and their imports."""

    imports: set[Import] = field(default_factory=set)
    definitions: dict[str, str] = field(default_factory=dict)
    _origins: dict[str, str] = field(default_factory=dict)

    def add(self, module: str, name: str) -> None:
        """Copy the definition of ``module.name`` after those that it needs.

        Raises ExportError for a name of two definitions, and for an import of anything but
        torch and the standard library.
        """
        known = self._origins.setdefault(name, module)
        if known != module:
            raise ExportError(f"model.py cannot hold both {known}.{name} and {module}.{name}")
        if name in self.definitions:
            return
        source = _parsed(module)
        statement = source.statements[name]
        self.definitions[name] = ""  # ends recursion; put in its place below
        for used in _names(statement):
            if used in source.imports:
                self._add_import(source.imports[used])
            elif used in source.statements:
                self.add(module, used)
        del self.definitions[name]
        self.definitions[name] = source.text(statement)

    def _add_import(self, item: Import) -> None:
        package = item.module.partition(".")[0]
        if package in OURS and item.name is not None and item.name == item.bound:
            self.add(item.module, item.name)
        elif package in ALLOWED:
            self.imports.add(item)
        else:
            raise ExportError(f"model.py may import torch and the standard library only; got {item.module!r}")


def closure(classes: Iterable[type]) -> Closure:
    """The sources of these module-level classes of ours, duplicates ignored, and what they need.

    Raises ExportError for a class that is defined inside another definition, or not by us.
    """
    result = Closure()
    for cls in classes:
        module = cls.__module__
        if cls.__qualname__ != cls.__name__ or cls.__name__ not in _parsed(module).statements:
            raise ExportError(
                f"the source of {module}.{cls.__qualname__} is not that of a module-level class"
            )
        result.add(module, cls.__name__)
    return result


def render_imports(imports: Iterable[Import]) -> str:
    """Import lines sorted as isort does: standard library first, ``import`` before ``from``."""
    groups = []
    for is_stdlib in (True, False):
        lines = _import_lines([item for item in imports if item.is_stdlib is is_stdlib])
        if lines:
            groups.append("\n".join(lines))
    return "\n\n".join(groups)


def _import_lines(imports: Sequence[Import]) -> list[str]:
    plain = sorted(item for item in imports if item.name is None)
    lines = [
        f"import {i.module}" if i.bound == i.module.partition(".")[0] else f"import {i.module} as {i.bound}"
        for i in plain
    ]
    for module in sorted({item.module for item in imports if item.name is not None}):
        names = sorted(
            (
                i.name if i.name == i.bound else f"{i.name} as {i.bound}"
                for i in imports
                if i.module == module and i.name
            ),
            key=lambda text: (text[0].islower(), text.casefold()),
        )
        lines.append(f"from {module} import {', '.join(names)}")
    return lines


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A module's lines, its imports and its definitions by name."""

    lines: tuple[str, ...]
    imports: dict[str, Import]
    statements: dict[str, ast.stmt]

    def text(self, statement: ast.stmt) -> str:
        """The lines of a definition with its decorators and the comment directly above it."""
        decorators = getattr(statement, "decorator_list", [])
        first = min(node.lineno for node in [statement, *decorators]) - 1
        while first > 0 and self.lines[first - 1].startswith("#"):
            first -= 1
        return "\n".join(self.lines[first : statement.end_lineno])


@lru_cache(maxsize=256)
def _parsed(name: str) -> _Parsed:
    module = sys.modules.get(name)
    try:
        if not isinstance(module, ModuleType):
            raise OSError(f"module {name} is not loaded")
        text = inspect.getsource(module)
    except OSError as error:
        raise ExportError(f"the source of {name} cannot be read: {error}") from error
    imports: dict[str, Import] = {}
    statements: dict[str, ast.stmt] = {}
    for statement in ast.parse(text).body:
        match statement:
            case ast.Import():
                imports.update({i.bound: i for i in map(_plain_import, statement.names)})
            case ast.ImportFrom(module=str(origin)):
                for alias in statement.names:
                    bound = alias.asname or alias.name
                    imports[bound] = Import(origin, alias.name, bound)
            case ast.FunctionDef() | ast.ClassDef():
                statements[statement.name] = statement
            case ast.Assign(targets=[ast.Name(id=target)]) | ast.AnnAssign(target=ast.Name(id=target)):
                statements[target] = statement
            case _:
                pass
    return _Parsed(tuple(text.splitlines()), imports, statements)


def _plain_import(alias: ast.alias) -> Import:
    return Import(alias.name, None, alias.asname or alias.name.partition(".")[0])


def _names(statement: ast.stmt) -> list[str]:
    """Names that the statement reads, in the order of first appearance."""
    names = [
        node for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    ]
    names.sort(key=lambda node: (node.lineno, node.col_offset))
    return list(dict.fromkeys(node.id for node in names))
