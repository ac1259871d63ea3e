"""How every figure of the lab looks: one template, one colour-blind-safe palette, one way to html."""

import html
from collections.abc import Iterable, Mapping, Sized
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from sellarec_lab import prompts, runtime

# Okabe & Ito 2008: told apart with every kind of colour vision.
BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, YELLOW, BLACK, GREY = "#E69F00", "#56B4E9", "#F0E442", "#000000", "#9A9A9A"
FOR, AGAINST = SKY, ORANGE  # what spoke for "like" and against it: no soft token has these
PALETTE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK, YELLOW)
SLOT_COLOURS = {name: kind.colour for name, kind in prompts.KINDS.items()}
# A group, curve or split with one of these in its name keeps its colour in every figure.
_OWN = {
    **SLOT_COLOURS, "collab": BLUE, "semantic": GREEN, "word": GREY,
    "train": BLUE, "valid": ORANGE, "test": VERMILLION, "uauc": VERMILLION, "auc": BLUE,
}  # fmt: skip
_AXIS = {
    "showgrid": True, "gridcolor": "#E9E9E9", "zeroline": False, "showline": True, "linecolor": "#8A8A8A",
    "ticks": "outside", "tickcolor": "#8A8A8A", "ticklen": 4, "automargin": True,
    "title": {"font": {"size": 14}, "standoff": 10}, "tickfont": {"size": 12},
}  # fmt: skip
TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": "Helvetica, Arial, DejaVu Sans, sans-serif", "size": 13, "color": "#222222"},
        "title": {"x": 0.0, "xref": "paper", "xanchor": "left", "font": {"size": 18}},
        "colorway": list(PALETTE), "paper_bgcolor": "white", "plot_bgcolor": "white",
        "xaxis": _AXIS, "yaxis": _AXIS, "hovermode": "closest",
        "hoverlabel": {"bgcolor": "white", "font": {"size": 13, "color": "#222222"}, "align": "left"},
        "legend": {"bgcolor": "rgba(255,255,255,0.85)", "itemsizing": "constant", "font": {"size": 13}},
        "margin": {"l": 70, "r": 30, "t": 92, "b": 64},
    },
)  # fmt: skip
# A horizontal legend just above the plot; at its right end, where titles seldom reach.
LEGEND_ON_TOP = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom", "traceorder": "normal"}


def dress(figure: go.Figure, title: str, subtitle: str = "", height: int = 460, **layout) -> go.Figure:
    """Give a figure the lab's template, its title and a grey line below it; returns the same figure."""
    text = f"<b>{title}</b>"
    if subtitle:
        text += f"<br><span style='font-size:13px;color:#666666'>{subtitle}</span>"
    place = {"text": text, "y": 1 - 18 / height, "yref": "container", "yanchor": "top"}
    return figure.update_layout(template=TEMPLATE, title=place, height=height, **layout)


def extent(values: ArrayLike, below: float, above: float, empty: float = 0.1) -> list[float]:
    """An axis that holds all values, with these shares of their span (``empty`` where that is 0) as room around."""
    low, high = float(np.min(values)), float(np.max(values))
    span = (high - low) or empty
    return [low - below * span, high + above * span]


def intervals(value: pd.Series, low: ArrayLike, high: ArrayLike, **look) -> dict:
    """Error bars from ``low`` to ``high``, as plotly takes them."""
    return {"type": "data", "symmetric": False, "array": high - value, "arrayminus": value - low, **look}


def colours(names: Iterable[str]) -> dict[str, str]:
    """A colour a name: the one that its kind always has (user, item, warm, word ...) or the next that is free."""
    names, chosen = list(names), {}
    for name in names:
        own = next((c for part, c in _OWN.items() if part in name.lower()), None)
        if own is not None and own not in chosen.values():
            chosen[name] = own
    free = [c for c in PALETTE if c not in chosen.values()] or list(PALETTE)
    rest = [name for name in names if name not in chosen]
    return chosen | {name: free[i % len(free)] for i, name in enumerate(rest)}


def plain(text: str) -> str:
    """Text that plotly must not read as markup: a title may hold ``<b>`` or ``<Item_ID>``."""
    return html.escape(str(text), quote=False)


def matrices(groups: Mapping[str, ArrayLike], what: str = "groups") -> dict[str, np.ndarray]:
    """Every group as finite float array [n, d], all of one width d.

    Raises:
        ValueError: nothing given; a group that is no [n, d], of another width than the first, or not finite.
    """
    if not groups:
        raise ValueError(f"{what} is empty: give at least one array [n, d] by name")
    out = {name: np.asarray(values, dtype=float) for name, values in groups.items()}
    first, start = next(iter(out.items()))
    for name, values in out.items():
        if values.ndim != 2 or not len(values) or values.shape[1:] != start.shape[1:]:
            raise ValueError(
                f"{what}: {name!r} has shape {values.shape}, {first!r} has shape {start.shape}; "
                "expected [n, d] with one d for all"
            )
        if not np.isfinite(values).all():
            raise ValueError(f"{what}: {name!r} holds NaN or infinite values")
    return out


def units(name: str, values: np.ndarray) -> np.ndarray:
    """Rows of [n, d] at length 1; ValueError names the first row without direction."""
    norm = np.linalg.norm(values, axis=1, keepdims=True)
    if (norm == 0).any():
        raise ValueError(f"{name!r}: row {norm.argmin()} is all zero and has no direction (drop the padding row)")
    return values / norm


def need_one_each(name: str, texts: Sized, others: str, rows: np.ndarray) -> None:
    """ValueError that names both shapes where ``texts`` are not one for each of the rows [n, d]."""
    if len(texts) != len(rows):
        raise ValueError(f"{name} has shape {(len(texts),)}, {others} have shape {rows.shape}; expected [n], [n, d]")


def need_columns(frame: pd.DataFrame, columns: Iterable[str], what: str) -> None:
    """ValueError that names the columns that ``frame`` lacks, and those it has."""
    missing = [c for c in columns if c not in frame.columns]
    if missing:
        raise ValueError(f"{what} lacks the columns {missing}; it has {list(frame.columns)}")


def to_html(view, path: str | Path | None = None) -> str:
    """One self-contained page that needs no network: a figure, or anything with ``_repr_html_``.

    Args:
        view: plotly figure (the page then weighs 5 MB: plotly itself is inside), `Html`, Prompt, Explanation ...
        path: where to write the page as well.
    """
    if isinstance(view, go.Figure):
        page = view.to_html(include_plotlyjs=True, full_html=True, config={"displaylogo": False, "responsive": True})
    else:
        head = "<meta charset='utf-8'><title>sellarec_lab</title>"
        page = f"<!doctype html><html><head>{head}</head><body style='margin:24px'>{view._repr_html_()}</body></html>"
    if path is not None:
        runtime.write_text(Path(path), page)
    return page
