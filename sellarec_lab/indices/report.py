"""What an index is worth before any language model reads it: collisions, use of the codes, and what prefixes mean."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike

from sellarec_lab import metrics
from sellarec_lab.indices.build import Fitted
from sellarec_lab.indices.codes import checked, indexed, number

_NEIGHBOURS = 10


class Row(NamedTuple):
    """``level`` is the number of the code, or the length of the prefix, that is measured; 0 for the whole index."""

    measure: str
    level: int
    value: float


def report(
    codes: torch.Tensor,
    vectors: torch.Tensor | None = None,
    categories: ArrayLike | None = None,
    popularity: ArrayLike | None = None,
    fitted: Fitted | None = None,
) -> pd.DataFrame:
    """The measures of an index, a `Row` each.

    Items: how many have an index, how many indices there are, the share that is not its item's own, the largest group
    that shares one, and the items in groups of each size. Codes of a level: how many are in use, their perplexity
    (exp of the entropy of their use: all codes used alike give their number). Every measure of meaning stands beside
    its control.

    Args:
        codes: [n_items + 1, levels]; items without an index are left out of everything.
        vectors: [n_items + 1, d]; adds the share of an item's 10 nearest by cosine that share its first 1, 2 .. codes,
            beside the share of all pairs that do.
        categories: [n_items + 1], of any kind; adds the purity of prefixes: the share of items in the commonest
            category of their prefix, beside the same with categories shuffled.
        popularity: [n_items + 1], such as train interactions; adds how unevenly they fall on the codes in use: the
            Gini coefficient, and the share of the busiest code.
        fitted: what `fit` returned; adds the dead codes, and the error of rebuilt vectors as a share of their variance.

    Raises:
        ValueError: codes that are none (`codes.checked`), no item with an index, or another number of rows; names it.
    """
    codes = checked(codes)
    ids = indexed(codes)
    if not len(ids):
        raise ValueError("codes: expected at least one item with an index, all rows are -1; see items= of fit")
    own = codes[ids]
    prefixes = [number(own[:, :level]).numpy() for level in range(1, own.shape[1] + 1)]  # L times [m]
    rows = [*_sharing(prefixes[-1]), *_use(own.numpy())]
    if fitted is not None:
        rows += _training(own.numpy(), fitted)
    if categories is not None:
        rows += _meaning(prefixes, _of("categories", categories, codes)[ids.numpy()])
    if vectors is not None:
        rows += _neighbours(prefixes, _of("vectors", vectors.detach().float().cpu(), codes)[ids.numpy()])
    if popularity is not None:
        rows += _popularity(own.numpy(), _of("popularity", popularity, codes)[ids.numpy()])
    return pd.DataFrame(rows, columns=Row._fields)


def category_codes(categories: ArrayLike, codes: int) -> torch.Tensor:
    """A control whose first code is the category itself and whose others count within it: int64 [n_items + 1, levels].

    Args:
        categories: [n_items + 1], of any kind, row 0 = padding; an item whose category is missing gets no index.
        codes: how many codes the levels after the first have; there are as many levels as the largest category needs,
            and at least two.

    Raises:
        ValueError: fewer than two codes.
    """
    if codes < 2:
        raise ValueError(f"codes is {codes}, expected at least 2 to count with")
    kind, _ = pd.factorize(np.asarray(categories)[1:], sort=True)  # [n_items], -1 where missing
    place = pd.Series(kind).groupby(kind).cumcount().to_numpy()  # within the category
    digits = 1
    while codes**digits <= place.max(initial=0, where=kind >= 0):
        digits += 1
    counted = place[:, None] // codes ** np.arange(digits)[::-1] % codes  # [n_items, digits]
    table = np.where(kind[:, None] >= 0, np.column_stack([kind, counted]), -1)
    return torch.from_numpy(np.vstack([np.full((1, digits + 1), -1), table])).long()


def _of(name: str, values: Any, codes: torch.Tensor) -> np.ndarray:
    values = np.asarray(values)
    if len(values) != len(codes):
        raise ValueError(f"{name}: expected {len(codes)} rows, as codes have, padding first, got {len(values)}")
    return values


def _sharing(index: np.ndarray) -> Iterable[Row]:
    sizes = np.bincount(index)  # items of each index
    yield Row("items", 0, len(index))
    yield Row("distinct indices", 0, len(sizes))
    yield Row("share not their own", 0, sizes[sizes > 1].sum() / len(index))
    yield Row("largest group", 0, sizes.max())
    for size, groups in zip(*np.unique(sizes, return_counts=True)):
        yield Row(f"items in groups of {size}", 0, size * groups)


def _use(codes: np.ndarray) -> Iterable[Row]:
    for level, own in enumerate(codes.T, 1):
        share = np.unique(own, return_counts=True)[1] / len(own)
        yield Row("codes in use", level, len(share))
        yield Row("perplexity", level, np.exp(-(share * np.log(share)).sum()))


def _training(codes: np.ndarray, fitted: Fitted) -> Iterable[Row]:
    for level, (own, error) in enumerate(zip(codes.T, fitted.errors.tolist(), strict=True), 1):
        yield Row("dead codes", level, fitted.codebooks.shape[1] - len(np.unique(own)))
        yield Row("reconstruction error", level, error)


def _meaning(prefixes: list[np.ndarray], categories: np.ndarray) -> Iterable[Row]:
    kinds, _ = pd.factorize(categories, use_na_sentinel=False)
    for level, prefix in enumerate(prefixes, 1):
        yield Row("purity", level, _purity(prefix, kinds))
        yield Row("purity, shuffled", level, _purity(prefix, metrics.shuffled(kinds)))


def _purity(prefix: np.ndarray, kinds: np.ndarray) -> float:
    return pd.crosstab(prefix, kinds).max(axis=1).sum() / len(prefix)


def _neighbours(prefixes: list[np.ndarray], vectors: np.ndarray) -> Iterable[Row]:
    near = metrics.neighbours(vectors, min(_NEIGHBOURS, len(vectors) - 1))  # [m, k]
    for level, prefix in enumerate(prefixes, 1):
        sizes, n = np.bincount(prefix), len(prefix)
        yield Row("neighbours that share a prefix", level, (prefix[near] == prefix[:, None]).mean())
        yield Row("all pairs that share a prefix", level, (sizes * (sizes - 1)).sum() / (n * (n - 1)))


def _popularity(codes: np.ndarray, popularity: np.ndarray) -> Iterable[Row]:
    if not (popularity.min() >= 0 and popularity.max() > 0):
        raise ValueError(f"popularity: expected counts from 0 on, some above it, got {popularity.min()} and more")
    for level, own in enumerate(codes.T, 1):
        mass = pd.Series(popularity).groupby(own).sum().sort_values().to_numpy(float)  # of each code in use
        share, n = mass / mass.sum(), len(mass)
        yield Row("gini of popularity", level, (2 * np.arange(1, n + 1) - n - 1) @ share / n)
        yield Row("share of the busiest code", level, share[-1])
