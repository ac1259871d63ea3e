"""The digest of code: what a result was made with, so that changed code never reads an old result.

A version number would have to be raised by hand, and is forgotten; so the code itself is read. Comments, docstrings and
layout do not count, but everything else does, also in what a module imports from this package: a harmless change makes
some stages anew, and no harmful one goes unseen. Settings are no part of it; they stand among a stage's inputs.
"""

import ast
import functools
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import CodeType

PACKAGE = __name__.partition(".")[0]
_ROOT = Path(__file__).parents[2]
# values of settings are inputs of a stage, and so are the decisions; files and stages are where results lie
_LEFT_OUT = (
    "config",
    "teaching",
    *(f"runtime.{f}" for f in ("code", "decisions", "files", "processes", "saved", "stage", "stopping")),
)


@functools.cache
def code_digest(modules: tuple[str, ...]) -> str:
    """A short hash of the modules' syntax trees and of those that they import from this package, directly or not."""
    seen: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in seen or name.startswith(tuple(f"{PACKAGE}.{part}" for part in _LEFT_OUT)):
            continue
        seen[name], imported = _read(name)
        waiting += imported
    return _short("".join(f"{name}\n{seen[name]}\n" for name in sorted(seen)))


@functools.cache
def _read(name: str) -> tuple[str, list[str]]:
    """A module's syntax tree as text, and what a module of this package imports from it; read once a process."""
    file = _file(name)
    tree = _plain(file.read_text(encoding="utf-8")) if file else ast.Module([], [])
    return _told(tree), _imports(tree) if name.startswith(PACKAGE) else []


def function_digest(function: Callable) -> str:
    """A short hash of one function's syntax tree, or of its instructions where it has no source."""
    try:
        return _short(_told(_plain(textwrap.dedent(inspect.getsource(function)))))
    except SyntaxError:  # a lambda: its line alone is no whole statement
        lines, _ = inspect.findsource(function)
        told = _lambdas("".join(lines)).get(function.__code__.co_firstlineno)
    except (OSError, TypeError):
        told = None
    return _short(told or repr(_instructions(function.__code__)))


@functools.cache
def _lambdas(source: str) -> dict[int, str]:
    """The lambdas of a module by the line they begin in, those of one line together."""
    found: dict[int, str] = {}
    for node in ast.walk(_plain(source)):
        if isinstance(node, ast.Lambda):
            found[node.lineno] = found.get(node.lineno, "") + _told(node)
    return found


def _instructions(code: CodeType) -> tuple:
    """What a function does, functions inside it included; a code object's own text holds its place in memory."""
    constants = tuple(_instructions(c) if isinstance(c, CodeType) else c for c in code.co_consts)
    return code.co_code, code.co_names, constants


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@functools.cache
def _file(name: str) -> Path | None:
    """Where a module lies: one of this package in its checkout; another as it was loaded, if from a file."""
    if name.startswith(PACKAGE):
        path = _ROOT.joinpath(*name.split("."))
        return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)
    file = getattr(sys.modules.get(name), "__file__", None)
    return Path(file) if file else None


def _told(node: object) -> str:
    """A syntax tree as text that is the same in every Python: a newer one knows fields that older code leaves empty."""
    if isinstance(node, list):
        return f"[{', '.join(map(_told, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = ((name, getattr(node, name, None)) for name in node._fields)
    filled = (f"{name}={_told(value)}" for name, value in fields if value is not None and value != [])
    return f"{type(node).__name__}({', '.join(filled)})"


def _plain(source: str) -> ast.Module:
    """The syntax tree without docstrings and without what only type checkers import."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            told = ast.get_docstring(node, clean=False) is not None
            node.body = [n for n in node.body[told:] if not _for_type_checkers(n)] or [ast.Pass()]
    return tree


def _for_type_checkers(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _imports(tree: ast.Module) -> list[str]:
    """Names of this package's modules that a module imports anywhere, also inside functions."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in found if name.startswith(f"{PACKAGE}.") and _file(name)]
