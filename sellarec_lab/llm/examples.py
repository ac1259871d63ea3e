"""Prompts to learn from or to score, encoded when they are needed, and the order in which they come."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sellarec_lab.llm.branches import branched
from sellarec_lab.llm.encode import Batch, Encoded, Encoder, Target
from sellarec_lab.prompts import Prompt
from sellarec_lab.training import Batches

_KEPT = 32_768  # as many prompts are encoded once and kept (some 30 MB); of more, only the lengths


class EncodedRows:
    """Prompts as tokens: ``rows[numbers]``. ``prompts`` may be a list, or make each prompt when it is asked for."""

    def __init__(self, encoder: Encoder, prompts: Sequence[Prompt], targets: Sequence[Target] | None = None):
        self.encoder, self.prompts, self.targets = encoder, prompts, targets
        self._lengths = np.zeros(len(prompts), dtype=np.int32)
        self._kept: dict[int, Encoded] = {}

    def __len__(self) -> int:
        return len(self.prompts)

    def __getitem__(self, rows: Sequence[int]) -> list[Encoded]:
        if len(self) > _KEPT:
            return self._encoded(rows)
        missing = [i for i in map(int, rows) if i not in self._kept]
        self._kept |= zip(missing, self._encoded(missing))
        return [self._kept[int(i)] for i in rows]

    def lengths(self, rows: Sequence[int] | None = None) -> np.ndarray:
        """Number of tokens of some rows, or of all, int [n]."""
        rows = np.arange(len(self)) if rows is None else np.asarray(rows, dtype=int)
        unknown = rows[self._lengths[rows] == 0]
        for start in range(0, len(unknown), 1024):
            some = unknown[start : start + 1024]
            self._lengths[some] = [len(e.ids) for e in self[some]]
        return self._lengths[rows]

    def _encoded(self, rows: Sequence[int]) -> list[Encoded]:
        targets = None if self.targets is None else [self.targets[i] for i in rows]
        return self.encoder.encode_many([self.prompts[int(i)] for i in rows], targets=targets)


@dataclass(frozen=True)
class Examples:
    """What a language model learns from: ``prompts`` (n, made when asked for), and what should follow them: ``labels``
    [n], 1 for the first of the prompt's two answers, or ``targets``, n texts. ``groups`` [n] says whose row it is.
    Rows of one of the ``families`` [n] begin alike: up to ``branches`` of them run as branches of one sequence."""

    prompts: Sequence[Prompt]
    labels: np.ndarray | None = None
    targets: Sequence[Target] | None = None
    groups: np.ndarray | None = None
    families: np.ndarray | None = None
    branches: int = 1

    def batches(
        self, encoder: Encoder, batch_size: int, seed: int, rows: int | None = None, grouped: bool = False
    ) -> Callable[[int], Batches]:
        """epoch -> its batches: at most ``rows`` examples, drawn anew each epoch; ``grouped``: rows of one group come
        together, otherwise branches do, and else rows of similar length."""
        encoded = EncodedRows(encoder, self.prompts, self.targets)

        def make(chosen: np.ndarray) -> Batch:
            parts = (None if part is None else part[chosen] for part in (self.labels, self.groups))
            if self.branches > 1:
                return branched(encoder, encoded[chosen], self.families[chosen], *parts)
            return encoder.collate(encoded[chosen], *parts)

        def batches(epoch: int) -> Batches:
            if grouped:
                return Batches(grouped_rows(self.groups, batch_size, seed, epoch, rows), make)
            if self.branches > 1:
                return Batches(grouped_rows(self.families, batch_size, seed, epoch, rows, self.branches), make)
            return Batches(shuffled_rows(encoded, batch_size, seed, epoch, rows), make)

        return batches


def by_length(lengths: Sequence[int], batch_size: int, positions: int | None = None) -> list[np.ndarray]:
    """Row numbers in batches of similar length, longest first, so that little is padded; each has at most
    ``batch_size`` rows, and no more ``positions``, padding included, unless one row has."""
    lengths, batches, start = np.asarray(lengths, dtype=int), [], 0
    order = np.argsort(-lengths, kind="stable")
    while start < len(order):
        fit = batch_size if positions is None else positions // max(1, int(lengths[order[start]]))
        batches.append(order[start : start + max(1, min(batch_size, fit))])
        start += len(batches[-1])
    return batches


def shuffled_rows(
    encoded: EncodedRows, batch_size: int, seed: int, epoch: int, rows: int | None = None
) -> list[np.ndarray]:
    """Random batches of similar length: rows are shuffled (and cut to ``rows``), sorted within windows of 32 batches,
    and the batches shuffled."""
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(encoded))[:rows]
    window = batch_size * 32
    batches = []
    for start in range(0, len(order), window):
        near = order[start : start + window]
        near = near[np.argsort(encoded.lengths(near), kind="stable")]
        batches += [near[i : i + batch_size] for i in range(0, len(near), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def grouped_rows(
    groups: np.ndarray, batch_size: int, seed: int, epoch: int, rows: int | None = None, many: int = 8
) -> list[np.ndarray]:
    """Random batches in which a user's rows come in groups of up to ``many``, so that pairs within a user are there;
    of all rows the first ``rows``, whose groups are therefore whole but the last."""
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(groups))
    table = pd.DataFrame({"row": order, "user": groups[order]})
    group = table.groupby("user").cumcount() // many
    chunk = table["user"].astype(str) + "/" + group.astype(str)
    place = chunk.map(dict(zip(chunk.unique(), rng.permutation(chunk.nunique()))))
    order = table["row"].to_numpy()[np.argsort(place, kind="stable")][:rows]
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
