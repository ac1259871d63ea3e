"""Where the right answers stand among all candidates of a query: `Ranks`, and hit rate, NDCG and MRR over them.

`Ranks` is a DataFrame with one row a (query, target): ``query``, ``target``, ``rank`` (float, 1 = best), ``candidates``
(how many were ranked when this target was) and ``ties`` (how equal scores were counted: "best", "worst" or "mean"; a
column, so that it survives filtering and concatenation).
"""

import re
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse

COLUMNS = ["query", "target", "rank", "candidates", "ties"]
_AHEAD = {"best": 0.0, "worst": 1.0, "mean": 0.5}  # share of a target's equals that stand before it
_CELLS = 2_000_000  # most scores copied at once: 16 MB


def rank_targets(
    scores: ArrayLike,
    targets: ArrayLike | Sequence[Collection[int]],
    ties: str = "mean",
    queries: Sequence | None = None,
    excluded: ArrayLike | Sequence[Collection[int]] | None = None,
    filtered: bool = False,
) -> pd.DataFrame:
    """`Ranks` of every query's targets among all its candidates, other targets included.

    Args:
        scores: [Q, n], higher is better; −inf or NaN where a column is no candidate.
        targets: a collection of column numbers a query, or bool [Q, n]. A target that is no candidate is left out, and
            so is a query without a target.
        ties: "best" puts a target before its equals, "worst" behind them, "mean" at the mean of the ranks they hold
            together. Constant scores look perfect under "best".
        queries: numbers, words or pairs that name the rows, each once; 0 to Q − 1 if not given.
        excluded: more columns that are no candidates, in either form of ``targets``.
        filtered: whether the query's other targets are no candidates while one is ranked, the filtered setting of link
            prediction (Bordes et al. 2013). What is known to be true from elsewhere goes to ``excluded``.

    Returns:
        `Ranks`, sorted by row of ``scores`` and target.

    Raises:
        ValueError: shapes do not fit, a column number is none of 0 to n − 1, a query's name is missing or there twice,
            or ``ties`` is another word.
    """
    scores = np.asarray(scores)
    if scores.ndim != 2 or scores.dtype.kind not in "fiu":
        raise ValueError(f"scores have shape {scores.shape} and type {scores.dtype}, expected numbers [Q, n]")
    if ties not in _AHEAD:
        raise ValueError(f"ties is {ties!r}, expected one of {list(_AHEAD)}")
    names = _names(queries, len(scores))
    absent = _marked([()] * len(scores) if excluded is None else excluded, scores.shape, "excluded")
    wanted = _marked(targets, scores.shape, "targets") > absent  # a target, and not excluded
    rows, columns = np.array(wanted.nonzero(), dtype=int)  # scipy counts in int32 where it can
    candidate = scores[rows, columns] > -np.inf
    rows, columns = rows[candidate], columns[candidate]
    better, equal, many = _standing(scores, rows, columns, absent + wanted if filtered else absent)
    ranked = {"query": names[rows], "target": columns, "rank": 1 + better + _AHEAD[ties] * equal, "candidates": many}
    return pd.DataFrame(ranked | {"ties": ties})[COLUMNS]


def per_query(ranks: pd.DataFrame, metric: str) -> pd.Series:
    """A metric of every query in `Ranks`, indexed by query and named by the metric.

    ``"hr@K"``: 1 if a target has rank K or better. ``"hits@K"``: share of the query's targets that do. ``"mrr"``: 1
    over the best rank. ``"ndcg@K"``: sum of 1 / log2(1 + place) over the targets at places up to K, over that of
    min(K, number of targets) on top (Järvelin & Kekäläinen 2002). A place is a rank, except that targets which tie with
    each other stand side by side: one place can't be held twice, and no NDCG exceeds 1.

    Link prediction takes the mean over triples instead of queries: ``ranks.assign(query=range(len(ranks)))``.

    Raises:
        ValueError: another metric, no sound `Ranks` (see `checked_ranks`), or ``"ndcg@K"`` of filtered ranks where two
            targets hold one place.
    """
    name, k = _parsed(metric)
    checked_ranks(ranks)
    within = (ranks["rank"] <= k).astype(float)
    columns = {"hr": within, "hits": within, "mrr": 1 / ranks["rank"]}
    found = (columns[name] if name in columns else _gains(ranks, k)).groupby(ranks["query"])
    if name != "ndcg":
        return (found.mean() if name == "hits" else found.max()).rename(metric)
    many = found.size()
    ideal = discount(np.arange(1, 1 + max(many, default=0))).cumsum()
    return (found.sum() / ideal[np.minimum(many, k) - 1]).rename(metric)


def value(ranks: pd.DataFrame, metric: str) -> float:
    """Mean of `per_query` over queries; ValueError as there, and when there is no query."""
    values = per_query(ranks, metric)
    if values.empty:
        raise ValueError(f"{metric} needs at least one query with a target among its candidates, got none")
    return float(values.mean())


def discount(rank: ArrayLike) -> np.ndarray:
    """What a target at this rank adds to the gain: 1 / log2(1 + rank)."""
    return 1 / np.log2(1 + np.asarray(rank))


def checked_ranks(*frames: pd.DataFrame) -> None:
    """ValueError where one of these `Ranks` lacks a column, has a row without a query, a (query, target) twice or a
    rank outside 1 to candidates, or where they do not all count ties by the same of the three words."""
    for ranks in frames:
        missing = [name for name in COLUMNS if name not in ranks]
        if missing:
            raise ValueError(f"the ranks lack {missing}; they have {list(ranks.columns)}; rank_targets makes them")
        for bad, what in (
            (ranks["query"].isna(), "has no query"),
            (ranks.duplicated(["query", "target"]), "is there twice; runs with other seeds are frames of their own"),
            (~ranks["rank"].between(1, ranks["candidates"]), "has a rank outside 1 to candidates"),  # NaN too
        ):
            if bad.any():
                row = ranks.iloc[int(bad.to_numpy().argmax())]
                raise ValueError(f"a row of the ranks {what}: {row[COLUMNS].to_dict()}")
    ways = {str(way) for ranks in frames for way in ranks["ties"].unique()}
    if len(ways) > 1 or ways - set(_AHEAD):
        raise ValueError(f"ties are counted as {sorted(ways)}; expected the same word in every row, of {list(_AHEAD)}")


def _names(queries: Sequence | None, n: int) -> np.ndarray:
    names = pd.Series(range(n) if queries is None else queries)
    if len(names) != n:
        raise ValueError(f"queries name {len(names)} rows, scores have {n}")
    if names.isna().any() or names.duplicated().any():
        bad = int((names.isna() | names.duplicated()).to_numpy().argmax())
        raise ValueError(f"queries[{bad}] is {names.iloc[bad]!r}, expected a name that no other row has")
    return names.to_numpy()


def _marked(which: ArrayLike | Sequence[Collection[int]], shape: tuple[int, int], name: str) -> sparse.csr_array:
    """What a mask or collections of column numbers pick, as sparse bool [Q, n]."""
    which = np.asarray(which) if hasattr(which, "shape") else list(which)
    if isinstance(which, np.ndarray) and which.dtype == bool:
        if which.shape != shape:
            raise ValueError(f"{name} have shape {which.shape}, scores have shape {shape}")
        return sparse.csr_array(which)
    if len(which) != shape[0]:
        raise ValueError(f"{name} have {len(which)} rows, scores have shape {shape}")
    single = [row for row, columns in enumerate(which) if not isinstance(columns, Collection)]
    if single:
        raise ValueError(f"{name}[{single[0]}] is {which[single[0]]!r}, expected a collection of column numbers")
    columns = np.array([column for row in which for column in row])
    if len(columns) and (columns.dtype.kind not in "iu" or columns.min() < 0 or columns.max() >= shape[1]):
        outside = sorted(set(columns.tolist()) - set(range(shape[1])))[:3] or columns.dtype
        raise ValueError(f"{name} hold {outside}, expected column numbers from 0 to {shape[1] - 1}")
    rows = np.repeat(np.arange(shape[0]), [len(row) for row in which])
    return sparse.csr_array((np.ones(len(rows), dtype=bool), (rows, columns.astype(int))), shape=shape)


def _standing(scores: np.ndarray, rows: np.ndarray, columns: np.ndarray, absent: sparse.csr_array) -> np.ndarray:
    """How many candidates are better than each cell, how many others equal it, how many there are with it, [3, P]."""
    out, step = np.empty((3, len(rows)), dtype=int), max(1, _CELLS // max(1, scores.shape[1]))
    for part in (slice(start, start + step) for start in range(0, len(rows), step)):
        block = scores[rows[part]].astype(float)  # [m, n], a copy
        own = scores[rows[part], columns[part]][:, None]
        block[absent[rows[part]].nonzero()] = -np.inf
        block[np.arange(len(block)), columns[part]] = -np.inf  # counted apart: in the filtered setting it is absent
        out[:, part] = (block > own).sum(1), (block == own).sum(1), 1 + (block > -np.inf).sum(1)
    return out


def _parsed(metric: str) -> tuple[str, float]:
    """The name of a metric and its K, infinite if it has none."""
    match = re.fullmatch(r"(hr|ndcg|hits)@([1-9]\d*)|mrr", metric)
    if not match:
        raise ValueError(f"metric is {metric!r}, expected hr@K, ndcg@K or hits@K with K of at least 1, or mrr")
    return (match[1], int(match[2])) if match[1] else (metric, np.inf)


def _gains(ranks: pd.DataFrame, k: float) -> pd.Series:
    """What every target adds to the gain of the k best places of its query."""
    tied = ranks.groupby(["query", "rank"])["rank"]
    ahead = ranks["ties"].map(_AHEAD).astype(float)
    places = ranks["rank"] + tied.cumcount() - ahead * (tied.transform("size") - 1)
    in_order = pd.DataFrame({"query": ranks["query"], "place": places}).sort_values(["query", "place"])
    apart = in_order.groupby("query")["place"].diff().fillna(in_order["place"])  # the first: from 0
    if (apart < 1).any():
        who = in_order.loc[apart < 1, "query"].iloc[0]
        raise ValueError(f"two targets of query {who} hold one place; NDCG needs rank_targets(…, filtered=False)")
    return pd.Series(np.where(places <= k, discount(places), 0.0), index=ranks.index)
