"""How sure a number is: the bootstrap over users or queries, alone and between two models.

Users are resampled, not rows: the rows of one user share taste and history, so resampling rows would
pretend to know more than we do. For the same reason `Ranks` are resampled by query, not by target.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from sellarec_lab.metrics.ranks import checked_ranks, per_query, value
from sellarec_lab.metrics.rating import auc, checked, mean_over_users, user_auc, user_map, user_ndcg

Statistic = Callable[[np.ndarray], np.ndarray]

# Metrics that are a mean over users: the table of users and its column.
_OVER_USERS = {"uauc": (user_auc, "auc"), "ndcg": (user_ndcg, "ndcg"), "map": (user_map, "map")}

_CELLS = 2_000_000  # most weights held at once: 16 MB
_KEPT: dict[tuple, np.ndarray] = {}  # resampled values by content, 8 KB each
_MOST_KEPT = 4096


class Interval(NamedTuple):
    """A measured value and the bounds of its bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


class Paired(NamedTuple):
    """Metric of model a minus metric of model b on the same rows; ``users`` are queries where `Ranks` are compared."""

    difference: float
    low: float
    high: float
    p_value: float
    users: int


def interval(
    frames: pd.DataFrame | Sequence[pd.DataFrame],
    metric: str = "auc",
    samples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Percentile bootstrap over users, or over the queries of `Ranks`, drawn with replacement.

    A frame has user_id, label, score (metric ``"auc"``, ``"uauc"``, ``"ndcg"`` or ``"map"``) or is `Ranks` (metrics of
    `per_query`). Several frames are the same rows scored by runs with other seeds: the value is the mean over runs, and
    every draw is applied to all of them. A draw without both classes is left out. ValueError on frames that lack a
    column or count ties differently, and on a metric that their format doesn't have.
    """
    (runs,) = _runs(frames)
    return Interval(_mean(runs, metric), *_bounds(_resampled(runs, metric, samples, seed), level))


def paired(
    frames_a: pd.DataFrame | Sequence[pd.DataFrame],
    frames_b: pd.DataFrame | Sequence[pd.DataFrame],
    metric: str = "auc",
    samples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Paired:
    """Metric of a minus metric of b, both seeing the same draws of users or queries; frames as in `interval`.

    ``p_value``: normal, with the bootstrap's standard error, for ``"auc"``; paired t-test on per-user or per-query
    values for the others. ``users``: how many users or queries the comparison rests on. The frames may be in different
    order; ValueError as in `interval`, and if they do not hold the same (user_id, item_id, label) rows, or the same
    (query, target) rows ranked among as many candidates.
    """
    sides = _runs(frames_a, frames_b)
    runs_a, runs_b = ([_same_rows(sides[0][0], frame)[1] for frame in side] for side in sides)
    difference = _mean(runs_a, metric) - _mean(runs_b, metric)
    differences = _resampled(runs_a, metric, samples, seed) - _resampled(runs_b, metric, samples, seed)
    low, high = _bounds(differences, level)
    if metric == "auc":
        p_value = _normal_p_value(difference, differences)
        return Paired(difference, low, high, p_value, len(_units(runs_a[0]).categories))
    a, b = (sum(_per_unit(frame, metric) for frame in runs) / len(runs) for runs in (runs_a, runs_b))
    return Paired(difference, low, high, _t_test_p_value(a, b), len(a))


def detectable(paired: Paired, power: float = 0.8, alpha: float = 0.05) -> float:
    """Smallest true difference that a two-sided test at ``alpha`` finds with probability ``power``, in metric units.

    (z(1 − alpha / 2) + z(power)) · SE; the SE is half the width of the comparison's interval over 1.96, so that
    interval must be at the level 0.95. ValueError unless power and alpha lie between 0 and 1.
    """
    if not (0 < power < 1 and 0 < alpha < 1):
        raise ValueError(f"power is {power} and alpha is {alpha}, expected numbers between 0 and 1")
    error = (paired.high - paired.low) / 2 / stats.norm.ppf(0.975)
    return float((stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)) * error)


def _runs(*sides: pd.DataFrame | Sequence[pd.DataFrame]) -> list[list[pd.DataFrame]]:
    """The frames of every side; ValueError on what can't be resampled or, all together, compared."""
    runs = [[side] if isinstance(side, pd.DataFrame) else list(side) for side in sides]
    frames = [frame for side in runs for frame in side]
    if all("query" in frame for frame in frames):
        checked_ranks(*frames)
    else:
        for frame in frames:
            _require(frame, ["user_id", "label", "score"])
            if frame["user_id"].isna().any():
                raise ValueError(f"user_id is missing in {frame['user_id'].isna().sum()} rows")
    return runs


def _resampled(runs: list[pd.DataFrame], metric: str, samples: int, seed: int) -> np.ndarray:
    """Mean over runs of the metric in every draw of users or queries, [samples]."""
    return np.mean([_resampled_run(frame, metric, samples, seed) for frame in runs], axis=0)


def _resampled_run(frame: pd.DataFrame, metric: str, samples: int, seed: int) -> np.ndarray:
    """The metric in every draw, [samples]; kept by content, since a model is compared with many others."""
    key = (hashlib.blake2b(_content(frame, metric)).digest(), metric, samples, seed)
    if key not in _KEPT:
        if len(_KEPT) >= _MOST_KEPT:
            _KEPT.clear()
        units = _units(frame)
        statistic = _statistic(frame, units, metric)
        _KEPT[key] = np.concatenate([statistic(counts) for counts in _draws(units, len(frame), samples, seed)])
    return _KEPT[key]


def _content(frame: pd.DataFrame, metric: str) -> bytes:
    """What the draws of a frame's metric depend on, whatever the order of its rows."""
    if "query" in frame:
        return per_query(frame, metric).to_numpy().tobytes()
    parts = [frame[name].to_numpy() for name in ("user_id", "label", "score")]
    order = np.lexsort(parts)
    return b"".join(np.ascontiguousarray(part[order]).tobytes() for part in parts)


def _per_unit(frame: pd.DataFrame, metric: str) -> pd.Series:
    """The metric of every query, or of every user who has both classes."""
    if "query" in frame:
        return per_query(frame, metric)
    table, column = _OVER_USERS[metric]
    return table(frame["user_id"], frame["label"], frame["score"])[column]


def _units(frame: pd.DataFrame) -> pd.Categorical:
    """Whom a row belongs to: what the bootstrap draws."""
    return pd.Categorical(frame["query" if "query" in frame else "user_id"])


def _require(frame: pd.DataFrame, columns: list[str]) -> None:
    missing = [name for name in columns if name not in frame]
    if missing:
        raise ValueError(f"the frame lacks {missing}; it has {list(frame.columns)}")


def _mean(runs: list[pd.DataFrame], metric: str) -> float:
    return float(np.mean([_value(frame, metric) for frame in runs]))


def _value(frame: pd.DataFrame, metric: str) -> float:
    if "query" in frame:
        return value(frame, metric)
    if metric == "auc":
        return auc(frame["label"], frame["score"])
    if metric in _OVER_USERS:
        return mean_over_users(_per_unit(frame, metric), metric)
    raise ValueError(f"metric is {metric!r}, expected one of {['auc', *_OVER_USERS]}")


def _statistic(frame: pd.DataFrame, units: pd.Categorical, metric: str) -> Statistic:
    """A function from draws [S, n_units] (how often each user or query was drawn) to values [S]."""
    if metric == "auc":
        return _weighted_auc(frame["label"], frame["score"], units.codes)
    per_unit = _per_unit(frame, metric).reindex(units.categories).to_numpy()  # [n_units], NaN if not scorable
    scorable = ~np.isnan(per_unit)
    return lambda counts: _ratio(counts[:, scorable] @ per_unit[scorable], counts[:, scorable].sum(1))


def _weighted_auc(labels: ArrayLike, scores: ArrayLike, user_of_row: np.ndarray) -> Statistic:
    """AUC of weighted rows, sorted once: each draw only changes the weights."""
    labels, scores = checked(labels, scores)
    liked = labels == 1
    order = np.argsort(scores[~liked], kind="stable")
    below, beside = user_of_row[~liked][order], user_of_row[liked]  # whose rows they are
    first, last = (np.searchsorted(scores[~liked][order], scores[liked], side) for side in ("left", "right"))

    def statistic(counts: np.ndarray) -> np.ndarray:  # [S, n_users] → [S]
        negative = np.zeros((len(counts), len(below) + 1))  # weight of the negative rows up to each
        np.cumsum(counts[:, below], axis=1, out=negative[:, 1:])
        positive = counts[:, beside]
        won = np.einsum("sn,sn->s", positive, negative[:, first])
        if (first != last).any():  # a tie counts one half
            won = (won + np.einsum("sn,sn->s", positive, negative[:, last])) / 2
        return _ratio(won, positive.sum(1) * negative[:, -1])

    return statistic


def _draws(units: pd.Categorical, n_rows: int, samples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each user or query is drawn, [S, n_units] a chunk; the seed alone decides, not the chunking."""
    n_units, rng = len(units.categories), np.random.default_rng(seed)
    chunk = max(1, _CELLS // n_rows)
    for start in range(0, samples, chunk):
        yield rng.multinomial(n_units, np.full(n_units, 1 / n_units), size=min(chunk, samples - start))


def _bounds(values: np.ndarray, level: float) -> tuple[float, float]:
    if np.isnan(values).all():
        raise ValueError("no bootstrap draw held both classes; there are too few users for an interval")
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _normal_p_value(value: float, differences: np.ndarray) -> float:
    """Two-sided, by the normal distribution with the bootstrap's standard error: a share of draws could not fall below
    2 / samples, which no correction for many comparisons survives."""
    error = float(np.nanstd(differences))
    return float(2 * stats.norm.sf(abs(value) / error)) if error > 0 else float(value == 0)


def _t_test_p_value(a: pd.Series, b: pd.Series) -> float:
    if len(a) < 2:
        raise ValueError(f"a paired test needs at least 2 queries or users with both classes, got {len(a)}")
    return 1.0 if (a == b).all() else float(stats.ttest_rel(a, b).pvalue)


def _same_rows(frame_a: pd.DataFrame, frame_b: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    key = ["query", "target", "candidates"] if "query" in frame_a else ["user_id", "item_id", "label"]
    for frame in (frame_a, frame_b):
        _require(frame, key)
    a, b = (frame.sort_values(key, kind="stable", ignore_index=True) for frame in (frame_a, frame_b))
    if len(a) != len(b):
        raise ValueError(f"both models must score the same rows, got {len(a)} rows and {len(b)} rows")
    differs = (a[key].to_numpy() != b[key].to_numpy()).any(axis=1)
    if differs.any():
        at = int(differs.argmax())
        pair = " and ".join(str(tuple(frame.loc[at, key].tolist())) for frame in (a, b))
        raise ValueError(f"both models must score the same rows; first mismatch of {tuple(key)}: {pair}")
    return a, b


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotient, NaN where there is nothing to divide by."""
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)
