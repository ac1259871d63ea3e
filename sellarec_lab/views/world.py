"""What the data look like before any model sees them."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sellarec_lab.data import SPLITS, Interactions
from sellarec_lab.views.style import BLACK, LEGEND_ON_TOP, colours, dress

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
    counts = rows.groupby(["period", "split"]).size().unstack(fill_value=0)
    figure = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.68, 0.32], vertical_spacing=0.08)
    for split, colour in colours(SPLITS).items():
        if split in counts:
            figure.add_bar(
                x=counts.index, y=counts[split], name=split, marker={"color": colour, "line": {"width": 0}},
                hovertemplate=f"%{{x|%d %b %Y}}<br>{split}: %{{y:,}} rows<extra></extra>", row=1, col=1,
            )  # fmt: skip
    cold = 1 - rows.groupby("period")["is_warm"].mean()
    figure.add_scatter(
        x=cold.index, y=cold, mode="lines+markers", name="cold share", showlegend=False, marker={"size": 5},
        line={"color": BLACK, "width": 2}, hovertemplate="%{x|%d %b %Y}<br>%{y:.0%} cold<extra></extra>", row=2, col=1,
    )  # fmt: skip
    figure.update_yaxes(title_text=f"rows a {word}", tickformat=",", row=1, col=1)
    figure.update_yaxes(title_text="cold share", tickformat=".0%", rangemode="tozero", row=2, col=1)
    figure.update_xaxes(title_text=f"time (start of the {word})", row=2, col=1)
    sizes = ", ".join(f"{s} {len(data.split(s)):,}" for s in SPLITS) + " rows"
    return dress(figure, "Interactions over time", sizes, 500, barmode="stack", bargap=0.08, legend=LEGEND_ON_TOP)


def history_lengths(data: Interactions) -> go.Figure:
    """How many liked items a row has before it: share of each split's rows that have at least that many."""
    figure, medians = go.Figure(), []
    for split, colour in colours(SPLITS).items():
        lengths = data.split(split)["history"].map(len).sort_values()
        if lengths.empty:
            continue
        medians.append(f"{split} {lengths.median():.0f}")
        at, first = np.unique(lengths, return_index=True)
        figure.add_scatter(
            x=at, y=1 - first / len(lengths), name=split, mode="lines",
            line={"color": colour, "width": 2.5, "shape": "vh"},
            hovertemplate=f"%{{y:.0%}} of {split} rows have %{{x}} or more liked items<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title_text="liked items before the row", rangemode="tozero")
    figure.update_yaxes(title_text="share of rows with at least so many", tickformat=".0%", range=[0, 1.02])
    return dress(figure, "How much history a prompt can show", f"median: {', '.join(medians)}", legend=LEGEND_ON_TOP)
