"""Many models in one picture: intervals, and how much of what can be known each one knows.

``results`` is the exchange table of a comparison: one row a (model, split, metric) with value, low, high.
"""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sellarec_lab import metrics
from sellarec_lab.views.style import BLACK, BLUE, GREY, dress, need_columns, plain

COLUMNS = ("model", "split", "metric", "value", "low", "high")
ORACLE = "oracle"
_CHANCE = 0.5
_SHOWN = 0.05
_SMALLER_IS_BETTER = ("log_loss", "ece")


def results_forest(results: pd.DataFrame, metric: str = "auc", split: str = "test") -> go.Figure:
    """Forest plot: one line a model with its interval, best on top, the oracle in black.

    A model without a value failed: it is left out and counted below the title.

    Raises:
        ValueError: columns, metric or split are missing, no model has a value, or a model occurs twice.
    """
    rows, failed = _chosen(results, metric, split)
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
    _spread(figure, rows, metric)
    figure.update_xaxes(title_text=f"{metric.upper()} on {split}").update_yaxes(**_names(rows))
    note = "value and interval" + ("; dotted: chance; dashed: the best that any model can do" if oracle.any() else "")
    note += f"; {failed} failed and left out" if failed else ""
    return dress(figure, f"{metric.upper()} of every model", note, _tall(rows))


def gap_closed(results: pd.DataFrame, metric: str = "auc", split: str = "test") -> go.Figure:
    """Share of the way from chance to the oracle, (value − 0.5) / (oracle − 0.5), as bars with intervals.

    Raises:
        ValueError: the table has no row for the model "oracle", and all that `results_forest` raises.
    """
    rows, _ = _chosen(results, metric, split)
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
    figure.update_yaxes(**_names(rows))
    subtitle = f"0 % is chance ({_CHANCE}), 100 % is the oracle ({best:.3f}), who knows every true probability"
    return dress(figure, "How much of what can be known is known", subtitle, _tall(rows))


def paired_forest(
    tests: pd.DataFrame, metric: str = "auc", split: str = "test", against: str = "SeLLa-Rec"
) -> go.Figure:
    """Forest plot of ``against`` minus every other model; filled where p after Holm's correction is below 0.05.

    Args:
        tests: model, split, metric, difference, low, high, p_holm; one row a (model, split, metric).
        against: how the model that all differences start from is called in the figure.

    Raises:
        ValueError: columns, metric or split are missing, no model has a difference, or a model occurs twice.
    """
    need_columns(tests, ("difference", "p_holm"), "tests")
    rows, failed = _chosen(tests.rename(columns={"difference": "value"}), metric, split, "tests")
    shown = rows["p_holm"] < _SHOWN
    names = [plain(m) for m in rows["model"]]
    error = {"type": "data", "symmetric": False, "thickness": 2.5, "width": 0, "color": BLUE}
    points = go.Scatter(
        x=rows["value"], y=names, mode="markers", name=f"difference in {metric}", showlegend=False,
        marker={"size": 12, "color": np.where(shown, BLUE, "white"), "line": {"color": BLUE, "width": 2}},
        error_x=error | {"array": rows["high"] - rows["value"], "arrayminus": rows["value"] - rows["low"]},
        customdata=rows[["low", "high", "p_holm"]].to_numpy(),
        hovertemplate="<b>%{y}</b><br>%{x:+.4f} [%{customdata[0]:+.4f}, %{customdata[1]:+.4f}]"
        "<br>p %{customdata[2]:.4f} (Holm)<extra></extra>",
    )  # fmt: skip
    figure = go.Figure(points).add_vline(0, line={"color": GREY, "dash": "dot"})
    for name, value, high in zip(names, rows["value"], rows["high"]):
        text = f"{value:+.3f}".replace("-", "−")
        figure.add_annotation(text=text, x=high, y=name, xanchor="left", xshift=10, showarrow=False)
    low, high = (float(edge) for edge in (min(rows["low"].min(), 0), max(rows["high"].max(), 0)))
    room = (high - low) or 0.1
    figure.update_xaxes(
        title_text=f"{plain(against)} minus the model, {metric.upper()} on {split}", tickformat="+.3~f",
        range=[low - 0.06 * room, high + 0.14 * room],
    ).update_yaxes(**_names(rows))  # fmt: skip
    note = f"right of zero {plain(against)} scores higher; filled: p below {_SHOWN} after Holm's correction"
    note += f"; {failed} failed and left out" if failed else ""
    return dress(figure, f"How far {plain(against)} is from every model, {metric.upper()}", note, _tall(rows))


def _chosen(results: pd.DataFrame, metric: str, split: str, what: str = "results") -> tuple[pd.DataFrame, int]:
    """The rows of one metric and split that have a value, worst first (plotly draws from below); how many have none.

    A value without interval is its own interval.
    """
    need_columns(results, COLUMNS, what)
    rows = results[(results["metric"] == metric) & (results["split"] == split)]
    if rows.empty:
        known = sorted({f"{m} on {s}" for m, s in zip(results["metric"], results["split"])})
        raise ValueError(f"{what} hold no {metric!r} on {split!r}; they hold {', '.join(known) or 'nothing'}")
    twice = rows["model"][rows["model"].duplicated()].unique().tolist()
    if twice:
        raise ValueError(f"more than one row of {metric!r} on {split!r} for {twice}: aggregate seeds first")
    found = rows[rows["value"].notna()]
    if found.empty:
        raise ValueError(f"no model has a value of {metric!r} on {split!r}: all {len(rows)} failed")
    found = found.assign(low=found["low"].fillna(found["value"]), high=found["high"].fillna(found["value"]))
    rising = metric not in _SMALLER_IS_BETTER or what != "results"
    return found.sort_values("value", ascending=rising, kind="stable", ignore_index=True), len(rows) - len(found)


def _spread(figure: go.Figure, rows: pd.DataFrame, metric: str) -> None:
    """Room at the right for the numbers."""
    low, high = float(rows["low"].min()), float(rows["high"].max())
    low = min(low, _CHANCE) if metric in ("auc", "uauc") else low
    room = (high - low) or 0.1
    figure.update_xaxes(range=[low - 0.04 * room, high + 0.12 * room])


def _names(rows: pd.DataFrame) -> dict:
    """An axis of names that shows all of them, which plotly does not for long lists, and no empty lines around."""
    return {"showgrid": False, "tickmode": "linear", "dtick": 1, "range": [-0.7, len(rows) - 0.3]}


def _tall(rows: pd.DataFrame) -> int:
    return 190 + (40 if len(rows) <= 12 else 26) * max(3, len(rows))
