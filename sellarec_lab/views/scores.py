"""The scores of one model: do they tell labels apart, do probabilities keep their word, how near is the truth.

``scored`` is a prediction frame with ``label`` and ``score`` = logit(Yes) − logit(No): sigmoid(score) is P(like).
"""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots
from scipy.special import expit

from sellarec_lab import metrics
from sellarec_lab.views.style import BLACK, BLUE, GREEN, GREY, dress, legend_on_top, need_columns

_MOST_POINTS = 4000
_DIAGONAL = {"x": [0, 1], "y": [0, 1], "mode": "lines", "line": {"color": GREY, "dash": "dot"}, "hoverinfo": "skip"}


def calibration(scored: pd.DataFrame, truth: ArrayLike | None = None, bins: int = 10) -> go.Figure:
    """Reliability: share of likes (with 95 % Wilson interval) among rows of like probability, and their count below.

    Args:
        scored: label, score.
        truth: true P(like) of the same rows [n], where it is known; adds its mean a bin.
        bins: equal-width bins of probability.

    Raises:
        ValueError: a column is missing, or truth has another shape than the scores (both are named).
    """
    labels, scores = _columns(scored)
    probability = expit(scores)
    slot = np.minimum((probability * bins).astype(int), bins - 1)
    table = pd.DataFrame({"slot": slot, "p": probability, "label": labels})
    if truth is not None:
        table["truth"] = _truth(truth, scores)
    mean, count = table.groupby("slot").mean(), table.groupby("slot").size()
    low, high = _wilson(mean["label"].to_numpy(), count.to_numpy())
    figure = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.76, 0.24], vertical_spacing=0.05)
    figure.add_trace(go.Scatter(**_DIAGONAL, name="perfect", showlegend=False), row=1, col=1)
    error = {
        "type": "data", "symmetric": False, "array": high - mean["label"], "arrayminus": mean["label"] - low,
        "color": BLUE, "thickness": 1.2, "width": 4,
    }  # fmt: skip
    observed = go.Scatter(
        x=mean["p"], y=mean["label"], error_y=error, mode="lines+markers", name="observed share of likes",
        line={"color": BLUE, "width": 2}, marker={"size": 8}, customdata=count,
        hovertemplate="predicted %{x:.3f}<br>observed %{y:.3f}<br>%{customdata:,} rows<extra></extra>",
    )  # fmt: skip
    figure.add_trace(observed, row=1, col=1)
    if truth is not None:
        _add_truth(figure, mean)
    _add_counts(figure, count, bins)
    figure.update_xaxes(range=[-0.01, 1.01]).update_xaxes(title_text="predicted P(like) = sigmoid(score)", row=2, col=1)
    figure.update_yaxes(title_text="share of likes", range=[-0.02, 1.02], row=1, col=1)
    figure.update_yaxes(title_text="rows", tickformat=",", nticks=4, row=2, col=1)
    error_text = f"expected calibration error {metrics.expected_calibration_error(labels, probability, bins):.3f}"
    return dress(figure, "Do probabilities keep their word?", error_text, 540, legend=legend_on_top())


def _add_counts(figure: go.Figure, count: pd.Series, bins: int) -> None:
    bar = {"color": "#BDBDBD", "line": {"width": 0}}
    counts = go.Bar(
        x=(count.index + 0.5) / bins, y=count, width=0.9 / bins, marker=bar, showlegend=False, name="rows",
        hovertemplate="%{y:,} rows<extra></extra>",
    )  # fmt: skip
    figure.add_trace(counts, row=2, col=1)


def _add_truth(figure: go.Figure, mean: pd.DataFrame) -> None:
    line = go.Scatter(
        x=mean["p"], y=mean["truth"], mode="lines+markers", name="true probability",
        line={"color": GREEN, "width": 2, "dash": "dash"}, marker={"size": 8, "symbol": "diamond"},
        hovertemplate="predicted %{x:.3f}<br>true %{y:.3f}<extra></extra>",
    )  # fmt: skip
    figure.add_trace(line, row=1, col=1)


def score_against_truth(scored: pd.DataFrame, truth_probability: ArrayLike, bins: int = 20) -> go.Figure:
    """Predicted against true P(like), one point a row (at most 4,000 are drawn), with the mean a twentieth of rows.

    Raises:
        ValueError: a column is missing, or the truth has another shape than the scores (both are named).
    """
    _, scores = _columns(scored)
    truth, predicted = _truth(truth_probability, scores), expit(scores)
    drawn = np.arange(len(scores))
    if len(drawn) > _MOST_POINTS:
        drawn = np.sort(np.random.default_rng(0).permutation(len(scores))[:_MOST_POINTS])
    figure = go.Figure(go.Scatter(**_DIAGONAL, name="perfect", showlegend=False))
    dots = go.Scatter(
        x=truth[drawn], y=predicted[drawn], mode="markers", name="row", showlegend=False,
        marker={"color": BLUE, "size": 5, "opacity": 0.25, "line": {"width": 0}},
        hovertemplate="true %{x:.3f}<br>predicted %{y:.3f}<extra></extra>",
    )  # fmt: skip
    groups = np.array_split(np.argsort(truth, kind="stable"), min(bins, len(truth)))
    line = go.Scatter(
        x=[truth[g].mean() for g in groups], y=[predicted[g].mean() for g in groups], mode="lines+markers",
        name="mean prediction", line={"color": BLACK, "width": 2.5}, marker={"size": 7},
        hovertemplate="true %{x:.3f}<br>mean prediction %{y:.3f}<extra></extra>",
    )  # fmt: skip
    figure.add_trace(dots).add_trace(line)
    figure.update_xaxes(title_text="true P(like)", range=[-0.02, 1.02])
    figure.update_yaxes(title_text="predicted P(like) = sigmoid(score)", range=[-0.02, 1.02])
    rank = pd.Series(truth).corr(pd.Series(scores), method="spearman")
    subtitle = f"rank correlation {rank:.3f}, {len(truth):,} rows"
    return dress(figure, "Predicted against true probability", subtitle, 540, legend=legend_on_top())


def _columns(scored: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    need_columns(scored, ("label", "score"), "scored")
    labels, scores = scored["label"].to_numpy(), scored["score"].to_numpy(dtype=float)
    if not len(scores):
        raise ValueError("scored holds no row")
    if not np.isfinite(scores).all():
        raise ValueError(f"{(~np.isfinite(scores)).sum()} of {len(scores)} scores are not finite")
    return labels, scores


def _truth(truth: ArrayLike, scores: np.ndarray) -> np.ndarray:
    truth = np.asarray(truth, dtype=float)
    if truth.shape != scores.shape:
        raise ValueError(f"truth has shape {truth.shape}, scores have shape {scores.shape}; expected [n] twice")
    if not ((truth >= 0) & (truth <= 1)).all():
        raise ValueError("truth holds values outside 0 to 1: expected probabilities")
    return truth


def _wilson(share: np.ndarray, count: np.ndarray, z: float = 1.96) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval of a share, which stays inside 0 to 1."""
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return np.minimum(middle - half, share), np.maximum(middle + half, share)
