"""The walk of alignment: one map of words, users and items, and a slider over the moments of training."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from sellarec_lab.alignment import Snapshots
from sellarec_lab.data import Interactions
from sellarec_lab.views import attributes
from sellarec_lab.views.attributes import Colouring
from sellarec_lab.views.maps import CACHE, Map, _name_axes, coordinates
from sellarec_lab.views.style import GREY, PALETTE, SLOT_COLOURS, dress, matrices, plain, units
from sellarec_lab.views.vectors import alignment_scores, nearest_words

_WORDS = 300  # most words drawn; all that are given may be named as neighbours
_KINDS = {  # what is drawn: colour and symbol; words first, since they lie below
    "words": (GREY, "circle"),
    "<User_ID>: users": (SLOT_COLOURS["user"], "diamond"),
    "<Warm_ID>: item semantics": (SLOT_COLOURS["warm"], "square"),
    "<Item_ID>: items": (SLOT_COLOURS["item"], "triangle-up"),
}


class _Drawn(NamedTuple):
    """What is drawn: row numbers of words [w], users, semantics and items as [S, n, d], ids of users and items."""

    steps: list[int]
    words: np.ndarray
    tokens: list[np.ndarray]
    user_ids: np.ndarray
    item_ids: np.ndarray


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
    if len(vocabulary) != len(words):
        raise ValueError(
            f"vocabulary has shape {(len(vocabulary),)}, words have shape {words.shape}; expected [V], [V, d]"
        )
    drawn = _choose(walk, len(words), most)
    made, places = _places(drawn, words[drawn.words], method, seed, cache)
    texts = _texts(drawn, data, words, vocabulary)
    still = places[0][-1], [plain(vocabulary[i].strip()) for i in drawn.words]
    figure = make_subplots(1, 2, column_widths=[0.66, 0.34], horizontal_spacing=0.09)
    for trace in _traces(still, [p[-1] for p in places[1:]], [t[-1] for t in texts]):
        figure.add_trace(trace, row=1, col=1)
    now = _add_scores(figure, scores_over_time(walk), drawn.steps)
    _add_slider(figure, drawn.steps, places[1:], texts, now)
    _add_menu(figure, attributes.colourings(data, drawn.user_ids, drawn.item_ids, _KINDS))
    return _finish(figure, made, method)


def _choose(walk: Snapshots, vocabulary: int, most: int) -> _Drawn:
    sizes = (len(walk.user_ids), most), (len(walk.item_ids), most), (vocabulary, _WORDS)
    users, items, words = (np.arange(min(n, limit)) * n // min(n, limit) for n, limit in sizes)
    tokens = [walk.users[:, users], walk.semantics[:, items], walk.items[:, items]]
    return _Drawn(
        walk.steps.tolist(), words, [t.double().numpy() for t in tokens], walk.user_ids[users].numpy(),
        walk.item_ids[items].numpy(),
    )  # fmt: skip


def _places(
    drawn: _Drawn, words: np.ndarray, method: str, seed: int, cache: Path | None
) -> tuple[Map, list[np.ndarray]]:
    """The map, and coordinates of words [1, n, 2] and of each kind of token [S, n, 2]; what never moves (a frozen
    semantic table) enters the fit once."""
    stacks = [words[None], *drawn.tokens]
    stacks = [s[:1] if all(np.array_equal(s[0], other) for other in s[1:]) else s for s in stacks]
    flat = np.concatenate([s.reshape(-1, s.shape[-1]) for s in stacks])
    made = coordinates(units("words, users, semantics, items", flat), method, seed, cache)
    ends = np.cumsum([s.shape[0] * s.shape[1] for s in stacks])[:-1]
    places = [xy.reshape(*s.shape[:2], 2) for xy, s in zip(np.split(made.xy, ends), stacks, strict=True)]
    moments = len(drawn.steps)
    return made, [places[0], *(np.broadcast_to(p, (moments, *p.shape[1:])) for p in places[1:])]


def _texts(drawn: _Drawn, data: Interactions, words: np.ndarray, vocabulary: Sequence[str]) -> list[list[list[str]]]:
    """Hover texts of every kind of token, by moment."""
    users = attributes.describe_users(data, drawn.user_ids)
    items = attributes.describe_items(data, drawn.item_ids)
    return [_near(who, stack, words, vocabulary) for who, stack in zip((users, items, items), drawn.tokens)]


def _near(who: list[str], stack: np.ndarray, words: np.ndarray, vocabulary: Sequence[str]) -> list[list[str]]:
    """Who it is and the three nearest words, for tokens [S, n, d]: S lists of n texts."""
    flat = stack.reshape(-1, stack.shape[-1])
    near = nearest_words(flat, words, vocabulary, k=min(3, len(words)), readable=False)
    lists = near["word"].str.strip().groupby(near["row"]).agg(", ".join)
    texts = [f"{name}<br>near: {plain(some)}" for name, some in zip(who * len(stack), lists, strict=True)]
    return [texts[start : start + len(who)] for start in range(0, len(texts), len(who))]


def _traces(still, places: list[np.ndarray], texts: list[list[str]]) -> list[go.Scatter]:
    """One trace a kind, with its own legend entry by the same group, so that a click hides both."""
    traces = []
    for (name, (colour, symbol)), xy, text in zip(_KINDS.items(), [still[0], *places], [still[1], *texts], strict=True):
        marker = {"color": colour, "symbol": symbol, "size": 5 if name == "words" else 8, "opacity": 0.7}
        traces.append(
            go.Scatter(
                x=_short(xy[:, 0]), y=_short(xy[:, 1]), mode="markers", marker=marker | {"line": {"width": 0}},
                name=plain(name), legendgroup=name, showlegend=False, text=text,
                hovertemplate=f"%{{text}}<extra>{plain(name)}</extra>",
            )
        )  # fmt: skip
    return traces


def _short(values: np.ndarray) -> list[float]:
    """Plain numbers with four decimals: a page stays small, and menus and frames hold lists alone."""
    return np.round(values, 4).tolist()


def _add_scores(figure: go.Figure, scores: pd.DataFrame, steps: list[int]) -> int:
    """The numbers beside the map, controls dotted, and a line that says which moment is shown; returns its place."""
    for name, colour in zip(scores.index.unique("score"), PALETTE):
        rows = scores.xs(name, level="score")
        for column, dash in (("value", "solid"), ("shuffled control", "dot")):
            line = go.Scatter(
                x=steps, y=rows[column].tolist(), mode="lines+markers" if dash == "solid" else "lines",
                line={"color": colour, "dash": dash, "width": 2 if dash == "solid" else 1.2}, marker={"size": 5},
                name=name, legend="legend2", legendgroup=f"score {name}", showlegend=dash == "solid",
                hovertemplate=f"step %{{x}}<br>{name}, {column} %{{y:.3f}}<extra></extra>",
            )  # fmt: skip
            figure.add_trace(line, row=1, col=2)
    low, high = min(0.0, float(scores.min().min())), max(1.0, float(scores.max().max()))
    moment = go.Scatter(
        x=[steps[-1]] * 2, y=[low, high], mode="lines", line={"color": "#444444", "width": 1}, name="moment",
        showlegend=False, hoverinfo="skip",
    )  # fmt: skip
    figure.add_trace(moment, row=1, col=2)
    figure.update_xaxes(title_text="training step", row=1, col=2)
    figure.update_yaxes(title_text="items against semantics, full space", row=1, col=2)
    return len(figure.data) - 1


def _add_slider(figure: go.Figure, steps: list[int], places: list[np.ndarray], texts, now: int) -> None:
    """A slider that moves the tokens and the line beside; words stand still."""
    names = ["start", *map(str, steps[1:-1]), f"{steps[-1]}, kept"][-len(steps) :]
    moments, line = [], list(figure.data[now].y)
    for s, (step, name) in enumerate(zip(steps, names, strict=True)):
        moved = {
            "x": [*(_short(xy[s, :, 0]) for xy in places), [step, step]],
            "y": [*(_short(xy[s, :, 1]) for xy in places), line],
            "text": [*(text[s] for text in texts), ""],
        }
        moments.append({"label": name, "method": "restyle", "args": [moved, [1, 2, 3, now]]})
    label = {"prefix": "training step: ", "font": {"size": 13}, "xanchor": "left"}
    place = {"x": 0, "y": -0.1, "len": 0.6, "pad": {"t": 6}}  # the end is shown first: a picture shows what was kept
    figure.update_layout(sliders=[{"steps": moments, "active": len(steps) - 1, "currentvalue": label, **place}])


def _add_menu(figure: go.Figure, ways: list[Colouring]) -> None:
    """The menu of colours, each with legend entries of its own."""
    entries = []
    for way in ways:
        for label, colour, symbol in way.legend:
            dot = {"color": colour, "symbol": symbol, "size": 9}
            figure.add_trace(
                go.Scatter(
                    x=[None], y=[None], mode="markers", marker=dot, name=plain(label), visible=way is ways[0],
                    legendgroup=label if label in _KINDS else f"{way.name} {label}",
                ),
                row=1, col=1,
            )  # fmt: skip
            entries.append(way.name)
    last = len(figure.data)
    legend = list(range(last - len(entries), last))
    buttons = []
    for way in ways:
        seen = [True] * len(_KINDS) + [owner == way.name for owner in entries]
        change = {"marker.color": [*way.colours, *(figure.data[i].marker.color for i in legend)], "visible": seen}
        buttons.append({"label": f"colour: {way.name}", "method": "restyle", "args": [change, [0, 1, 2, 3, *legend]]})
    figure.update_layout(updatemenus=[{"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.01, "yanchor": "bottom"}])


def _finish(figure: go.Figure, made: Map, method: str) -> go.Figure:
    subtitle = "one map, fitted on all moments; at the right what no map can bend (dotted: partners drawn at random)"
    right = figure.layout.xaxis2.title.text, figure.layout.yaxis2.title.text
    _name_axes(figure, made, method)
    figure.update_xaxes(title_text=right[0], showticklabels=True, ticks="outside", row=1, col=2)
    figure.update_yaxes(title_text=right[1], showticklabels=True, ticks="outside", row=1, col=2)
    for axis, values in (("xaxis", made.xy[:, 0]), ("yaxis", made.xy[:, 1])):  # one frame for all moments
        low, high = float(values.min()), float(values.max())
        room = 0.04 * ((high - low) or 1.0)
        figure.layout[axis].range = [low - room, high + room]
    below = {"orientation": "h", "x": 0, "xanchor": "left", "y": -0.52, "yanchor": "top", "tracegroupgap": 0}
    beside = {"x": 0.72, "xanchor": "left", "y": -0.18, "yanchor": "top", "tracegroupgap": 0}
    margin = {"t": 118, "b": 262}
    return dress(figure, "The walk of alignment", subtitle, 740, legend=below, legend2=beside, margin=margin)
