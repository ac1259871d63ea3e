"""How alike two spaces are that describe the same rows: row i of one belongs to row i of the other."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

_CELLS = 2_000_000  # most cosines held at once: 16 MB


def matched_cosine(a: ArrayLike, b: ArrayLike) -> float:
    """Mean cosine of a[i] and b[i]; a, b: [n, d]."""
    a, b = _units(*_matched(a, b, same_width=True))
    return float((a * b).sum(1).mean())


def retrieval_at(a: ArrayLike, b: ArrayLike, k: int = 10) -> float:
    """Share of rows a[i] whose match b[i] is among the k rows of b nearest by cosine; a, b: [n, d].

    A tie counts against the match, so a space that collapsed to a point scores 0, not 1.
    """
    a, b = _units(*_matched(a, b, same_width=True))
    hits = 0
    for rows in _blocks(len(a)):
        cosine = a[rows] @ b.T  # [m, n]
        own = cosine[np.arange(len(rows)), rows]
        hits += int(((cosine >= own[:, None]).sum(1) <= k).sum())
    return hits / len(a)


def linear_cka(a: ArrayLike, b: ArrayLike) -> float:
    """Linear centred kernel alignment, ‖AᵀB‖² / (‖AᵀA‖ ‖BᵀB‖), Kornblith et al. 2019; a: [n, p], b: [n, q].

    1 if one space is a rotation and scaling of the other.
    """
    a, b = (x - x.mean(0) for x in _matched(a, b))
    scale = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
    if scale == 0:
        raise ValueError("CKA is not defined when all rows of a space are equal")
    return float(np.linalg.norm(a.T @ b) ** 2 / scale)


def neighbour_overlap(a: ArrayLike, b: ArrayLike, k: int = 10) -> float:
    """Mean share of a row's k nearest rows by cosine that both spaces agree on; a: [n, p], b: [n, q].

    Unrelated spaces reach k / (n − 1).
    """
    near_a, near_b = (neighbours(space, k) for space in _matched(a, b))  # [n, k]
    return float((near_a[:, :, None] == near_b[:, None, :]).any(2).mean())


def same_kind(near: np.ndarray, kinds: ArrayLike) -> float:
    """Share of the neighbours [n, k], row numbers as `neighbours` gives them, that are of the row's own kind [n]."""
    kinds = np.asarray(kinds)
    return float((kinds[near] == kinds[:, None]).mean())


def neighbours(a: ArrayLike, k: int = 10) -> np.ndarray:
    """The k rows nearest to each row by cosine, itself left out, in no order; a: [n, d], gives row numbers [n, k].

    Raises:
        ValueError: a row without direction, or fewer than k other rows.
    """
    (units,) = _units(_matched(a, a)[0])
    if not 0 < k < len(units):
        raise ValueError(f"k is {k}, expected 1 to {len(units) - 1}, the number of other rows")
    near = np.empty((len(units), k), dtype=int)
    for rows in _blocks(len(units)):
        cosine = units[rows] @ units.T  # [m, n]
        cosine[np.arange(len(rows)), rows] = -np.inf  # nobody is their own neighbour
        near[rows] = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
    return near


def shuffled(a: ArrayLike, seed: int = 0) -> np.ndarray:
    """The rows of ``a`` in random order: the control with the same cloud but no matches."""
    return np.random.default_rng(seed).permutation(np.asarray(a))


def _matched(a: ArrayLike, b: ArrayLike, same_width: bool = False) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    fits = a.ndim == b.ndim == 2 and len(a) == len(b) and (a.shape[1] == b.shape[1] or not same_width)
    if not fits or not len(a):
        expected = "[n, d] twice" if same_width else "[n, p] and [n, q]"
        raise ValueError(f"a has shape {a.shape}, b has shape {b.shape}; expected {expected}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("a or b holds NaN or infinite values")
    return a, b


def _units(*spaces: np.ndarray) -> list[np.ndarray]:
    norms = [np.linalg.norm(space, axis=1, keepdims=True) for space in spaces]
    for norm in norms:
        if (norm == 0).any():
            raise ValueError(f"row {norm.argmin()} is all zero and has no direction (drop the padding row)")
    return [space / norm for space, norm in zip(spaces, norms, strict=True)]


def _blocks(n: int) -> Iterator[np.ndarray]:
    step = max(1, _CELLS // n)
    return (np.arange(start, min(start + step, n)) for start in range(0, n, step))
