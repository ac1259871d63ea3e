"""Many models in one picture: intervals, and how much of what can be known each one knows.

``results`` is the exchange table of a comparison: one row a (model, split, metric) with value, low, high.
"""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sellarec_lab import metrics
from sellarec_lab.views.style import BLACK, BLUE, GREY, dress, extent, intervals, need_columns, plain

COLUMNS = ("model", "split", "metric", "value", "low", "high")
ORACLE = "oracle"  # or a title that begins with it
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
    oracle, edges = is_oracle(rows), [*rows["low"], *rows["high"]]
    colour = np.where(oracle, BLACK, BLUE)
    figure = go.Figure()
    for name, low, high, ink in zip(rows["name"], rows["low"], rows["high"], colour):
        figure.add_scatter(
            x=[low, high], y=[name] * 2, mode="lines", line={"color": ink, "width": 3}, showlegend=False,
            hoverinfo="skip", name=f"interval of {name}",
        )  # fmt: skip
    figure.add_scatter(
        x=rows["value"], y=rows["name"], mode="markers", name=metric, showlegend=False,
        marker={
            "size": 12, "color": colour, "symbol": np.where(oracle, "diamond", "circle"), "line": {"color": "white"},
        },
        customdata=rows[["low", "high"]],
        hovertemplate="<b>%{y}</b><br>%{x:.4f} [%{customdata[0]:.4f}, %{customdata[1]:.4f}]<extra></extra>",
    )  # fmt: skip
    if metric in ("auc", "uauc"):
        figure.add_vline(_CHANCE, line={"color": GREY, "dash": "dot"})
        edges.append(min(_CHANCE, max(edges)))
    note = "value and interval"
    if oracle.any():
        figure.add_vline(float(rows.loc[oracle, "value"].iloc[0]), line={"color": BLACK, "width": 1, "dash": "dash"})
        note += "; dotted: chance; dashed: the best that any model can do"
    figure.update_xaxes(title_text=f"{metric.upper()} on {split}", range=extent(edges, 0.04, 0.12))
    rows["text"] = rows["value"].map("{:.3f}".format)
    return _finish(figure, rows, f"{metric.upper()} of every model", note, failed, size=12)


def gap_closed(results: pd.DataFrame, metric: str = "auc", split: str = "test") -> go.Figure:
    """Share of the way from chance to the oracle, (value − 0.5) / (oracle − 0.5), as bars with intervals.

    Raises:
        ValueError: the table has no row for the model "oracle", and all that `results_forest` raises.
    """
    rows, _ = _chosen(results, metric, split)
    oracle = rows.loc[is_oracle(rows), "value"]
    if oracle.empty:
        raise ValueError(f"no model {ORACLE!r} among {rows['model'].tolist()}: without it the gap is not known")
    rows, best = rows[~is_oracle(rows)], float(oracle.iloc[0])
    share = rows[["value", "low", "high"]].map(lambda v: metrics.gap_closed(v, best, _CHANCE))
    figure = go.Figure().add_bar(
        x=share["value"], y=rows["name"], orientation="h", marker={"color": BLUE}, width=0.62, customdata=rows["value"],
        error_x=intervals(share["value"], share["low"], share["high"], color="#444444", thickness=1.5, width=5),
        hovertemplate="<b>%{y}</b><br>%{x:.1%} of the gap<br>value %{customdata:.4f}<extra></extra>",
    )  # fmt: skip
    figure.add_vline(1.0, line={"color": BLACK, "width": 1, "dash": "dash"})
    title = f"share of the gap between chance and the oracle, {metric.upper()} on {split}"
    figure.update_xaxes(title_text=title, tickformat=".0%", range=[min(0.0, share["low"].min()) - 0.03, 1.04])
    rows = rows.assign(high=share["high"].clip(lower=0), text=share["value"].map("<b>{:.0%}</b>".format))
    note = f"0 % is chance ({_CHANCE}), 100 % is the oracle ({best:.3f}), who knows every true probability"
    return _finish(figure, rows, "How much of what can be known is known", note)


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
    colour, against = np.where(rows["p_holm"] < _SHOWN, BLUE, "white"), plain(against)
    figure = go.Figure().add_scatter(
        x=rows["value"], y=rows["name"], mode="markers", name=f"difference in {metric}", showlegend=False,
        marker={"size": 12, "color": colour, "line": {"color": BLUE, "width": 2}},
        error_x=intervals(rows["value"], rows["low"], rows["high"], thickness=2.5, width=0, color=BLUE),
        customdata=rows[["low", "high", "p_holm"]],
        hovertemplate="<b>%{y}</b><br>%{x:+.4f} [%{customdata[0]:+.4f}, %{customdata[1]:+.4f}]"
        "<br>p %{customdata[2]:.4f} (Holm)<extra></extra>",
    )  # fmt: skip
    figure.add_vline(0, line={"color": GREY, "dash": "dot"}).update_xaxes(
        title_text=f"{against} minus the model, {metric.upper()} on {split}", tickformat="+.3~f",
        range=extent([*rows["low"], *rows["high"], 0], 0.06, 0.14),
    )  # fmt: skip
    rows["text"] = rows["value"].map("{:+.3f}".format)
    note = f"right of zero {against} scores higher; filled: p below {_SHOWN} after Holm's correction"
    return _finish(figure, rows, f"How far {against} is from every model, {metric.upper()}", note, failed)


def is_oracle(models: pd.DataFrame) -> pd.Series:
    """Which rows are the oracle's, by name or by title."""
    return models["model"].str.lower().str.startswith(ORACLE)


def _chosen(results: pd.DataFrame, metric: str, split: str, what: str = "results") -> tuple[pd.DataFrame, int]:
    """The rows of one metric and split that have a value, worst first (plotly draws from below); how many have none.

    A value without interval is its own interval; ``name`` is the model as plotly may read it.
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
    edges = {edge: found[edge].fillna(found["value"]) for edge in ("low", "high")}
    found = found.assign(**edges, name=found["model"].map(plain))
    rising = metric not in _SMALLER_IS_BETTER or what != "results"
    return found.sort_values("value", ascending=rising, kind="stable", ignore_index=True), len(rows) - len(found)


def _finish(figure: go.Figure, rows: pd.DataFrame, title: str, note: str, failed: int = 0, size: int = 13) -> go.Figure:
    """Each row's ``text`` behind the end of its interval, and an axis that shows all names, which plotly does not for
    long lists, without empty lines around."""
    for name, end, text in zip(rows["name"], rows["high"], rows["text"]):
        look = {"xanchor": "left", "xshift": 8, "showarrow": False, "font": {"size": size}}
        figure.add_annotation(text=text.replace("-", "−"), x=end, y=name, **look)
    figure.update_yaxes(showgrid=False, tickmode="linear", dtick=1, range=[-0.7, len(rows) - 0.3])
    note += f"; {failed} failed and left out" if failed else ""
    return dress(figure, title, note, 190 + (40 if len(rows) <= 12 else 26) * max(3, len(rows)))
