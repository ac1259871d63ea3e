"""Many models in one picture: intervals, and how much of what can be known each one knows.

``results`` is the exchange table of a comparison: one row a (model, split, metric) with value, low, high.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sellarec_lab import metrics
from sellarec_lab.views.style import BLACK, BLUE, GREY, dress, need_columns, plain

COLUMNS = ("model", "split", "metric", "value", "low", "high")
ORACLE = "oracle"
_CHANCE = 0.5


def results_forest(results: pd.DataFrame, metric: str = "auc", split: str = "test") -> go.Figure:
    """Forest plot: one line a model with its interval, best on top, the oracle in black.

    Raises:
        ValueError: columns, metric or split are missing, or a model occurs twice.
    """
    rows = _chosen(results, metric, split)
    oracle = rows["model"] == ORACLE
    colour = np.where(oracle, BLACK, BLUE)
    figure = go.Figure()
    for model, value, low, high, ink in zip(rows["model"], rows["value"], rows["low"], rows["high"], colour):
        line = go.Scatter(
            x=[low, high], y=[plain(model)] * 2, mode="lines", line={"color": ink, "width": 3}, showlegend=False,
            hoverinfo="skip", name=f"interval of {plain(model)}",
        )  # fmt: skip
        figure.add_trace(line)
        figure.add_annotation(
            text=f"{value:.3f}", x=high, y=plain(model), xanchor="left", xshift=8, showarrow=False, font={"size": 12}
        )
    shape = np.where(oracle, "diamond", "circle")
    points = go.Scatter(
        x=rows["value"], y=[plain(m) for m in rows["model"]], mode="markers", name=metric, showlegend=False,
        marker={"size": 12, "color": colour, "symbol": shape, "line": {"color": "white"}},
        customdata=rows[["low", "high"]].to_numpy(),
        hovertemplate="<b>%{y}</b><br>%{x:.4f} [%{customdata[0]:.4f}, %{customdata[1]:.4f}]<extra></extra>",
    )  # fmt: skip
    figure.add_trace(points)
    if metric in ("auc", "uauc"):
        figure.add_vline(_CHANCE, line={"color": GREY, "dash": "dot"})
    if oracle.any():
        figure.add_vline(float(rows.loc[oracle, "value"].iloc[0]), line={"color": BLACK, "width": 1, "dash": "dash"})
    _spread(figure, rows)
    figure.update_xaxes(title_text=f"{metric.upper()} on {split}").update_yaxes(showgrid=False)
    note = "value and interval" + ("; dotted: chance; dashed: the best that any model can do" if oracle.any() else "")
    return dress(figure, f"{metric.upper()} of every model", note, _tall(rows))


def gap_closed(results: pd.DataFrame, metric: str = "auc", split: str = "test") -> go.Figure:
    """Share of the way from chance to the oracle, (value − 0.5) / (oracle − 0.5), as bars with intervals.

    Raises:
        ValueError: the table has no row for the model "oracle", and all that `results_forest` raises.
    """
    rows = _chosen(results, metric, split)
    oracle = rows.loc[rows["model"] == ORACLE, "value"]
    if oracle.empty:
        raise ValueError(f"no model {ORACLE!r} among {rows['model'].tolist()}: without it the gap is not known")
    rows = rows[rows["model"] != ORACLE]
    best = float(oracle.iloc[0])
    share, low, high = (
        np.array([metrics.gap_closed(v, best, _CHANCE) for v in rows[c]]) for c in ("value", "low", "high")
    )
    error = {"type": "data", "symmetric": False, "array": high - share, "arrayminus": share - low, "color": "#444444"}
    names = [plain(m) for m in rows["model"]]
    bars = go.Bar(
        x=share, y=names, orientation="h", marker={"color": BLUE}, width=0.62, customdata=rows["value"],
        error_x=error | {"thickness": 1.5, "width": 5},
        hovertemplate="<b>%{y}</b><br>%{x:.1%} of the gap<br>value %{customdata:.4f}<extra></extra>",
    )  # fmt: skip
    figure = go.Figure(bars)
    for name, value, end in zip(names, share, high):
        text = f"<b>{value:.0%}</b>".replace("-", "−")
        figure.add_annotation(text=text, x=max(end, 0), y=name, xanchor="left", xshift=8, showarrow=False)
    figure.add_vline(1.0, line={"color": BLACK, "width": 1, "dash": "dash"})
    title = f"share of the gap between chance and the oracle, {metric.upper()} on {split}"
    figure.update_xaxes(title_text=title, tickformat=".0%", range=[min(0.0, float(low.min(initial=0)) - 0.03), 1.04])
    figure.update_yaxes(showgrid=False)
    subtitle = f"0 % is chance ({_CHANCE}), 100 % is the oracle ({best:.3f}), who knows every true probability"
    return dress(figure, "How much of what can be known is known", subtitle, _tall(rows))


def _chosen(results: pd.DataFrame, metric: str, split: str) -> pd.DataFrame:
    """The rows of one metric and split, worst first (plotly draws from below)."""
    need_columns(results, COLUMNS, "results")
    rows = results[(results["metric"] == metric) & (results["split"] == split)]
    if rows.empty:
        known = sorted({f"{m} on {s}" for m, s in zip(results["metric"], results["split"])})
        raise ValueError(f"results hold no {metric!r} on {split!r}; they hold {', '.join(known) or 'nothing'}")
    twice = rows["model"][rows["model"].duplicated()].unique().tolist()
    if twice:
        raise ValueError(f"more than one row of {metric!r} on {split!r} for {twice}: aggregate seeds first")
    return rows.sort_values("value", kind="stable", ignore_index=True)


def _spread(figure: go.Figure, rows: pd.DataFrame) -> None:
    """Room at the right for the numbers."""
    low, high = float(min(rows["low"].min(), _CHANCE)), float(rows["high"].max())
    room = (high - low) or 0.1
    figure.update_xaxes(range=[low - 0.04 * room, high + 0.12 * room])


def _tall(rows: pd.DataFrame) -> int:
    return 190 + 40 * max(3, len(rows))
