"""What happened during training."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sellarec_lab.training import History
from sellarec_lab.views.style import BLACK, GREY, colours, dress, plain

_PLAIN = ("step", "epoch", "loss", "learning_rate", "seconds")
_ACROSS = 4  # stages side by side before a new band starts


def training_curves(histories: Mapping[str, History]) -> go.Figure:
    """Loss and validation of every stage over its steps; a dotted line and a star mark the state that was kept.

    Each stage has one column: above the loss (as logged, and smoothed), below whatever its validations measured.
    All validation panels share one scale, so stages can be compared.

    Raises:
        ValueError: no stage, or one without a single record.
    """
    if not histories:
        raise ValueError("histories is empty: give at least one History by the name of its stage")
    frames = {name: history.frame() for name, history in histories.items()}
    for name, frame in frames.items():
        if frame.empty:
            raise ValueError(f"history {name!r} holds no record: expected at least one logged step")
    across, bands = min(len(frames), _ACROSS), math.ceil(len(frames) / _ACROSS)
    figure = make_subplots(
        rows=2 * bands, cols=across, row_heights=[0.5, 0.5] * bands, subplot_titles=_titles(frames, across, bands),
        horizontal_spacing=0.26 / (across + 1), vertical_spacing=0.1 if bands == 1 else 0.21 / bands,
    )  # fmt: skip
    metrics = list(dict.fromkeys(c for f in frames.values() for c in f.columns if c not in _PLAIN))
    colour, seen = colours(metrics), set()
    for index, (name, frame) in enumerate(frames.items()):
        row, col = 2 * (index // _ACROSS) + 1, index % _ACROSS + 1
        _loss(figure, frame, row, col, index == 0)
        _validation(figure, frame, row + 1, col, colour, seen)
        _best(figure, frame, histories[name], row, col)
        figure.update_xaxes(title_text="step", row=row + 1, col=col)
        figure.update_xaxes(matches=_axis(figure, "x", row + 1, col), row=row, col=col)
    _share_scale(figure, bands, across)
    legend = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.06 if bands == 1 else 1.03, "yanchor": "bottom"}
    return dress(
        figure, "Training", "star and dotted line: the state that was kept", 130 + 410 * bands, legend=legend,
        margin={"t": 110},
    )  # fmt: skip


def _titles(frames: Mapping[str, pd.DataFrame], across: int, bands: int) -> list[str]:
    names = [plain(name) for name in frames] + [""] * (across * bands - len(frames))
    return [t for b in range(bands) for t in (*names[b * across : (b + 1) * across], *[""] * across)]


def _loss(figure: go.Figure, frame: pd.DataFrame, row: int, col: int, first: bool) -> None:
    hover = "step %{x}<br>loss %{y:.4f}<extra></extra>"
    raw = go.Scatter(
        x=frame["step"], y=frame["loss"], mode="lines", line={"color": "#C9C9C9", "width": 1}, name="loss as logged",
        legendgroup="raw", showlegend=first, hovertemplate=hover,
    )  # fmt: skip
    smooth = frame["loss"].ewm(span=max(2, len(frame) / 12)).mean()
    line = go.Scatter(
        x=frame["step"], y=smooth, mode="lines", line={"color": "#444444", "width": 2}, name="loss, smoothed",
        legendgroup="smooth", showlegend=first, hovertemplate=hover,
    )  # fmt: skip
    figure.add_trace(raw, row=row, col=col).add_trace(line, row=row, col=col)
    if col == 1:
        figure.update_yaxes(title_text="training loss", row=row, col=col)


def _validation(figure, frame: pd.DataFrame, row: int, col: int, colour: dict[str, str], seen: set[str]) -> None:
    """One line a metric, at the steps that measured it; ``seen`` keeps every metric once in the legend."""
    if col == 1:
        figure.update_yaxes(title_text="validation", row=row, col=col)
    measured = [m for m in colour if m in frame and frame[m].notna().any()]
    for metric in measured:
        rows = frame[frame[metric].notna()]
        figure.add_trace(
            go.Scatter(
                x=rows["step"], y=rows[metric], mode="lines+markers", name=f"validation {metric.upper()}",
                legendgroup=metric, showlegend=metric not in seen,
                line={"color": colour[metric], "width": 2}, marker={"size": 5},
                hovertemplate=f"step %{{x}}<br>{plain(metric.upper())} %{{y:.4f}}<extra></extra>",
            ),
            row=row, col=col,
        )  # fmt: skip
        seen.add(metric)
    if not measured:  # an empty line keeps the panel and its steps
        empty = go.Scatter(x=frame["step"], y=[None] * len(frame), showlegend=False, name="not validated")
        figure.add_trace(empty, row=row, col=col)
        place = {"xref": f"{_axis(figure, 'x', row, col)} domain", "yref": f"{_axis(figure, 'y', row, col)} domain"}
        figure.add_annotation(text="not validated", x=0.5, y=0.5, showarrow=False, font={"color": GREY}, **place)


def _best(figure, frame: pd.DataFrame, history: History, row: int, col: int) -> None:
    """Mark the step whose state was kept, if the stage was validated."""
    if not np.isfinite(history.best):
        return
    for r in (row, row + 1):
        figure.add_vline(history.best_step, line={"color": "#666666", "width": 1, "dash": "dot"}, row=r, col=col)
    star = go.Scatter(
        x=[history.best_step], y=[history.best], mode="markers+text", text=[f"{history.best:.3f}"],
        textposition=_inside(history.best_step, frame["step"]), showlegend=False, name="best",
        marker={"symbol": "star", "size": 13, "color": BLACK, "line": {"color": "white", "width": 1}},
        hovertemplate=f"kept: step %{{x}}, %{{y:.4f}}<br>{plain(history.stopped)}<extra></extra>",
    )  # fmt: skip
    figure.add_trace(star, row=row + 1, col=col)


def _axis(figure: go.Figure, letter: str, row: int, col: int) -> str:
    """Plotly's name of a panel's axis: "x", "y3" ..."""
    return getattr(figure.get_subplot(row, col), f"{letter}axis").plotly_name.replace("axis", "")


def _inside(step: int, steps: pd.Series) -> str:
    """Where a label stands so that it is not cut at the panel's edge."""
    done = step / max(1, steps.max())
    return "top left" if done > 0.75 else "top right" if done < 0.25 else "top center"


def _share_scale(figure: go.Figure, bands: int, across: int) -> None:
    """One scale for all validation panels, with room above for the best value's label."""
    leader = _axis(figure, "y", 2, 1)
    for band in range(bands):
        for col in range(1, across + 1):
            figure.update_yaxes(matches=leader, row=2 * band + 2, col=col)
    values = [v for t in figure.data if (t.name or "").startswith("validation") for v in t.y]
    if values:
        low, high = min(values), max(values)
        room = (high - low) or 0.02
        figure.update_yaxes(range=[low - 0.1 * room, high + 0.25 * room], row=2, col=1)
