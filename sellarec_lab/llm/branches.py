"""Prompts that begin alike as branches of one sequence: what they share runs once.

A token sees what it would see in its own prompt, at the place that it would have there: the shared beginning and its
own branch. Several families stand in one sequence and do not see each other, so that little is padded.
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch

from sellarec_lab.llm.encode import Batch, Encoded, Encoder, column


class _Family(NamedTuple):
    """Numbers of rows [k] whose first ``shared`` positions are the same."""

    rows: np.ndarray
    shared: int

    def size(self, lengths: np.ndarray) -> int:
        """How many positions it takes."""
        return self.shared + int((lengths[self.rows] - self.shared).sum())


@dataclass
class _Line:
    """A sequence that grows: tokens and soft tokens, and of each position its ``family``, its ``branch`` (0: shared)
    and its ``place`` in its own prompt."""

    ids: list[int] = field(default_factory=list)
    slots: list = field(default_factory=list)
    family: list[int] = field(default_factory=list)
    branch: list[int] = field(default_factory=list)
    place: list[int] = field(default_factory=list)

    def put(self, encoded: Encoded, start: int, end: int, family: int, branch: int) -> int:
        """Add a prompt's positions from start to end; returns where the last of them stands."""
        shift = len(self.ids) - start
        self.ids += encoded.ids[start:end]
        self.slots += [(p + shift, slot) for p, slot in encoded.slots if start <= p < end]
        self.family += [family] * (end - start)
        self.branch += [branch] * (end - start)
        self.place += range(start, end)
        return len(self.ids) - 1


def branched(
    encoder: Encoder, encoded: Sequence[Encoded], families: np.ndarray, labels: Sequence[float] | None = None,
    groups: Sequence[int] | None = None,
) -> Batch:  # fmt: skip
    """Rows as a batch of sequences with branches; rows of one family (``families`` [N]) share what they begin with.

    Raises:
        ValueError: rows with targets behind them.
    """
    if any(e.target for e in encoded):
        raise ValueError("only prompts can be branches: the loss of texts reads whole rows; collate them instead")
    lengths = np.array([len(e.ids) for e in encoded])
    cut, lines = _families(encoded, families, lengths), []
    row, last = torch.empty(2, len(encoded), dtype=torch.long)
    for number, chosen in enumerate(dealt([family.size(lengths) for family in cut])):
        line = _Line()
        for which in chosen:
            rows, shared = cut[which]
            line.put(encoded[rows[0]], 0, shared, which, 0)
            for branch, i in enumerate(rows, start=1):
                row[i], last[i] = number, line.put(encoded[i], shared, lengths[i], which, branch)
        lines.append(line)
    batch = encoder.collate([Encoded(line.ids, line.slots) for line in lines])
    width, asked = batch.ids.shape[1], {"labels": column(labels, len(row)).float(), "group": column(groups, len(row))}
    positions = _table([line.place for line in lines], width, 0)
    return replace(batch, mask=_sees(lines, width), positions=positions, row=row, last=last, end=last, **asked)


def dealt(sizes: Sequence[int]) -> list[list[int]]:
    """Numbers of the sizes put together into bins, at most twice as wide as the largest size: as many bins as leave the
    fewest places empty when all are as wide as the fullest."""
    full = sum(sizes) / max(sizes)
    ways = [_evenly(sizes, count) for count in range(math.ceil(full), math.ceil(full / 2) - 1, -1)]
    widths = [max(sum(sizes[number] for number in one) for one in bins) for bins in ways]
    fitting = [(len(bins) * width, bins) for bins, width in zip(ways, widths) if width <= 2 * max(sizes)]
    return min(fitting, key=lambda way: way[0])[1]


def _evenly(sizes: Sequence[int], count: int) -> list[list[int]]:
    """Numbers dealt into ``count`` bins, the largest first, each into the bin that holds least."""
    bins, held = [[] for _ in range(count)], [(0, at) for at in range(count)]
    for number in sorted(range(len(sizes)), key=lambda number: -sizes[number]):
        least, at = held[0]
        bins[at].append(number)
        heapq.heapreplace(held, (least + sizes[number], at))
    return bins


def comparable(encoded: Sequence[Encoded]) -> np.ndarray:
    """Token ids [n, longest], a number of its own below zero for each soft token, and -1 where a row has ended."""
    names: dict = {}
    table = np.full((len(encoded), max(len(e.ids) for e in encoded)), -1)
    for row, e in enumerate(encoded):
        table[row, : len(e.ids)] = e.ids
        for position, slot in e.slots:
            table[row, position] = names.setdefault(slot, -2 - len(names))
    return table


def _families(encoded: Sequence[Encoded], families: np.ndarray, lengths: np.ndarray) -> list[_Family]:
    """Each family with what its rows share; at least one position of every row is its own."""
    table, cut = comparable(encoded), []
    _, marks = np.unique(families, return_inverse=True)
    for rows in np.split(np.argsort(marks, kind="stable"), np.cumsum(np.bincount(marks))[:-1]):
        same = (table[rows] == table[rows[0]]).all(axis=0)
        alike = len(same) if same.all() else int(same.argmin())
        cut.append(_Family(rows, 0 if len(rows) == 1 else min(alike, int(lengths[rows].min()) - 1)))
    return cut


def _sees(lines: Sequence[_Line], width: int) -> torch.Tensor:
    """Which position each position sees, bool [B, L, L]; padding sees padding."""
    family, branch = (
        _table([line.family for line in lines], width, -1),
        _table([line.branch for line in lines], width, 0),
    )
    ours = (branch[:, None, :] == 0) | (branch[:, None, :] == branch[:, :, None])
    return ((family[:, None, :] == family[:, :, None]) & ours).tril()


def _table(rows: Sequence[list[int]], width: int, rest: int) -> torch.Tensor:
    return torch.tensor([row + [rest] * (width - len(row)) for row in rows])
