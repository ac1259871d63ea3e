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
from sellarec_lab.views.maps import CACHE, name_axes
from sellarec_lab.views.style import BLACK, GREY, PALETTE, SLOT_COLOURS, dress, extent, plain
from sellarec_lab.views.vectors import alignment_scores
from sellarec_lab.views.walk import WalkMap, walk_map

USERS, OWN = "<User_ID>: users", "lines to their own semantics"
_PANEL = 560, 440  # pixels of the map, about
KINDS = {  # what is drawn: colour and symbol; words first, since they lie below
    "words": (GREY, "circle"),
    USERS: (SLOT_COLOURS["user"], "diamond"),
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
    walk: Snapshots, data: Interactions, words: ArrayLike, vocabulary: Sequence[str], most: int = 400,
    method: str = "umap", seed: int = 0, cache: Path | None = CACHE,
) -> go.Figure:  # fmt: skip
    """Words, what the language model says of the items, and on this ground, which stands still, items and users that
    walk (see `walk_map`).

    The slider moves through training; beside the map stand the numbers that no map can bend. A thin line leads from
    each item to its own partner; the legend shows users, and lines to partners drawn at random, on demand. The menu
    colours by kind, genre, number of train rows, or warm and cold. Hovering shows the title and the nearest words at
    that moment. All of it lives in the figure: a saved page needs no kernel.

    Args:
        walk: from `sella.snapshots`.
        data: what the snapshots were trained on; titles, genres and counts come from it.
        words: word embeddings [V, d] to compare with, of the snapshots' width; at most 300 are drawn.
        vocabulary: V texts.
        most: rows of each kind that are drawn, evenly spread over the ids.
        method: "pca" comes at once and shows the larger order; "umap" takes up to a minute, is kept in ``cache`` by
            content, and shows who is near whom.

    Raises:
        ValueError: shapes that do not fit (both are named), or an unknown method.
    """
    return draw_walk(walk_map(walk, data, words, vocabulary, most, method, seed, cache), walk, data)


def draw_walk(drawn: WalkMap, walk: Snapshots, data: Interactions) -> go.Figure:
    """The figure of a `WalkMap`."""
    figure = make_subplots(1, 2, column_widths=[0.66, 0.34], horizontal_spacing=0.09)
    for name, part in zip(KINDS, _layers(drawn, data), strict=True):
        colour, symbol = KINDS[name]
        look = {"color": colour, "symbol": symbol, "size": 5 if name == "words" else 7, "opacity": 0.7}
        figure.add_scatter(
            **part, marker=look | {"line": {"width": 0}}, name=plain(name), row=1, col=1,
            visible=_seen(name), legendgroup=name, showlegend=False,  # the menu brings a legend for both
            hovertemplate=f"%{{hovertext}}<extra>{plain(name)}</extra>",
        )  # fmt: skip
    for name, ends in _ends(drawn).items():
        x, y = _lines(drawn.items.xy[-1], ends)
        figure.add_scatter(
            x=x, y=y, mode="lines", name=name, line={"color": GREY, "width": 0.6}, opacity=0.6, hoverinfo="skip",
            visible=True if name == OWN else "legendonly", row=1, col=1,
        )  # fmt: skip
    shown = _legible(drawn)
    figure.add_scatter(
        **_at(drawn.words[shown]), text=[f"<b>{plain(drawn.names[i])}</b>" for i in shown], mode="text", name="labels",
        textposition="top center", textfont={"size": 13, "color": BLACK}, legendgroup="words", showlegend=False,
        hoverinfo="skip", row=1, col=1,
    )  # fmt: skip
    now = _add_scores(figure, scores_over_time(walk), drawn.steps)
    _add_slider(figure, drawn, data, now)
    _add_menu(figure, attributes.colourings(data, drawn.users.ids, drawn.items.ids, KINDS))
    name_axes(figure, drawn.made, drawn.method, row=1, col=1)
    figure.update_xaxes(range=extent(drawn.made.xy[:, 0], 0.04, 0.04, empty=1), row=1, col=1)  # one frame for all
    figure.update_yaxes(range=extent(drawn.made.xy[:, 1], 0.04, 0.04, empty=1), row=1, col=1)
    place = {"xanchor": "left", "yanchor": "top", "tracegroupgap": 0}
    legends = {"legend": place | {"orientation": "h", "x": 0, "y": -0.46}, "legend2": place | {"x": 0.68, "y": -0.15}}
    return dress(figure, "The walk of alignment", _trust(drawn), 880, **legends, margin={"t": 136, "b": 290})


def _trust(drawn: WalkMap) -> str:
    """How far the picture can be believed, in one line."""
    parts = [f"{row['picture']:.0%} of {name} here, {row['full space']:.0%}" for name, row in drawn.trust.iterrows()]
    ground, full = "the map is fitted on words and semantics alone, and stands still", " in the full space"
    return f"{ground}<br>same genre among the 10 nearest: {f'{full}; '.join(parts)}{full}" if parts else ground


def _layers(drawn: WalkMap, data: Interactions) -> list[dict]:
    """What is drawn of each kind at the end: places and texts."""
    words = {"mode": "markers", "hovertext": [plain(name) for name in drawn.names]} | _at(drawn.words)
    who = attributes.describe_items(data, drawn.items.ids)
    tokens = [
        {"mode": "markers", "hovertext": _texts(people, kind.near[-1])} | _at(kind.xy[-1])
        for kind, people in (
            (drawn.users, attributes.describe_users(data, drawn.users.ids)), (drawn.semantics, who), (drawn.items, who)
        )
    ]  # fmt: skip
    return [words, *tokens]


def _legible(drawn: WalkMap) -> list[int]:
    """Places of the words whose label fits beside the ones before it, on a panel of the figure's size."""
    low, high = drawn.made.xy.min(0), drawn.made.xy.max(0)
    pixels = (drawn.words - low) / np.where(high > low, high - low, 1) * _PANEL
    boxes: list[tuple[float, float, float]] = []  # centre and half a width
    kept = []
    for i in drawn.shown:
        (x, y), half = pixels[i], 4.5 * len(drawn.names[i])  # bold letters
        if all(abs(x - a) > half + b or abs(y - c) > 15 for a, c, b in boxes):
            boxes.append((x, y, half))
            kept.append(int(i))
    return kept


def _at(xy: np.ndarray) -> dict[str, list[float]]:
    return {"x": xy[:, 0].tolist(), "y": xy[:, 1].tolist()}


def _texts(who: list[str], near: list[str]) -> list[str]:
    """Who it is and the three nearest words."""
    return [f"{name}<br>near: {plain(words)}" for name, words in zip(who, near, strict=True)]


def _ends(drawn: WalkMap) -> dict[str, np.ndarray]:
    """Where the lines of the items lead [m, 2]: to their own semantics, or to somebody else's."""
    said = drawn.semantics.xy[0]
    return {OWN: said, "lines to semantics drawn at random": said[drawn.partners]}


def _lines(start: np.ndarray, end: np.ndarray) -> tuple[list, list]:
    """Lines [m, 2] to [m, 2] as plotly takes them: x and y, a gap between two."""
    x, y = (np.stack([a, b, np.full_like(a, np.nan)], axis=1).ravel() for a, b in zip(start.T, end.T))
    return tuple([None if np.isnan(v) else v for v in values.tolist()] for values in (x, y))


def _add_scores(figure: go.Figure, scores: pd.DataFrame, steps: list[int]) -> int:
    """The numbers beside the map, moment by moment, controls dotted, and a line that says which moment is shown;
    returns its place."""
    moments, names = list(range(len(steps))), moment_names(steps)
    for name, colour in zip(scores.index.unique("score"), PALETTE):
        rows = scores.xs(name, level="score")
        for column, look in (("value", {"width": 2}), ("shuffled control", {"width": 1.2, "dash": "dot"})):
            figure.add_scatter(
                x=moments, y=rows[column].tolist(), mode="lines+markers" if column == "value" else "lines",
                line={"color": colour, **look}, marker={"size": 5}, name=name, legend="legend2",
                legendgroup=f"score {name}", showlegend=column == "value", customdata=names,
                hovertemplate=f"%{{customdata}}<br>{name}, {column} %{{y:.3f}}<extra></extra>", row=1, col=2,
            )  # fmt: skip
    figure.add_scatter(
        x=[moments[-1]] * 2, y=extent([0, 1, *scores.to_numpy().ravel()], 0, 0), mode="lines", name="moment",
        line={"color": "#444444", "width": 1}, showlegend=False, hoverinfo="skip", row=1, col=2,
    )  # fmt: skip
    ticks = {"tickvals": moments, "ticktext": [name.split(",")[0] for name in names]}
    figure.update_xaxes(title_text="moment, by its training step", **ticks, row=1, col=2)
    figure.update_yaxes(title_text="items against semantics, full space", row=1, col=2)
    return len(figure.data) - 1


def _add_slider(figure: go.Figure, drawn: WalkMap, data: Interactions, now: int) -> None:
    """A slider that moves users, items, their lines, and the line beside; all else stands still."""
    who = attributes.describe_users(data, drawn.users.ids), attributes.describe_items(data, drawn.items.ids)
    kinds, line, moments = (drawn.users, drawn.items), list(figure.data[now].y), []
    for s, name in enumerate(moment_names(drawn.steps)):
        lines = [_lines(drawn.items.xy[s], ends) for ends in _ends(drawn).values()]
        moved = {
            "x": [*(kind.xy[s, :, 0].tolist() for kind in kinds), *(x for x, _ in lines), [s, s]],
            "y": [*(kind.xy[s, :, 1].tolist() for kind in kinds), *(y for _, y in lines), line],
            "hovertext": [*(_texts(w, kind.near[s]) for w, kind in zip(who, kinds)), "", "", ""],
        }
        moments.append({"label": name, "method": "restyle", "args": [moved, [1, 3, 4, 5, now]]})
    label = {"prefix": "training step: ", "font": {"size": 13}, "xanchor": "left"}
    look = {"active": len(moments) - 1, "currentvalue": label, "x": 0, "y": -0.1, "len": 0.6, "pad": {"t": 6}}
    figure.update_layout(sliders=[{"steps": moments, **look}])


def moment_names(steps: list[int]) -> list[str]:
    """What the moments are called, with fewer than two the end alone."""
    return ["before", *map(str, steps[1:-1]), f"{steps[-1]}, kept"][-len(steps) :]


def _add_menu(figure: go.Figure, ways: list[attributes.Colouring]) -> None:
    """The menu of colours, each with legend entries of its own."""
    first, entries = len(figure.data), [(way, *entry) for way in ways for entry in way.legend]
    for way, label, colour, symbol in entries:
        figure.add_scatter(
            x=[None], y=[None], mode="markers", marker={"color": colour, "symbol": symbol, "size": 9},
            name=plain(label), visible=way is ways[0] and _seen(label), row=1, col=1,
            legendgroup=label if label in KINDS else f"{way.name} {label}",
        )  # fmt: skip
    traces, own = [0, 1, 2, 3, *range(first, first + len(entries))], [colour for _, _, colour, _ in entries]
    buttons = []
    for way in ways:
        seen = [_seen(kind) for kind in KINDS] + [owner is way and _seen(label) for owner, label, *_ in entries]
        change = {"marker.color": [*way.colours, *own], "visible": seen}
        buttons.append({"label": f"colour: {way.name}", "method": "restyle", "args": [change, traces]})
    figure.update_layout(updatemenus=[{"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.01, "yanchor": "bottom"}])


def _seen(label: str) -> bool | str:
    """Users are shown on demand: by a click in the legend."""
    return "legendonly" if label == USERS else True
