"""Codes as words that a tokenizer can learn, and as files: ``<a_12><b_3>``, in the field's own ``*.index.json``."""

import json
import re
from pathlib import Path

import torch

from sellarec_lab import runtime

_WORD = re.compile(r"<([a-z])_(\d+)>")


def words(codes: torch.Tensor) -> list[str]:
    """The index of every row of codes [n_items + 1, levels], as its tokens one after the other; "" for rows of -1."""
    return ["".join(_tokens(row)) for row in codes.tolist()]


def split(index: str) -> list[str]:
    """The tokens of an index: ``<a_1><b_2>`` to [``<a_1>``, ``<b_2>``]."""
    return [match[0] for match in _WORD.finditer(index)]


def vocabulary(codes: torch.Tensor) -> list[str]:
    """The tokens in use, level by level, in the order of their codes."""
    used = [(level, code) for level, column in enumerate(codes.T) for code in sorted(set(column.tolist())) if code >= 0]
    return [_token(level, code) for level, code in used]


def save(path: Path, codes: torch.Tensor) -> None:
    """Write codes as ``{item: ["<a_1>", "<b_2>", ...]}``, in the layout of the field; atomic. Items without an index
    have an empty list."""
    told = {str(item): _tokens(row) for item, row in enumerate(codes.tolist()) if item}
    runtime.write_text(Path(path), json.dumps(told))


def load(path: Path, first: int = 1) -> torch.Tensor:
    """Codes [n_items + 1, levels] of a file as `save` writes it; ``first`` is the number that the file gives its first
    item (the field's own files count from 0).

    Raises:
        ValueError: no such layout; names the item.
    """
    try:
        told = {int(item): tokens for item, tokens in json.loads(Path(path).read_text(encoding="utf-8")).items()}
        found = {item: [_WORD.fullmatch(token) for token in tokens] for item, tokens in told.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{path}: expected {{item: [tokens]}} with numbers as items, found {error}") from error
    levels = max((len(row) for row in found.values()), default=0)
    codes = torch.full((max(found, default=0) - first + 2, max(levels, 1)), -1)
    for item, row in found.items():
        letters = [match and ord(match[1]) - ord("a") for match in row]
        if item < first or (row and letters != list(range(levels))):
            raise ValueError(
                f"{path}, item {item}: expected tokens <a_1> to <{chr(96 + levels)}_1>, found {told[item]}"
            )
        if row:
            codes[item - first + 1] = torch.tensor([int(match[2]) for match in row])
    return codes


def _tokens(row: list[int]) -> list[str]:
    return [_token(level, code) for level, code in enumerate(row)] if row[0] >= 0 else []


def _token(level: int, code: int) -> str:
    return f"<{chr(ord('a') + level)}_{code}>"
