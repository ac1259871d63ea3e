"""Indices as words, ``<a_12><b_3>``, and as the field's ``*.index.json`` files."""

import json
import re
from pathlib import Path
from typing import Any

import torch

from sellarec_lab import runtime
from sellarec_lab.indices.codes import LETTERS, checked

_WORD = re.compile(r"<([a-z])_(0|[1-9][0-9]{0,17})>")


def tokens(codes: torch.Tensor) -> list[str]:
    """The index of each row of codes [n_items + 1, levels] as words, "" without one.

    Raises:
        ValueError: see `codes.checked`.
    """
    return ["".join(row) for row in _words(codes)]


def vocabulary(codes: torch.Tensor) -> list[str]:
    """The words that some item uses, each once, as `sorted` sorts them: new tokens get their ids in this order."""
    return sorted({word for row in _words(codes) for word in row})


def save(path: Path, codes: torch.Tensor) -> None:
    """Write codes [n_items + 1, levels] as the field's json, ``{"1": ["<a_12>", "<b_3>"], ...}``, atomically.

    Every item has an entry; it is empty for an item without an index.

    Raises:
        ValueError: see `codes.checked`.
    """
    entries = {str(item): row for item, row in enumerate(_words(codes)) if item}
    runtime.write_text(Path(path), json.dumps(entries))


def load(path: Path, first: int = 1) -> torch.Tensor:
    """Codes, int64 [n_items + 1, levels], of a file that `save` or others wrote.

    Args:
        path: a json object, item -> list of words.
        first: the file's number for the first item; the field's files count from 0. The first item is row 1 here.

    Raises:
        ValueError: not such a file; names the file, and the item where it is one.
    """
    entries = _entries(path)
    strange = entries.keys() ^ {str(item) for item in range(first, first + len(entries))}
    if strange or not entries:
        expected = f"items {first}, {first + 1}, ... without a gap"
        found = f"not so for {min(strange)!r}" if strange else "no items"
        raise ValueError(f"{path}: expected {expected}, {found}; a file that counts from 0 is read with first=0")
    rows = [_codes(path, item, entries[str(item)]) for item in range(first, first + len(entries))]
    levels = max(map(len, rows))
    if not levels:
        raise ValueError(f"{path}: expected words for some item, no item has words; build the indices anew")
    for item, row in enumerate(rows, first):
        if len(row) not in (0, levels):
            raise ValueError(f"{path}, item {item}: expected {levels} words, as others have, or none, got {len(row)}")
    return torch.tensor([[-1] * levels, *(row or [-1] * levels for row in rows)])


def _words(codes: torch.Tensor) -> list[list[str]]:
    rows = checked(codes).tolist()
    return [[f"<{letter}_{code}>" for letter, code in zip(LETTERS, row) if code >= 0] for row in rows]


def _entries(path: Path) -> dict[str, Any]:
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:  # no json, or no text
        raise ValueError(f"{path}: expected a whole json file ({error}); remove it, and make it again") from error
    if not isinstance(entries, dict):
        raise ValueError(f"{path}: expected an object, item -> list of words, got {type(entries).__name__}")
    return entries


def _codes(path: Path, item: int, words: Any) -> list[int]:
    """The codes of one entry, whose n-th word must have the n-th letter."""
    found = [_WORD.fullmatch(str(word)) for word in words] if isinstance(words, list) else [None]
    if not all(found) or [match[1] for match in found] != list(LETTERS[: len(found)]):
        raise ValueError(f'{path}, item {item}: expected words like ["<a_12>", "<b_3>"], a letter a level, got {words}')
    return [int(match[2]) for match in found]
