"""What indices are worth before anybody is trained on them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

_NEAR = 10


def report(
    codes: torch.Tensor, vectors: torch.Tensor | None = None, categories: Sequence[str] | None = None,
    popularity: Sequence[float] | None = None, errors: Sequence[float] = (), seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Measures of codes [n_items + 1, levels]: ``measure, level, value, control``, level 0 being the whole index.

    Args:
        vectors: [n_items + 1, d]: how often the 10 nearest items by cosine share the first codes.
        categories: of every item, padding included: how pure a prefix is.
        popularity: of every item: the share of all meetings that falls to the busiest code of a level.
        errors: what each level leaves of the vectors' variance, see `Indices`.
        seed: of the control, in which items change places.
    """
    there = (codes[:, 0] >= 0).numpy()
    own = codes[torch.from_numpy(there)].numpy()
    rows = [*_collisions(own), *_usage(own)]
    rows += [("left of the variance", level, error, np.nan) for level, error in enumerate(errors, start=1)]
    mixed = np.random.default_rng(seed).permutation(len(own))
    if categories is not None:
        names = pd.factorize(np.asarray(categories, dtype=object)[there])[0]
        rows += _by_prefix("items of the prefix's own category", own, lambda p, order: _purity(p, names[order]), mixed)
    if vectors is not None:
        near = _nearest(vectors[torch.from_numpy(there)])
        rows += _by_prefix("neighbours with the same prefix", own, lambda p, order: _kept(p[order], near), mixed)
    if popularity is not None:
        met = np.asarray(popularity, dtype=float)[there]
        shares = [np.bincount(column, weights=met).max() / met.sum() for column in own.T]
        rows += [("meetings of the busiest code", level, share, np.nan) for level, share in enumerate(shares, start=1)]
    return pd.DataFrame(rows, columns=["measure", "level", "value", "control"])


def category_codes(categories: Sequence[str], codes: int) -> torch.Tensor:
    """A control [n_items + 1, 3]: the first code is the category itself, the other two count up within it; row 0, the
    padding's, is -1.

    Raises:
        ValueError: a category holds more than ``codes`` x ``codes`` items.
    """
    names = pd.Series(pd.factorize(np.asarray(categories[1:], dtype=object))[0])
    number = names.groupby(names).cumcount().to_numpy()
    if number.max() >= codes**2:
        raise ValueError(
            f"a category holds {number.max() + 1} items, two levels of {codes} codes tell {codes**2} apart"
        )
    table = np.stack([names.to_numpy(), number // codes, number % codes], axis=1)
    return torch.from_numpy(np.vstack([[-1, -1, -1], table]))


def _collisions(codes: np.ndarray) -> list[tuple]:
    _, sizes = np.unique(codes, axis=0, return_counts=True)
    shared = sizes[sizes > 1].sum()
    told = {"items": len(codes), "distinct indices": len(sizes), "share of items whose index is not their own":
            shared / len(codes), "largest group": sizes.max()}  # fmt: skip
    return [(name, 0, float(value), np.nan) for name, value in told.items()]


def _usage(codes: np.ndarray) -> list[tuple]:
    """Codes in use, and their perplexity: exp of the entropy, as many equally busy codes would be as even."""
    rows = []
    for level, column in enumerate(codes.T, start=1):
        share = np.bincount(column)[np.bincount(column) > 0] / len(column)
        rows.append(("codes in use", level, float(len(share)), np.nan))
        rows.append(("perplexity", level, float(np.exp(-(share * np.log(share)).sum())), np.nan))
    return rows


def _by_prefix(name: str, codes: np.ndarray, measure, mixed: np.ndarray) -> list[tuple]:
    """A measure of every prefix, beside the same where items have changed places."""
    plain, rows = np.arange(len(codes)), []
    for level in range(1, codes.shape[1] + 1):
        prefix = np.unique(codes[:, :level], axis=0, return_inverse=True)[1].ravel()
        rows.append((name, level, measure(prefix, plain), measure(prefix, mixed)))
    return rows


def _purity(prefix: np.ndarray, names: np.ndarray) -> float:
    """Share of items whose prefix is most often of their category."""
    counts = np.zeros((prefix.max() + 1, names.max() + 1))
    np.add.at(counts, (prefix, names), 1)
    return float(counts.max(1).sum() / len(names))


def _nearest(vectors: torch.Tensor) -> np.ndarray:
    """The 10 nearest others of each row by cosine [n, 10]."""
    unit = torch.nn.functional.normalize(vectors.float(), dim=1)
    k = min(_NEAR, len(unit) - 1)
    parts = []
    for start in range(0, len(unit), 1024):
        cosine = unit[start : start + 1024] @ unit.T
        cosine[torch.arange(len(cosine)), start + torch.arange(len(cosine))] = -2
        parts.append(cosine.topk(k).indices)
    return torch.cat(parts).numpy()


def _kept(prefix: np.ndarray, near: np.ndarray) -> float:
    return float((prefix[near] == prefix[:, None]).mean())
