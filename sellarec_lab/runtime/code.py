"""The digest of code: what a result was made with, so that changed code never reads an old result.

A version number would have to be raised by hand, and is forgotten; so the code itself is read. Comments, docstrings and
layout do not count, but everything else does, also in what a module imports from this package: a harmless change makes
some stages anew, and no harmful one goes unseen. Settings are no part of it; they stand among a stage's inputs.
"""

import ast
import functools
import hashlib
import importlib.util
import inspect
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

PACKAGE = __name__.partition(".")[0]
# values of settings are inputs of a stage, and so are the decisions; files and stages are where results lie
_LEFT_OUT = tuple(f"{PACKAGE}.{part}" for part in ("config", "teaching", *(
    f"runtime.{file}" for file in ("code", "decisions", "files", "processes", "stage")
)))  # fmt: skip


@functools.cache
def code_digest(modules: tuple[str, ...]) -> str:
    """A short hash of the modules' syntax trees and of those that they import from this package, directly or not."""
    seen: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in seen and not name.startswith(_LEFT_OUT):
            source = _source(name)
            seen[name] = ast.dump(_plain(ast.parse(source)))
            waiting += _imports(name, source) if name.startswith(PACKAGE) else []
    text = "".join(f"{name}\n{seen[name]}\n" for name in sorted(seen))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _source(name: str) -> str:
    """The text of a module; "" for one that has no file, such as a cell of a notebook."""
    loaded = sys.modules.get(name)
    file = getattr(loaded, "__file__", None) if loaded else importlib.util.find_spec(name).origin
    return Path(file).read_text(encoding="utf-8") if file else ""


def _plain(tree: ast.Module) -> ast.Module:
    """The tree without docstrings and without what only type checkers import."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and _is_text(body):
            node.body = body[1:] or [ast.Pass()]
        if isinstance(body, list):
            node.body = [n for n in node.body if not _for_type_checkers(n)]
    return tree


def _is_text(body: list[ast.stmt]) -> bool:
    first = body[0] if body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def _for_type_checkers(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _imports(name: str, source: str) -> list[str]:
    """Names of this package's modules that a module imports anywhere, also inside functions."""
    found = []
    for node in ast.walk(_plain(ast.parse(source))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = name if _is_folder(name) else name.rpartition(".")[0]
                base = importlib.util.resolve_name("." * node.level + base, package)
            found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return [n for n in found if n.startswith(f"{PACKAGE}.") and _exists(n)]


def function_digest(function: Callable) -> str:
    """A short hash of one function's syntax tree, or of its instructions where it has no source."""
    try:
        text = ast.dump(_plain(ast.parse(textwrap.dedent(inspect.getsource(function)))))
    except (OSError, TypeError, SyntaxError):
        text = repr((function.__code__.co_code, function.__code__.co_names, function.__code__.co_consts))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@functools.cache
def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@functools.cache
def _is_folder(name: str) -> bool:
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.submodule_search_locations is not None
