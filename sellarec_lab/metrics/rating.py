"""How well scores order labelled rows, over all rows and within a user, and how well probabilities keep their word."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special, stats
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression

from sellarec_lab.metrics.ranks import discount


class Calibration(NamedTuple):
    """The line that turns a score into a log-odds: slope * score + intercept."""

    slope: float
    intercept: float


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """P(score of a random positive > score of a random negative); a tie counts one half.

    Raises ValueError on NaN scores, labels other than 0 and 1, or when one class is missing.
    """
    labels, scores = checked(labels, scores)
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        raise ValueError(f"AUC needs both classes, got {positives} positive and {negatives} negative rows")
    rank_sum = stats.rankdata(scores)[labels == 1].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def quality(predicted: pd.DataFrame) -> dict[str, float]:
    """AUC and UAUC of a frame with ``user_id, label, score``."""
    users, labels, scores = (predicted[column] for column in ("user_id", "label", "score"))
    return {"auc": auc(labels, scores), "uauc": uauc(users, labels, scores)}


def user_auc(user_ids: ArrayLike, labels: ArrayLike, scores: ArrayLike) -> pd.DataFrame:
    """AUC of every user who has both classes: DataFrame indexed by user_id with auc, rows, positives.

    ValueError as in `auc` on what is no label or score, and when user_ids are not as many.
    """
    rows, table = _by_user(user_ids, labels, scores)
    rank_sum = (rows.groupby("user_id")["score"].rank() * rows["label"]).groupby(rows["user_id"]).sum()
    positives, negatives = table["positives"], table["rows"] - table["positives"]
    return _with(table, "auc", (rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def user_ndcg(user_ids: ArrayLike, labels: ArrayLike, scores: ArrayLike) -> pd.DataFrame:
    """NDCG over all rows of every user who has both classes: DataFrame indexed by user_id with ndcg, rows, positives.

    Tied rows share the mean discount of the ranks that they hold together: the expected value over their orders,
    as in scikit-learn's ``ndcg_score``. ValueError as in `user_auc`.
    """
    rows, table = _by_user(user_ids, labels, scores)
    rows["gain"] = discount(rows["rank"])
    rows["gain"] = rows.groupby(["user_id", "score"])["gain"].transform("mean") * rows["label"]
    ideal = discount(np.arange(1, 1 + max(table["positives"], default=0))).cumsum()
    return _with(table, "ndcg", rows.groupby("user_id")["gain"].sum() / ideal[table["positives"] - 1])


def user_map(user_ids: ArrayLike, labels: ArrayLike, scores: ArrayLike) -> pd.DataFrame:
    """Average precision of every user who has both classes: DataFrame indexed by user_id with map, rows, positives.

    Tied rows enter together, all at the rank of the last of them, as in scikit-learn's ``average_precision_score``.
    ValueError as in `user_auc`.
    """
    rows, table = _by_user(user_ids, labels, scores)
    rows["found"] = rows.groupby("user_id")["label"].cumsum()
    end = rows.groupby(["user_id", "score"])[["found", "rank"]].transform("max")
    rows["precision"] = end["found"] / end["rank"] * rows["label"]
    return _with(table, "map", rows.groupby("user_id")["precision"].sum() / table["positives"])


def uauc(user_ids: ArrayLike, labels: ArrayLike, scores: ArrayLike) -> float:
    """Unweighted mean of per-user AUC; users with one class are skipped.

    Raises ValueError when no user has both classes.
    """
    return mean_over_users(user_auc(user_ids, labels, scores)["auc"], "UAUC")


def ndcg(user_ids: ArrayLike, labels: ArrayLike, scores: ArrayLike) -> float:
    """Unweighted mean of `user_ndcg`; ValueError when no user has both classes."""
    return mean_over_users(user_ndcg(user_ids, labels, scores)["ndcg"], "NDCG")


def mean_average_precision(user_ids: ArrayLike, labels: ArrayLike, scores: ArrayLike) -> float:
    """Unweighted mean of `user_map`; ValueError when no user has both classes."""
    return mean_over_users(user_map(user_ids, labels, scores)["map"], "MAP")


def mean_over_users(per_user: pd.Series, name: str) -> float:
    """Unweighted mean; ValueError when there is no user."""
    if per_user.empty:
        raise ValueError(f"{name.upper()} needs at least one user with both a positive and a negative row, got none")
    return float(per_user.mean())


def scorable_users(user_ids: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Sorted ids of the users who have both classes, the only ones that UAUC can count."""
    labels = np.asarray(labels)
    return user_auc(user_ids, labels, np.zeros(labels.shape)).index.to_numpy()


def gap_closed(score: float, oracle: float, floor: float = 0.5) -> float:
    """Share of the way from ``floor`` (chance) to ``oracle`` (the best possible) that ``score`` covers."""
    if oracle <= floor:
        raise ValueError(f"the oracle ({oracle}) must lie above the floor ({floor})")
    return float((score - floor) / (oracle - floor))


def log_loss(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean of −log of the probability given to what happened, in nats."""
    return float(sk.log_loss(*checked(labels, probabilities, probability=True), labels=[0, 1]))


def expected_calibration_error(labels: ArrayLike, probabilities: ArrayLike, bins: int = 10) -> float:
    """Mean of |share of positives − mean probability| over equal-width bins, weighted by rows."""
    labels, probabilities = checked(labels, probabilities, probability=True)
    slot = np.minimum((probabilities * bins).astype(int), bins - 1)
    gap = np.bincount(slot, weights=labels - probabilities, minlength=bins)
    return float(np.abs(gap).sum() / len(labels))


def calibrate(labels: ArrayLike, scores: ArrayLike) -> Calibration:
    """Logistic regression of labels on scores without penalty (Platt 1999); fit it on rows that are not judged later.

    The fit sees scores minus their median over their interquartile range, so neither unit nor outliers decide how well
    it converges. If the scores separate the classes, the slope is as large as the solver came, not infinite.
    ValueError as in `auc`, and on infinite scores.
    """
    labels, scores = checked(labels, scores)
    if len(np.unique(labels)) < 2:
        raise ValueError(f"calibration needs both classes, got {labels.sum()} positive of {len(labels)} rows")
    if not np.isfinite(scores).all():
        raise ValueError(f"{(~np.isfinite(scores)).sum()} of {len(scores)} scores are infinite")
    middle = np.median(scores)
    width = stats.iqr(scores) or scores.std() or 1.0  # most scores equal; all scores equal
    fit = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit((scores - middle)[:, None] / width, labels)
    slope = float(fit.coef_[0, 0] / width)
    return Calibration(slope, float(fit.intercept_[0] - slope * middle))


def probabilities(scores: ArrayLike, calibration: Calibration) -> np.ndarray:
    """P(like) of scores [n] by the line of `calibrate`, [n]."""
    return special.expit(calibration.slope * np.asarray(scores, dtype=float) + calibration.intercept)


def checked(labels: ArrayLike, scores: ArrayLike, probability: bool = False) -> tuple:
    """Both as arrays [n]; ValueError on other shapes, labels or scores than a metric can use."""
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=float)
    if labels.shape != scores.shape or labels.ndim != 1:
        raise ValueError(f"labels have shape {labels.shape}, scores have shape {scores.shape}; expected [n]")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"labels must be 0 or 1, got {np.unique(labels)[:5].tolist()}")
    bad = ~((scores >= 0) & (scores <= 1)) if probability else np.isnan(scores)
    if bad.any():
        wrong = "are no probabilities" if probability else "are NaN"
        raise ValueError(f"{bad.sum()} of {len(scores)} scores {wrong}, first in row {bad.argmax()}")
    return labels.astype(int), scores


def _by_user(user_ids: ArrayLike, labels: ArrayLike, scores: ArrayLike) -> tuple[pd.DataFrame, pd.DataFrame]:
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
