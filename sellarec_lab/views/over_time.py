"""The walk of alignment: one map of words, users and items, and a slider over the moments of training."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from sellarec_lab.alignment import Snapshots
from sellarec_lab.data import Interactions
from sellarec_lab.views import attributes
from sellarec_lab.views.maps import CACHE, Map, coordinates, name_axes
from sellarec_lab.views.style import GREY, PALETTE, SLOT_COLOURS, dress, extent, matrices, plain, units
from sellarec_lab.views.vectors import alignment_scores, nearest_words

_WORDS = 300  # most words drawn; all that are given may be named as neighbours
_KINDS = {  # what is drawn: colour and symbol; words first, since they lie below
    "words": (GREY, "circle"),
    "<User_ID>: users": (SLOT_COLOURS["user"], "diamond"),
    "<Warm_ID>: item semantics": (SLOT_COLOURS["warm"], "square"),
    "<Item_ID>: items": (SLOT_COLOURS["item"], "triangle-up"),
}


def scores_over_time(walk: Snapshots) -> pd.DataFrame:
    """`alignment_scores` of item tokens against item semantics at every moment: indexed by step and score, with
    ``value`` and ``shuffled control``. Items that train never held have no vector of their own and are left out.

    Raises:
        ValueError: fewer than 12 such items.
    """
    warm = walk.warm_items.numpy()
    if warm.sum() < 12:
        raise ValueError(f"{warm.sum()} of {len(warm)} items are warm, expected at least 12 for scores")
    pairs = zip(walk.steps.tolist(), walk.items.numpy(), walk.semantics.numpy(), strict=True)
    tables = {step: alignment_scores(items[warm], semantics[warm]) for step, items, semantics in pairs}
    return pd.concat(tables, names=["step"])


def alignment_over_time(
    walk: Snapshots, data: Interactions, words: ArrayLike, vocabulary: Sequence[str], most: int = 150,
    method: str = "umap", seed: int = 0, cache: Path | None = CACHE,
) -> go.Figure:  # fmt: skip
    """Words, users, items and what the language model says of the items, on one map fitted on all moments together.

    The slider moves through training; beside the map stand the numbers that no map can bend. The menu colours by kind,
    genre, number of train rows, or warm and cold. Hovering shows the title and the nearest words at that moment. All
    of it lives in the figure: a saved page needs no kernel.

    Args:
        walk: from `sella.snapshots`.
        data: what the snapshots were trained on; titles, genres and counts come from it.
        words: word embeddings [V, d] to compare with, of the snapshots' width; at most 300 are drawn.
        vocabulary: V texts.
        most: rows of each kind that are drawn, evenly spread over the ids.
        method: "pca" comes at once and shows the larger order; "umap" takes up to a minute, is kept in ``cache`` by
            content, and shows who meets whom: most of a row's neighbours are the same row at other moments.

    Raises:
        ValueError: shapes that do not fit (both are named), or an unknown method.
    """
    words = matrices({"words": words, "items": walk.items[0], "users": walk.users[0]}, "walk")["words"]
    sizes = (len(walk.user_ids), most), (len(walk.item_ids), most), (len(words), _WORDS)
    users, items, shown = (np.arange(min(n, limit)) * n // min(n, limit) for n, limit in sizes)
    tokens = [t.double().numpy() for t in (walk.users[:, users], walk.semantics[:, items], walk.items[:, items])]
    user_ids, item_ids, steps = walk.user_ids[users].numpy(), walk.item_ids[items].numpy(), walk.steps.tolist()
    who = [attributes.describe_users(data, user_ids), *[attributes.describe_items(data, item_ids)] * 2]
    texts = [_near(names, stack, words, vocabulary) for names, stack in zip(who, tokens)]
    made, (still, *places) = _places([words[None, shown], *tokens], method, seed, cache)
    figure = make_subplots(1, 2, column_widths=[0.66, 0.34], horizontal_spacing=0.09)
    ends = [still[-1], *(p[-1] for p in places)]  # a picture shows what was kept
    names = [[plain(vocabulary[i].strip()) for i in shown], *(t[-1] for t in texts)]
    for (name, (colour, symbol)), xy, text in zip(_KINDS.items(), ends, names, strict=True):
        look = {"color": colour, "symbol": symbol, "size": 5 if name == "words" else 8, "opacity": 0.7}
        figure.add_scatter(
            x=xy[:, 0].tolist(), y=xy[:, 1].tolist(), mode="markers", marker=look | {"line": {"width": 0}}, text=text,
            name=plain(name), legendgroup=name, showlegend=False,  # the menu brings the legend: a click hides both
            hovertemplate=f"%{{text}}<extra>{plain(name)}</extra>", row=1, col=1,
        )  # fmt: skip
    now = _add_scores(figure, scores_over_time(walk), steps)
    _add_slider(figure, steps, places, texts, now)
    _add_menu(figure, attributes.colourings(data, user_ids, item_ids, _KINDS))
    name_axes(figure, made, method, row=1, col=1)
    figure.update_xaxes(range=extent(made.xy[:, 0], 0.04, 0.04, empty=1), row=1, col=1)  # one frame for all moments
    figure.update_yaxes(range=extent(made.xy[:, 1], 0.04, 0.04, empty=1), row=1, col=1)
    note = "one map, fitted on all moments; at the right what no map can bend (dotted: partners drawn at random)"
    place = {"xanchor": "left", "yanchor": "top", "tracegroupgap": 0}
    legends = {"legend": place | {"orientation": "h", "x": 0, "y": -0.52}, "legend2": place | {"x": 0.72, "y": -0.18}}
    return dress(figure, "The walk of alignment", note, 740, **legends, margin={"t": 118, "b": 262})


def _places(stacks: list[np.ndarray], method: str, seed: int, cache: Path | None) -> tuple[Map, list[np.ndarray]]:
    """One map of stacks [S, n, d], and the coordinates of each [S, n, 2]; what never moves (words, a frozen semantic
    table) enters the fit once. Four decimals keep a page small."""
    fitted = [s[:1] if (s == s[0]).all() else s for s in stacks]
    flat = [s.reshape(-1, s.shape[-1]) for s in fitted]
    made = coordinates(units("words, users, semantics, items", np.concatenate(flat)), method, seed, cache)
    parts = zip(np.split(made.xy, np.cumsum([len(s) for s in flat])[:-1]), fitted, stacks, strict=True)
    return made, [np.broadcast_to(xy.round(4).reshape(*fit.shape[:2], 2), (*s.shape[:2], 2)) for xy, fit, s in parts]


def _near(who: list[str], stack: np.ndarray, words: np.ndarray, vocabulary: Sequence[str]) -> list[list[str]]:
    """Who it is and the three nearest words, for tokens [S, n, d]: S lists of n texts."""
    flat = stack.reshape(-1, stack.shape[-1])
    near = nearest_words(flat, words, vocabulary, k=min(3, len(words)), readable=False)
    lists = near["word"].str.strip().groupby(near["row"]).agg(", ".join)
    texts = [f"{name}<br>near: {plain(some)}" for name, some in zip(who * len(stack), lists, strict=True)]
    return [texts[start : start + len(who)] for start in range(0, len(texts), len(who))]


def _add_scores(figure: go.Figure, scores: pd.DataFrame, steps: list[int]) -> int:
    """The numbers beside the map, controls dotted, and a line that says which moment is shown; returns its place."""
    for name, colour in zip(scores.index.unique("score"), PALETTE):
        rows = scores.xs(name, level="score")
        for column, look in (("value", {"width": 2}), ("shuffled control", {"width": 1.2, "dash": "dot"})):
            figure.add_scatter(
                x=steps, y=rows[column].tolist(), mode="lines+markers" if column == "value" else "lines",
                line={"color": colour, **look}, marker={"size": 5}, name=name, legend="legend2",
                legendgroup=f"score {name}", showlegend=column == "value",
                hovertemplate=f"step %{{x}}<br>{name}, {column} %{{y:.3f}}<extra></extra>", row=1, col=2,
            )  # fmt: skip
    figure.add_scatter(
        x=[steps[-1]] * 2, y=extent([0, 1, *scores.to_numpy().ravel()], 0, 0), mode="lines", name="moment",
        line={"color": "#444444", "width": 1}, showlegend=False, hoverinfo="skip", row=1, col=2,
    )  # fmt: skip
    figure.update_xaxes(title_text="training step", row=1, col=2)
    figure.update_yaxes(title_text="items against semantics, full space", row=1, col=2)
    return len(figure.data) - 1


def _add_slider(figure: go.Figure, steps: list[int], places: list[np.ndarray], texts, now: int) -> None:
    """A slider that moves the tokens and the line beside; words stand still."""
    names = ["start", *map(str, steps[1:-1]), f"{steps[-1]}, kept"][-len(steps) :]
    moments, line = [], list(figure.data[now].y)
    for s, (step, name) in enumerate(zip(steps, names, strict=True)):
        x, y = ([xy[s, :, axis].tolist() for xy in places] for axis in (0, 1))
        moved = {"x": [*x, [step, step]], "y": [*y, line], "text": [*(text[s] for text in texts), ""]}
        moments.append({"label": name, "method": "restyle", "args": [moved, [1, 2, 3, now]]})
    label = {"prefix": "training step: ", "font": {"size": 13}, "xanchor": "left"}
    look = {"active": len(steps) - 1, "currentvalue": label, "x": 0, "y": -0.1, "len": 0.6, "pad": {"t": 6}}
    figure.update_layout(sliders=[{"steps": moments, **look}])


def _add_menu(figure: go.Figure, ways: list[attributes.Colouring]) -> None:
    """The menu of colours, each with legend entries of its own."""
    first, entries = len(figure.data), [(way, *entry) for way in ways for entry in way.legend]
    for way, label, colour, symbol in entries:
        figure.add_scatter(
            x=[None], y=[None], mode="markers", marker={"color": colour, "symbol": symbol, "size": 9},
            name=plain(label), visible=way is ways[0], row=1, col=1,
            legendgroup=label if label in _KINDS else f"{way.name} {label}",
        )  # fmt: skip
    traces, own = [0, 1, 2, 3, *range(first, first + len(entries))], [colour for _, _, colour, _ in entries]
    buttons = []
    for way in ways:
        seen = [True] * len(_KINDS) + [owner is way for owner, *_ in entries]
        change = {"marker.color": [*way.colours, *own], "visible": seen}
        buttons.append({"label": f"colour: {way.name}", "method": "restyle", "args": [change, traces]})
    figure.update_layout(updatemenus=[{"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.01, "yanchor": "bottom"}])
