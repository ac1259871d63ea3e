"""What the data look like before any model sees them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sellarec_lab.data import SPLITS, Interactions
from sellarec_lab.views.style import BLACK, BLUE, GREY, colours, dress, legend_on_top, plain

_PERIODS = (("D", "day", 1), ("W", "week", 7), ("M", "month", 30), ("Q", "quarter", 91), ("Y", "year", 365))
_MOST_BARS = 60


def interaction_timeline(data: Interactions) -> go.Figure:
    """Rows a period, stacked by split, and below the share of cold rows (user or item unseen in train).

    The period is the shortest of day, week, month, quarter, year that leaves at most 60 bars.
    """
    rows = pd.concat([data.split(s)[["timestamp", "is_warm"]].assign(split=s) for s in SPLITS])
    when = pd.to_datetime(rows["timestamp"], unit="s")
    days = max(1, (when.max() - when.min()).days)
    code, word, _ = next((p for p in _PERIODS if days / p[2] <= _MOST_BARS), _PERIODS[-1])
    rows["period"] = when.dt.to_period(code).dt.start_time
    counts = rows.pivot_table(index="period", columns="split", values="is_warm", aggfunc="size", fill_value=0)
    figure = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.68, 0.32], vertical_spacing=0.08)
    for split, colour in colours(SPLITS).items():
        if split in counts:
            bar = go.Bar(
                x=counts.index, y=counts[split], name=split, marker={"color": colour, "line": {"width": 0}},
                hovertemplate=f"%{{x|%d %b %Y}}<br>{split}: %{{y:,}} rows<extra></extra>",
            )  # fmt: skip
            figure.add_trace(bar, row=1, col=1)
    cold = 1 - rows.groupby("period")["is_warm"].mean()
    line = go.Scatter(
        x=cold.index, y=cold, mode="lines+markers", name="cold share", line={"color": BLACK, "width": 2},
        marker={"size": 5}, hovertemplate="%{x|%d %b %Y}<br>%{y:.0%} cold<extra></extra>", showlegend=False,
    )  # fmt: skip
    figure.add_trace(line, row=2, col=1)
    figure.update_yaxes(title_text=f"rows a {word}", tickformat=",", row=1, col=1)
    figure.update_yaxes(title_text="cold share", tickformat=".0%", rangemode="tozero", row=2, col=1)
    figure.update_xaxes(title_text=f"time (start of the {word})", row=2, col=1)
    sizes = ", ".join(f"{s} {len(data.split(s)):,}" for s in SPLITS)
    return dress(
        figure, "Interactions over time", f"{sizes} rows", 500, barmode="stack", bargap=0.08, legend=legend_on_top()
    )


def history_lengths(data: Interactions) -> go.Figure:
    """How many liked items a row has before it: share of each split's rows that have at least that many."""
    figure = go.Figure()
    for split, colour in colours(SPLITS).items():
        lengths = np.sort(data.split(split)["history"].map(len).to_numpy())
        if not len(lengths):
            continue
        at, first = np.unique(lengths, return_index=True)
        figure.add_trace(
            go.Scatter(
                x=at, y=1 - first / len(lengths), name=split, mode="lines",
                line={"color": colour, "width": 2.5, "shape": "vh"},
                hovertemplate=f"%{{y:.0%}} of {split} rows have %{{x}} or more liked items<extra></extra>",
            )
        )  # fmt: skip
    figure.update_xaxes(title_text="liked items before the row", rangemode="tozero")
    figure.update_yaxes(title_text="share of rows with at least so many", tickformat=".0%", range=[0, 1.02])
    medians = ", ".join(f"{s} {data.split(s)['history'].map(len).median():.0f}" for s in SPLITS if len(data.split(s)))
    return dress(figure, "How much history a prompt can show", f"median: {medians}", legend=legend_on_top())


def world_map(data: Interactions) -> go.Figure:
    """The data at a glance, train rows only: rows a user, rows an item, share of likes a user."""
    by_user, by_item = data.train.groupby("user_id"), data.train.groupby("item_id")
    panels = (
        ("rows a user", "users", by_user.size()),
        ("rows an item", "items", by_item.size()),
        ("share of likes a user", "users", by_user["label"].mean()),
    )
    figure = make_subplots(1, 3, horizontal_spacing=0.08)
    for col, (what, who, values) in enumerate(panels, start=1):
        counts, edges = np.histogram(values, _edges(values))
        bar = go.Bar(
            x=(edges[:-1] + edges[1:]) / 2, y=counts, width=np.diff(edges), showlegend=False, name=what,
            marker={"color": BLUE, "line": {"color": "white", "width": 0.5}},
            hovertemplate=f"{what} near %{{x:.3g}}<br>%{{y}} {who}<extra></extra>",
        )  # fmt: skip
        figure.add_trace(bar, row=1, col=col)
        middle = float(values.median())
        figure.add_vline(middle, line={"color": GREY, "dash": "dot"}, row=1, col=col)
        figure.add_annotation(
            text=f"median {middle:.3g}", x=middle, xref=f"x{col}" if col > 1 else "x", y=1.0, yanchor="bottom",
            yref="paper", showarrow=False, font={"size": 12, "color": "#666666"},
        )  # fmt: skip
        figure.update_xaxes(title_text=what, row=1, col=col).update_yaxes(title_text=who, row=1, col=col)
    subtitle = f"{data.n_users:,} users, {data.n_items:,} items, {len(data.train):,} train rows"
    return dress(figure, f"The data set {plain(data.name)} at a glance", subtitle, 400, margin={"t": 104})


def _edges(values: pd.Series, bins: int = 30) -> np.ndarray:
    """Edges of at most ``bins`` bins; whole numbers get bins of a whole width, or the bars would comb."""
    if not pd.api.types.is_integer_dtype(values):
        return np.histogram_bin_edges(values, bins)
    low, high = int(values.min()), int(values.max())
    step = max(1, -(-(high - low + 1) // bins))
    return np.arange(low, high + step + 1, step) - 0.5
