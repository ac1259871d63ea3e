"""How well scores order the rows, or the whole catalogue, of one user: NDCG, average precision, hit rate.

Binary relevance and the discount 1 / log2(1 + rank), Järvelin & Kekäläinen 2002.
"""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sellarec_lab.metrics.rating import checked

_CELLS = 2_000_000  # most scores sorted at once: 16 MB


def user_ndcg(user_ids: ArrayLike, labels: ArrayLike, scores: ArrayLike) -> pd.DataFrame:
    """NDCG over all rows of every user who has both classes: DataFrame indexed by user_id with ndcg, rows, positives.

    Tied rows share the mean discount of the ranks that they hold together: the expected value over their orders,
    as in scikit-learn's ``ndcg_score``. ValueError as in `user_auc`.
    """
    rows, table = _per_user(user_ids, labels, scores)
    discount = _discounts(int(table["rows"].max()) if len(table) else 0)
    rows["gain"] = discount[rows["rank"] - 1]
    rows["gain"] = rows.groupby(["user_id", "score"])["gain"].transform("mean") * rows["label"]
    gain = rows.groupby("user_id")["gain"].sum().reindex(table.index)
    return _with(table, "ndcg", gain / np.r_[0.0, discount.cumsum()][table["positives"]])


def user_map(user_ids: ArrayLike, labels: ArrayLike, scores: ArrayLike) -> pd.DataFrame:
    """Average precision of every user who has both classes: DataFrame indexed by user_id with map, rows, positives.

    Tied rows enter together, all at the rank of the last of them, as in scikit-learn's ``average_precision_score``.
    ValueError as in `user_auc`.
    """
    rows, table = _per_user(user_ids, labels, scores)
    rows["found"] = rows.groupby("user_id")["label"].cumsum()
    end = rows.groupby(["user_id", "score"])[["found", "rank"]].transform("max")
    rows["precision"] = end["found"] / end["rank"] * rows["label"]
    total = rows.groupby("user_id")["precision"].sum().reindex(table.index)
    return _with(table, "map", total / table["positives"])


def ndcg(user_ids: ArrayLike, labels: ArrayLike, scores: ArrayLike) -> float:
    """Unweighted mean of `user_ndcg`; ValueError when no user has both classes."""
    return _mean(user_ndcg(user_ids, labels, scores), "ndcg")


def mean_average_precision(user_ids: ArrayLike, labels: ArrayLike, scores: ArrayLike) -> float:
    """Unweighted mean of `user_map`; ValueError when no user has both classes."""
    return _mean(user_map(user_ids, labels, scores), "map")


def full_ranking(
    scores: ArrayLike, relevant: ArrayLike | Sequence[Collection[int]], ks: Sequence[int] = (5, 10)
) -> pd.DataFrame:
    """Hit rate and NDCG of every user's K best items of the whole catalogue.

    HR@K is 1 if a relevant item is among the K best; NDCG@K divides by the gain of min(K, relevant candidates) items
    on top. A tie counts against the relevant item, so equal scores for all items find nothing.

    Args:
        scores: [n_users, n_items + 1], column = item_id; −inf or NaN where the item is no candidate. Column 0 is
            padding and never one.
        relevant: a collection of item_ids a row, or bool of the shape of ``scores``; only candidates count.
        ks: the list lengths K, each at least 1.

    Returns:
        DataFrame with hr@K for every K and then ndcg@K, indexed by the row in ``scores``; rows without a relevant
        candidate are left out.

    Raises:
        ValueError: shapes do not fit, an item_id lies outside the columns, or a K is below 1.
    """
    scores = np.array(scores, dtype=float)
    if scores.ndim != 2:
        raise ValueError(f"scores have shape {scores.shape}, expected [n_users, n_items + 1]")
    if not ks or min(ks) < 1:
        raise ValueError(f"ks are {tuple(ks)}, expected list lengths of at least 1")
    truth = _relevance(relevant, scores.shape)
    scores[:, :1] = -np.inf
    scores[np.isnan(scores)] = -np.inf
    truth &= scores > -np.inf
    kept = np.flatnonzero(truth.any(axis=1))
    top = np.concatenate([_top(scores[rows], truth[rows], max(ks)) for rows in _blocks(kept, scores.shape[1])])
    ideal = np.r_[0.0, _discounts(max(ks)).cumsum()]
    gained = (top * _discounts(max(ks))[: top.shape[1]]).cumsum(axis=1)  # [n_kept, min(K, columns)]
    many = truth[kept].sum(axis=1)
    columns = {f"hr@{k}": top[:, :k].any(axis=1).astype(float) for k in ks}
    columns |= {f"ndcg@{k}": gained[:, :k][:, -1] / ideal[np.minimum(k, many)] for k in ks}
    return pd.DataFrame(columns, index=pd.Index(kept, name="row"))


def _per_user(user_ids: ArrayLike, labels: ArrayLike, scores: ArrayLike) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of users with both classes, best first, with their rank from 1; and rows and positives of these users."""
    labels, scores = checked(labels, scores)
    users = np.asarray(user_ids)
    if users.shape != labels.shape:
        raise ValueError(f"user_ids have shape {users.shape}, labels have shape {labels.shape}")
    rows = pd.DataFrame({"user_id": users, "label": labels, "score": scores})
    table = rows.groupby("user_id").agg(rows=("label", "size"), positives=("label", "sum"))
    table = table[(table["positives"] > 0) & (table["positives"] < table["rows"])]
    rows = rows[rows["user_id"].isin(table.index)].sort_values("score", ascending=False, kind="stable")
    return rows.assign(rank=rows.groupby("user_id").cumcount() + 1), table


def _with(table: pd.DataFrame, name: str, value: pd.Series) -> pd.DataFrame:
    return table.assign(**{name: value})[[name, "rows", "positives"]]


def _mean(table: pd.DataFrame, name: str) -> float:
    if table.empty:
        raise ValueError(f"{name.upper()} needs at least one user with both a positive and a negative row, got none")
    return float(table[name].mean())


def _discounts(n: int) -> np.ndarray:
    """Gain of a relevant row at ranks 1 to n, [n]."""
    return 1 / np.log2(np.arange(2, n + 2))


def _relevance(relevant: ArrayLike | Sequence[Collection[int]], shape: tuple[int, int]) -> np.ndarray:
    """What is relevant as a new bool array of ``shape``."""
    if isinstance(relevant, np.ndarray) and relevant.dtype == bool:
        if relevant.shape != shape:
            raise ValueError(f"relevant has shape {relevant.shape}, scores have shape {shape}")
        return relevant.copy()
    if len(relevant) != shape[0]:
        raise ValueError(f"relevant has {len(relevant)} rows, scores have shape {shape}")
    sizes = [len(items) for items in relevant]
    items = np.fromiter((item for row in relevant for item in row), dtype=int, count=sum(sizes))
    if ((items < 0) | (items >= shape[1])).any():
        raise ValueError(f"item_ids reach from {items.min()} to {items.max()}, scores have shape {shape}")
    truth = np.zeros(shape, dtype=bool)
    truth[np.repeat(np.arange(shape[0]), sizes), items] = True
    return truth


def _top(scores: np.ndarray, truth: np.ndarray, k: int) -> np.ndarray:
    """Which of the k best are relevant, [m, min(k, columns)]; among equal scores the relevant come last."""
    order = np.lexsort((truth, -scores), axis=1)[:, :k]
    return np.take_along_axis(truth, order, axis=1)


def _blocks(rows: np.ndarray, width: int) -> Iterator[np.ndarray]:
    """The rows in pieces that hold a bounded number of scores; one empty piece when there are none."""
    step = max(1, _CELLS // max(1, width))
    return (rows[start : start + step] for start in range(0, max(1, len(rows)), step))
