"""What a model costs against what it can do: every model as a point, its name beside it."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sellarec_lab.views.results import ORACLE, _chosen
from sellarec_lab.views.style import BLACK, BLUE, GREY, dress, need_columns, plain

_TICKS = {
    1: "1 s", 5: "5 s", 15: "15 s", 60: "1 min", 300: "5 min", 900: "15 min", 3600: "1 h", 14_400: "4 h",
    43_200: "12 h", 172_800: "2 d", 604_800: "7 d",
}  # fmt: skip
_SIZE = 860, 400  # pixels that names are placed for; in a wider page they have more room
_LETTER, _LINE = 6.6, 15  # size of a letter of a name, in pixels
_NEAR, _FAR = 11, 26
# Where a name may stand, as pixels from its point: beside it first, then farther off with a thin line to it.
_PLACES = [(side * _NEAR, dy) for dy in (0, -12, 12) for side in (1, -1)]
_PLACES += [(side * _FAR, sign * dy) for dy in range(28, 136, 18) for sign in (-1, 1) for side in (1, -1)]


def cost_against_quality(
    costs: pd.DataFrame, results: pd.DataFrame, metric: str = "auc", split: str = "test"
) -> go.Figure:
    """Seconds of training and scoring (log axis) against a metric with its interval; the oracle as a dashed line.

    Args:
        costs: model, seconds, peak_gb (NaN: not measured); of several rows a model, say of seeds, the mean is shown.
        results: the exchange table with model, split, metric, value, low, high.

    Raises:
        ValueError: columns, metric or split are missing, or no model has both a value and seconds above 0.
    """
    need_columns(costs, ("model", "seconds", "peak_gb"), "costs")
    rows, failed = _chosen(results, metric, split)
    oracle = rows.loc[rows["model"] == ORACLE, "value"]
    mean = costs.groupby("model", as_index=False)[["seconds", "peak_gb"]].mean()
    models = rows[rows["model"] != ORACLE]
    models = models.drop(columns=["seconds", "peak_gb"], errors="ignore")  # the results' own are sums over seeds
    found = models.merge(mean[mean["seconds"] > 0], on="model")
    if found.empty:
        raise ValueError(f"costs and results share no model with seconds above 0; results: {models['model'].tolist()}")
    figure = go.Figure(_points(found, metric))
    if len(oracle):
        best = float(oracle.iloc[0])
        figure.add_hline(best, line={"color": BLACK, "width": 1, "dash": "dash"}, annotation_text=f"oracle {best:.3f}")
    _axes(figure, found, np.r_[found["low"], found["high"], oracle])
    _names(figure, found)
    figure.update_xaxes(title_text="time of training and scoring").update_yaxes(
        title_text=f"{metric.upper()} on {split}"
    )
    notes = [f"{n} {why}" for n, why in ((failed, "failed"), (len(models) - len(found), "without a known cost")) if n]
    note = "value and interval; up and to the left is better" + "".join(f"; {text}" for text in notes)
    return dress(figure, f"What {metric.upper()} costs", note, 560)


def _points(found: pd.DataFrame, metric: str) -> go.Scatter:
    memory = [f"{gb:.2f} GB at most" if gb == gb else "memory not measured" for gb in found["peak_gb"]]
    error = {"type": "data", "symmetric": False, "thickness": 1.2, "width": 3, "color": GREY}
    return go.Scatter(
        x=found["seconds"], y=found["value"], mode="markers", name=metric, showlegend=False,
        marker={"size": 11, "color": BLUE, "line": {"color": "white", "width": 1}},
        error_y=error | {"array": found["high"] - found["value"], "arrayminus": found["value"] - found["low"]},
        customdata=np.c_[found["model"].map(plain), memory], text=[_time(s) for s in found["seconds"]],
        hovertemplate="<b>%{customdata[0]}</b><br>%{y:.4f}<br>%{text}<br>%{customdata[1]}<extra></extra>",
    )  # fmt: skip


def _time(seconds: float) -> str:
    unit, name = next(((u, n) for u, n in ((3600, "h"), (60, "min")) if seconds >= u), (1, "s"))
    return f"{seconds / unit:.1f} {name}"


def _axes(figure: go.Figure, found: pd.DataFrame, heights: np.ndarray) -> None:
    """Ranges that hold every point and leave room for names."""
    log = np.log10(found["seconds"])
    room = max(log.max() - log.min(), 0.5)
    figure.update_xaxes(
        type="log", range=[log.min() - 0.08 * room, log.max() + 0.2 * room], tickvals=list(_TICKS),
        ticktext=list(_TICKS.values()),
    )  # fmt: skip
    tall = (heights.max() - heights.min()) or 0.1
    figure.update_yaxes(range=[heights.min() - 0.08 * tall, heights.max() + 0.08 * tall])


def _names(figure: go.Figure, found: pd.DataFrame) -> None:
    """A name at every point, where it covers no other name and no point, as far as one is found."""
    x, y = np.log10(found["seconds"].to_numpy()), found["value"].to_numpy()
    (left, right), (bottom, top) = figure.layout.xaxis.range, figure.layout.yaxis.range
    px = (x - left) / (right - left) * _SIZE[0]
    py, upper, lower = ((top - found[c].to_numpy()) / (top - bottom) * _SIZE[1] for c in ("value", "high", "low"))
    bars = np.c_[px - 3, upper, px + 3, lower]
    taken = np.vstack([np.c_[px - 6, py - 6, px + 6, py + 6], bars])  # left, upper, right, lower edges
    for i in np.argsort(py):
        name = str(found["model"].iloc[i])
        boxes = np.array([_box(px[i] + dx, py[i] + dy, dx, _LETTER * len(name)) for dx, dy in _PLACES])
        others = np.delete(taken, i, axis=0)
        best = int(np.argmin([_covered(box, others) for box in boxes]))
        taken, (dx, dy) = np.vstack([taken, boxes[best]]), _PLACES[best]
        line = GREY if abs(dx) > _NEAR else "rgba(0,0,0,0)"
        figure.add_annotation(
            x=x[i], y=y[i], text=plain(name), ax=dx, ay=dy, xanchor="left" if dx > 0 else "right", font={"size": 12},
            showarrow=True, arrowhead=0, arrowwidth=0.8, arrowcolor=line, standoff=5,
        )  # fmt: skip


def _box(x: float, y: float, side: int, width: float) -> tuple[float, float, float, float]:
    start = x if side > 0 else x - width
    return start, y - _LINE / 2, start + width, y + _LINE / 2


def _covered(box: np.ndarray, others: np.ndarray) -> float:
    """Area that a name shares with others, plus what hangs over the edges, in square pixels."""
    wide = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    high = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    outside = max(0, -box[0]) + max(0, box[2] - _SIZE[0]) + max(0, -box[1]) + max(0, box[3] - _SIZE[1])
    return float((wide.clip(0) * high.clip(0)).sum() + _LINE * outside)
