"""The answer key: ``check(yours, ours)`` compares an exercise with what the package computes.

A message says of what kind and shape the answer is, and where yours differs first; it never shows the answer itself.
"""

import html
import itertools
import numbers
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

PASSED, DIFFERS, NOT_ATTEMPTED = "passed", "differs", "not attempted yet"
_LOOKS = {PASSED: ("✔", "#2e7d32"), DIFFERS: ("✘", "#c62828"), NOT_ATTEMPTED: ("…", "#757575")}  # sign, colour


@dataclass(frozen=True)
class Result:
    """What a check found. True in a condition only if it passed; a notebook shows it as a note."""

    name: str
    status: str
    message: str = ""
    hint: str = ""

    def __bool__(self) -> bool:
        return self.status == PASSED

    def __repr__(self) -> str:
        head = f"{_LOOKS[self.status][0]} {self.name}: {self.status}"
        return "\n  ".join(filter(None, [head, self.message, self.hint and f"hint: {self.hint}"]))

    def _repr_html_(self) -> str:
        sign, colour = _LOOKS[self.status]
        body = f"<b style='color:{colour}'>{sign} {html.escape(self.name)}: {self.status}</b>"
        body += f"<br>{html.escape(self.message)}" if self.message else ""
        body += f"<br><i>Hint: {html.escape(self.hint)}</i>" if self.hint else ""
        return f"<div style='border-left:4px solid {colour};padding:4px 10px'>{body}</div>"


def check(yours: Any, ours: Any, name: str = "exercise", atol: float = 1e-5, hint: str = "") -> Result:
    """Compare numbers, strings, arrays, tensors, tables, or lists and dicts of them.

    ``yours`` left at ``...``, ``None`` or a list of these is not an error but "not attempted yet", so a notebook with
    open exercises still runs from top to bottom. ``hint`` is shown until the check passes. Numbers
    agree within ``atol`` or within one part in 100,000, and NaN agrees with NaN. No value of ``ours`` is told.
    """
    if _open(yours):
        return Result(name, NOT_ATTEMPTED, "replace the ... with your answer and run the cell again", hint)
    difference = _difference(yours, ours, atol)
    return Result(name, DIFFERS, difference, hint) if difference else Result(name, PASSED)


def _open(value: Any) -> bool:
    """Left at ``...``, or what a function left at ``...`` gives: None, or a list of nothing else."""
    if isinstance(value, list | tuple):
        return len(value) > 0 and all(map(_open, value))
    return value is ... or value is None


def _difference(yours: Any, ours: Any, atol: float) -> str:
    """The first difference in words, empty if there is none."""
    if isinstance(ours, pd.DataFrame | pd.Series):
        return _table_difference(yours, ours, atol)
    if isinstance(ours, dict):
        return _dict_difference(yours, ours, atol)
    if isinstance(ours, str):
        return _text_difference(yours, ours)
    if hasattr(ours, "__array__") or isinstance(ours, numbers.Number):
        return _array_difference(yours, ours, atol)
    if isinstance(ours, list | tuple):
        return _sequence_difference(yours, ours, atol)
    return "" if yours == ours else f"yours is {_short(yours)}, expected another {type(ours).__name__}"


def _array_difference(yours: Any, ours: Any, atol: float) -> str:
    expected = _array(ours)
    try:
        got = _array(yours)
    except (TypeError, ValueError):
        got = None
    if got is None or _kind(got) == "other" != _kind(expected):
        return _other(yours, f"an array of shape {expected.shape}" if expected.ndim else "a number")
    if got.shape != expected.shape:
        return f"the shape is {got.shape}, expected {expected.shape}"
    if hasattr(yours, "dtype") and expected.ndim and _kind(got) != _kind(expected):
        return f"the dtype is {got.dtype}, expected {expected.dtype}"
    return _first_difference(got, expected, atol)


def _first_difference(got: np.ndarray, expected: np.ndarray, atol: float) -> str:
    if _kind(expected) == "other":
        wrong = got != expected
    else:
        got, expected = (x.astype(complex if np.iscomplexobj(x) else float) for x in (got, expected))
        wrong = ~np.isclose(got, expected, rtol=1e-5, atol=atol, equal_nan=True)
    if not wrong.any():
        return ""
    if not expected.ndim:
        return f"yours is {got.item()!r}, expected another value"
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    place = ", ".join(map(str, at))
    return f"{wrong.sum()} of {wrong.size} values differ, first at [{place}]: yours {_short(got[at].item())}"


def _table_difference(yours: Any, ours: pd.DataFrame | pd.Series, atol: float) -> str:
    if type(yours) is not type(ours):
        return f"yours is a {type(yours).__name__}, expected a {type(ours).__name__}"
    if isinstance(ours, pd.Series):
        yours, ours = yours.to_frame("value"), ours.to_frame("value")
    if list(yours.columns) != list(ours.columns):
        return f"the columns are {list(yours.columns)}, expected {len(ours.columns)} columns with other names"
    if len(yours) != len(ours):
        return f"there are {len(yours)} rows, expected {len(ours)}"
    if difference := _array_difference(yours.index.to_numpy(), ours.index.to_numpy(), atol):
        return f"the index: {difference}"
    columns = zip(ours.columns, *([column.to_numpy() for _, column in t.items()] for t in (yours, ours)))
    return _first((f"column {name!r}", _array_difference(mine, theirs, atol)) for name, mine, theirs in columns)


def _dict_difference(yours: Any, ours: dict, atol: float) -> str:
    if not isinstance(yours, dict):
        return f"yours is a {type(yours).__name__}, expected a dict"
    if yours.keys() != ours.keys():
        return f"the keys are {_short(list(yours))}, expected {len(ours)} keys with other names"
    return _first((f"[{key!r}]", _difference(yours[key], ours[key], atol)) for key in ours)


def _sequence_difference(yours: Any, ours: list | tuple, atol: float) -> str:
    if isinstance(yours, str) or not hasattr(yours, "__len__") or not hasattr(yours, "__getitem__"):
        return _other(yours, f"{len(ours)} values")
    if len(yours) != len(ours):
        return f"there are {len(yours)} values, expected {len(ours)}"
    return _first((f"[{i}]", _difference(yours[i], ours[i], atol)) for i in range(len(ours)))


def _text_difference(yours: Any, ours: str) -> str:
    if not isinstance(yours, str):
        return _other(yours, "text")
    if yours == ours:
        return ""
    at = next(i for i, (a, b) in enumerate(itertools.zip_longest(yours, ours)) if a != b)
    return f"the texts part at character {at}, where yours goes on {yours[at : at + 30] or 'the end'!r}"


def _first(found: Iterable[tuple[str, str]]) -> str:
    """The first of (place, difference) that is one."""
    return next((f"{place}: {difference}" for place, difference in found if difference), "")


def _other(yours: Any, expected: str) -> str:
    return f"yours is {_short(yours)} ({type(yours).__name__}), expected {expected}"


def _array(value: Any) -> np.ndarray:
    """Any number, list, array or tensor; a tensor may need gradients, sit on a GPU or be bfloat16."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    return np.asarray(value)


def _kind(array: np.ndarray) -> str:
    kinds = {"b": "truth", "i": "whole", "u": "whole", "f": "real", "c": "complex"}
    return kinds.get(array.dtype.kind, "other")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
