"""How well scores rank rows, and how well probabilities keep their word."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special, stats
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression


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


def user_auc(user_ids: ArrayLike, labels: ArrayLike, scores: ArrayLike) -> pd.DataFrame:
    """AUC of every user who has both classes: DataFrame indexed by user_id with auc, rows, positives."""
    labels, scores = checked(labels, scores)
    users = np.asarray(user_ids)
    if users.shape != labels.shape:
        raise ValueError(f"user_ids have shape {users.shape}, labels have shape {labels.shape}")
    rows = pd.DataFrame({"user_id": users, "label": labels, "score": scores})
    rows["positive_rank"] = rows.groupby("user_id")["score"].rank() * rows["label"]
    table = rows.groupby("user_id").agg(
        rank_sum=("positive_rank", "sum"), rows=("label", "size"), positives=("label", "sum")
    )
    table = table[(table["positives"] > 0) & (table["positives"] < table["rows"])]
    positives, negatives = table["positives"], table["rows"] - table["positives"]
    value = (table["rank_sum"] - positives * (positives + 1) / 2) / (positives * negatives)
    return table.assign(auc=value)[["auc", "rows", "positives"]]


def uauc(user_ids: ArrayLike, labels: ArrayLike, scores: ArrayLike) -> float:
    """Unweighted mean of per-user AUC; users with one class are skipped.

    Raises ValueError when no user has both classes.
    """
    table = user_auc(user_ids, labels, scores)
    if table.empty:
        raise ValueError("UAUC needs at least one user with both a positive and a negative row, got none")
    return float(table["auc"].mean())


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
