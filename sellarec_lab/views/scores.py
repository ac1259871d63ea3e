"""The scores of one model: do they tell labels apart, do probabilities keep their word, how near is the truth.

``scored`` is a prediction frame with ``label`` and ``score`` = logit(Yes) − logit(No): sigmoid(score) is P(like).
"""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots
from scipy.special import expit
from scipy.stats import binomtest

from sellarec_lab import metrics
from sellarec_lab.views.style import BLACK, BLUE, GREEN, GREY, LEGEND_ON_TOP, dress, intervals, need_columns

_MOST_POINTS = 4000
_DOTTED = {"color": GREY, "dash": "dot"}
_DIAGONAL = go.Scatter(
    x=[0, 1], y=[0, 1], mode="lines", line=_DOTTED, name="perfect", showlegend=False, hoverinfo="skip"
)


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
    table = pd.DataFrame({"p": probability, "label": labels})
    if truth is not None:
        table["truth"] = _truth(truth, scores)
    mean, count = table.groupby(slot).mean(), table.groupby(slot).size()
    wilson = [binomtest(round(p * n), int(n)).proportion_ci(0.95, "wilson") for p, n in zip(mean["label"], count)]
    low, high = np.transpose(wilson)
    figure = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.76, 0.24], vertical_spacing=0.05)
    figure.add_trace(_DIAGONAL, row=1, col=1).add_scatter(
        x=mean["p"], y=mean["label"], mode="lines+markers", name="observed share of likes",
        error_y=intervals(mean["label"], low, high, color=BLUE, thickness=1.2, width=4),
        line={"color": BLUE, "width": 2}, marker={"size": 8}, customdata=count,
        hovertemplate="predicted %{x:.3f}<br>observed %{y:.3f}<br>%{customdata:,} rows<extra></extra>", row=1, col=1,
    )  # fmt: skip
    if truth is not None:
        figure.add_scatter(
            x=mean["p"], y=mean["truth"], mode="lines+markers", name="true probability",
            line={"color": GREEN, "width": 2, "dash": "dash"}, marker={"size": 8, "symbol": "diamond"},
            hovertemplate="predicted %{x:.3f}<br>true %{y:.3f}<extra></extra>", row=1, col=1,
        )  # fmt: skip
    figure.add_bar(
        x=(count.index + 0.5) / bins, y=count, width=0.9 / bins, marker={"color": "#BDBDBD", "line": {"width": 0}},
        showlegend=False, name="rows", hovertemplate="%{y:,} rows<extra></extra>", row=2, col=1,
    )  # fmt: skip
    figure.update_xaxes(range=[-0.01, 1.01]).update_xaxes(title_text="predicted P(like) = sigmoid(score)", row=2, col=1)
    figure.update_yaxes(title_text="share of likes", range=[-0.02, 1.02], row=1, col=1)
    figure.update_yaxes(title_text="rows", tickformat=",", nticks=4, row=2, col=1)
    note = f"expected calibration error {metrics.expected_calibration_error(labels, probability, bins):.3f}"
    return dress(figure, "Do probabilities keep their word?", note, 540, legend=LEGEND_ON_TOP)


def score_against_truth(scored: pd.DataFrame, truth_probability: ArrayLike, bins: int = 20) -> go.Figure:
    """Predicted against true P(like), one point a row (at most 4,000 are drawn), with the mean a twentieth of rows.

    Raises:
        ValueError: a column is missing, or the truth has another shape than the scores (both are named).
    """
    _, scores = _columns(scored)
    truth, predicted = _truth(truth_probability, scores), expit(scores)
    drawn = np.sort(np.random.default_rng(0).permutation(len(scores))[:_MOST_POINTS])
    groups = np.array_split(np.argsort(truth, kind="stable"), min(bins, len(truth)))
    figure = go.Figure(_DIAGONAL).add_scatter(
        x=truth[drawn], y=predicted[drawn], mode="markers", name="row", showlegend=False,
        marker={"color": BLUE, "size": 5, "opacity": 0.25, "line": {"width": 0}},
        hovertemplate="true %{x:.3f}<br>predicted %{y:.3f}<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=[truth[g].mean() for g in groups], y=[predicted[g].mean() for g in groups], mode="lines+markers",
        name="mean prediction", line={"color": BLACK, "width": 2.5}, marker={"size": 7},
        hovertemplate="true %{x:.3f}<br>mean prediction %{y:.3f}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(title_text="true P(like)", range=[-0.02, 1.02])
    figure.update_yaxes(title_text="predicted P(like) = sigmoid(score)", range=[-0.02, 1.02])
    rank = pd.Series(truth).corr(pd.Series(scores), method="spearman")
    note = f"rank correlation {rank:.3f}, {len(truth):,} rows"
    return dress(figure, "Predicted against true probability", note, 540, legend=LEGEND_ON_TOP)


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
