"""What happened during training."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sellarec_lab.training import History
from sellarec_lab.views.style import BLACK, GREY, colours, dress, extent, plain

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
    names, across, bands = [plain(n) for n in frames], min(len(frames), _ACROSS), -(-len(frames) // _ACROSS)
    titles = [t for i in range(0, len(names), across) for t in names[i : i + across] + [""] * across]
    figure = make_subplots(
        rows=2 * bands, cols=across, row_heights=[0.5, 0.5] * bands, subplot_titles=titles,
        horizontal_spacing=0.26 / (across + 1), vertical_spacing=0.1 if bands == 1 else 0.21 / bands,
    )  # fmt: skip
    metrics = list(dict.fromkeys(c for f in frames.values() for c in f.columns if c not in _PLAIN))
    for index, (name, frame) in enumerate(frames.items()):
        row, col = 2 * (index // _ACROSS) + 1, index % _ACROSS + 1
        _loss(figure, frame, row=row, col=col)
        _validation(figure, frame, colours(metrics), row=row + 1, col=col)
        _best(figure, frame["step"].max(), histories[name], row, col)
        figure.update_xaxes(title_text="step", row=row + 1, col=col)
        figure.update_xaxes(matches=f"x{row * across + col}", row=row, col=col)  # the panel below
    for row in range(1, 2 * bands, 2):
        figure.update_yaxes(title_text="training loss", row=row, col=1)
        figure.update_yaxes(title_text="validation", row=row + 1, col=1)
        figure.update_yaxes(matches=f"y{across + 1}", row=row + 1)
    measured = [v for t in figure.data if (t.name or "").startswith("validation") for v in t.y]
    if measured:  # one scale for all, with room above for the best value's label
        figure.update_yaxes(range=extent(measured, 0.1, 0.25, empty=0.02), row=2, col=1)
    seen = set()
    for trace in figure.data:  # every name once in the legend
        trace.showlegend = trace.showlegend is not False and trace.name not in seen
        seen.add(trace.name)
    legend = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.06 if bands == 1 else 1.03, "yanchor": "bottom"}
    layout = {"height": 130 + 410 * bands, "legend": legend, "margin": {"t": 110}}
    return dress(figure, "Training", "star and dotted line: the state that was kept", **layout)


def _loss(figure: go.Figure, frame: pd.DataFrame, **panel: int) -> None:
    smooth = frame["loss"].ewm(span=max(2, len(frame) / 12)).mean()
    looks = ("loss as logged", "#C9C9C9", 1), ("loss, smoothed", "#444444", 2)
    for loss, (name, colour, width) in zip((frame["loss"], smooth), looks):
        figure.add_scatter(
            x=frame["step"], y=loss, mode="lines", line={"color": colour, "width": width}, name=name,
            legendgroup=name, hovertemplate="step %{x}<br>loss %{y:.4f}<extra></extra>", **panel,
        )  # fmt: skip


def _validation(figure: go.Figure, frame: pd.DataFrame, colour: dict[str, str], **panel: int) -> None:
    """One line a metric, at the steps that measured it."""
    measured = [m for m in colour if m in frame and frame[m].notna().any()]
    for metric in measured:
        rows = frame[frame[metric].notna()]
        figure.add_scatter(
            x=rows["step"], y=rows[metric], mode="lines+markers", name=f"validation {metric.upper()}",
            legendgroup=metric, line={"color": colour[metric], "width": 2}, marker={"size": 5},
            hovertemplate=f"step %{{x}}<br>{plain(metric.upper())} %{{y:.4f}}<extra></extra>", **panel,
        )  # fmt: skip
    if not measured:  # an empty line keeps the panel and its steps
        figure.add_scatter(x=frame["step"], y=[None] * len(frame), showlegend=False, name="not validated", **panel)
        place = {"x": 0.5, "y": 0.5, "xref": "x domain", "yref": "y domain"}
        figure.add_annotation(text="not validated", showarrow=False, font={"color": GREY}, **place, **panel)


def _best(figure: go.Figure, last: int, history: History, row: int, col: int) -> None:
    """Mark the step whose state was kept, if the stage was validated; its label is not cut at the panel's edge."""
    if not np.isfinite(history.best):
        return
    for r in (row, row + 1):
        figure.add_vline(history.best_step, line={"color": "#666666", "width": 1, "dash": "dot"}, row=r, col=col)
    done = history.best_step / max(1, last)
    figure.add_scatter(
        x=[history.best_step], y=[history.best], mode="markers+text", text=[f"{history.best:.3f}"],
        textposition="top left" if done > 0.75 else "top right" if done < 0.25 else "top center",
        marker={"symbol": "star", "size": 13, "color": BLACK, "line": {"color": "white", "width": 1}},
        hovertemplate=f"kept: step %{{x}}, %{{y:.4f}}<br>{plain(history.stopped)}<extra></extra>",
        showlegend=False, name="best", row=row + 1, col=col,
    )  # fmt: skip
