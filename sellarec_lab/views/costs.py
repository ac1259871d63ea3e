"""What a model costs against what it can do: every model as a point, its name beside it."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sellarec_lab.views.results import _chosen, is_oracle
from sellarec_lab.views.style import BLACK, BLUE, GREY, dress, extent, intervals, need_columns

_TICKS = {
    1: "1 s", 5: "5 s", 15: "15 s", 60: "1 min", 300: "5 min", 900: "15 min", 3600: "1 h", 14_400: "4 h",
    43_200: "12 h", 172_800: "2 d", 604_800: "7 d",
}  # fmt: skip
_SIZE = 860, 400  # pixels that names are placed for; in a wider page they have more room
_LETTER, _LINE = 6.6, 15  # size of a letter of a name, in pixels
_NEAR, _FAR = 11, 26
# Where a name may stand, as pixels from its point: beside it first, then farther off with a thin line to it.
_CLOSE = [(side * _NEAR, dy) for dy in (0, -12, 12) for side in (1, -1)]
_PLACES = [*_CLOSE, *((side * _FAR, sign * dy) for dy in range(28, 136, 18) for sign in (-1, 1) for side in (1, -1))]


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
    oracle = rows.loc[is_oracle(rows), "value"]
    mean = costs.groupby("model", as_index=False)[["seconds", "peak_gb"]].mean()
    models = rows.loc[~is_oracle(rows), ["model", "name", "value", "low", "high"]]
    found = models.merge(mean[mean["seconds"] > 0], on="model")
    if found.empty:
        raise ValueError(f"costs and results share no model with seconds above 0; results: {models['model'].tolist()}")
    memory = [f"{gb:.2f} GB at most" if gb == gb else "memory not measured" for gb in found["peak_gb"]]
    times = [
        f"{s:.1f} s" if s < 60 else f"{s / 60:.1f} min" if s < 3600 else f"{s / 3600:.1f} h" for s in found["seconds"]
    ]
    figure = go.Figure().add_scatter(
        x=found["seconds"], y=found["value"], mode="markers", name=metric, showlegend=False,
        marker={"size": 11, "color": BLUE, "line": {"color": "white", "width": 1}},
        error_y=intervals(found["value"], found["low"], found["high"], thickness=1.2, width=3, color=GREY),
        customdata=np.c_[found["name"], memory], text=times,
        hovertemplate="<b>%{customdata[0]}</b><br>%{y:.4f}<br>%{text}<br>%{customdata[1]}<extra></extra>",
    )  # fmt: skip
    for best in oracle:
        figure.add_hline(best, line={"color": BLACK, "width": 1, "dash": "dash"}, annotation_text=f"oracle {best:.3f}")
    log = np.log10(found["seconds"])
    room = max(np.ptp(log), 0.5)
    figure.update_xaxes(
        title_text="time of training and scoring", type="log", tickvals=list(_TICKS), ticktext=list(_TICKS.values()),
        range=[log.min() - 0.08 * room, log.max() + 0.2 * room],
    )  # fmt: skip
    heights = np.r_[found["low"], found["high"], oracle]
    figure.update_yaxes(title_text=f"{metric.upper()} on {split}", range=extent(heights, 0.08, 0.08))
    _names(figure, found)
    notes = [f"; {n} {why}" for n, why in ((failed, "failed"), (len(models) - len(found), "without a known cost")) if n]
    note = "value and interval; up and to the left is better" + "".join(notes)
    return dress(figure, f"What {metric.upper()} costs", note, 560)


def _names(figure: go.Figure, found: pd.DataFrame) -> None:
    """A name at every point, where it covers no other name and no point, as far as one is found."""
    x, y = np.log10(found["seconds"].to_numpy()), found["value"].to_numpy()
    (left, right), (bottom, top) = figure.layout.xaxis.range, figure.layout.yaxis.range
    px = (x - left) / (right - left) * _SIZE[0]
    py, upper, lower = ((top - found[c].to_numpy()) / (top - bottom) * _SIZE[1] for c in ("value", "high", "low"))
    dots, bars = np.c_[px - 6, py - 6, px + 6, py + 6], np.c_[px - 3, upper, px + 3, lower]
    taken = np.vstack([dots, bars])  # left, upper, right, lower edges
    for i in np.argsort(py):
        width, (dx, dy) = _LETTER * len(found["model"].iloc[i]), np.transpose(_PLACES)
        start, middle = px[i] + dx - np.where(dx > 0, 0, width), py[i] + dy
        boxes = np.c_[start, middle - _LINE / 2, start + width, middle + _LINE / 2]  # [places, 4]
        others = np.delete(taken, i, axis=0)
        shared = np.minimum(boxes[:, None, 2:], others[:, 2:]) - np.maximum(boxes[:, None, :2], others[:, :2])
        outside = (-boxes[:, :2]).clip(0) + (boxes[:, 2:] - _SIZE).clip(0)  # what hangs over the edges
        best = int(np.argmin(shared.clip(0).prod(2).sum(1) + _LINE * outside.sum(1)))  # square pixels
        taken, (dx, dy) = np.vstack([taken, boxes[best]]), _PLACES[best]
        figure.add_annotation(
            x=x[i], y=y[i], text=found["name"].iloc[i], ax=dx, ay=dy, xanchor="left" if dx > 0 else "right",
            font={"size": 12}, showarrow=True, arrowhead=0, arrowwidth=0.8, standoff=5,
            arrowcolor=GREY if abs(dx) > _NEAR else "rgba(0,0,0,0)",
        )  # fmt: skip
