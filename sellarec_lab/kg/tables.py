"""Tab-separated files, checked column by column: whatever can't be used is named by file and line."""

import codecs
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sellarec_lab.data.errors import problem
from sellarec_lab.data.members import Members

_AGAIN = "Get the published files again."
_DIGITS = 18  # what surely fits int64


@dataclass(frozen=True)
class Table:
    """The fields of a file: `fields[0]` is line 1. str objects [n, columns]"""

    file: str
    columns: tuple[str, ...]
    fields: np.ndarray

    def text(self, column: str) -> np.ndarray:
        """The column as it is, but none empty. str objects [n]"""
        texts = self.fields[:, self.columns.index(column)]
        self.refuse(texts == "", column, "a name")
        return texts

    def numbers(self, column: str) -> np.ndarray:
        """The column as whole numbers from 0; "3931.0" is one, as tables with gaps write them. int64 [n]"""
        texts = [text.removesuffix(".0") for text in self.fields[:, self.columns.index(column)].tolist()]
        bad = [not (text.isdecimal() and len(text) <= _DIGITS) for text in texts]
        self.refuse(np.array(bad, dtype=bool), column, "a whole number from 0")
        return np.array(texts, dtype=object).astype(np.int64)

    def places(self, column: str, known: pd.Index, what: str) -> np.ndarray:
        """Where each number of the column stands in the `known` ones, which `what` describes. int64 [n]"""
        return self._places(self.numbers(column), column, known, what)

    def named(self, column: str, known: pd.Index, what: str) -> np.ndarray:
        """Where each name of the column stands in the `known` ones, which `what` describes. int64 [n]"""
        return self._places(self.text(column), column, known, what)

    def _places(self, values: np.ndarray, column: str, known: pd.Index, what: str) -> np.ndarray:
        places = known.get_indexer(values).astype(np.int64)
        self.refuse(places < 0, column, what)
        return places

    def once(self, column: str, values: np.ndarray) -> np.ndarray:
        """The column's `values`, none of them twice. [n]"""
        self.refuse(pd.Series(values).duplicated().to_numpy(), column, "each once")
        return values

    def refuse(self, bad: np.ndarray, column: str, expected: str) -> None:
        """Raise for the first line where `bad` [n] holds."""
        if bad.any():
            row = int(bad.argmax())
            found = self.fields[row, self.columns.index(column)]
            raise problem(f"{self.file}, line {row + 1}, {column}", expected, repr(found[:80]), _AGAIN)


def read_table(members: Members, path: str, columns: Sequence[str]) -> Table:
    """The file as a table; empty lines at its end do not count.

    Raises:
        DataError: no such file, an empty one, no UTF-8, or a line with another number of fields.
    """
    file, lines = members.where(path), _lines(members.where(path), members.read(path))
    if not lines:
        raise problem(file, f"{', '.join(columns)}, tab-separated", "an empty file", _AGAIN)
    for number, line in enumerate(lines, 1):
        if line.count("\t") != len(columns) - 1:
            raise problem(f"{file}, line {number}", f"{', '.join(columns)}, tab-separated", repr(line[:80]), _AGAIN)
    fields = np.array("\t".join(lines).split("\t"), dtype=object).reshape(len(lines), len(columns))
    return Table(file, tuple(columns), fields)


def _lines(file: str, raw: bytes) -> list[str]:
    """Only line feeds end a line: names may hold other characters that `splitlines` takes for ends."""
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        text = raw.decode().replace("\r\n", "\n").rstrip("\n")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise problem(f"{file}, line {line}", "UTF-8", f"{raw[error.start : error.end]!r}", _AGAIN) from error
    return text.split("\n") if text else []
