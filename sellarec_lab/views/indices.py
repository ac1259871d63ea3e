"""Item indices and the search through them: a tree of prefixes that one can open, beams that grow level by level."""

import html
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sellarec_lab.views.prompt import Html
from sellarec_lab.views.style import BLUE, GREY, dress, need_columns, plain

_TOKEN = re.compile(r"<[^<>]+>")
_SHOWN = 2000  # most titles in one tree: a page, not a data base


def index_tree(words: Sequence[str], titles: Sequence[str], find: str = "") -> Html:
    """The tree of indices, folded; a prefix opens to its codes, the last code to its items.

    Args:
        words: the index of every item, as its tokens one after the other; "" for an item that has none (padding too).
        titles: as many titles.
        find: branches with a title that holds these words are open, and the titles marked.

    Raises:
        ValueError: another number of titles than of indices, or more than 2,000 items to show.
    """
    if len(words) != len(titles):
        raise ValueError(f"{len(words)} indices and {len(titles)} titles: expected one title an index")
    rows = [(_TOKEN.findall(w), t) for w, t in zip(words, titles) if w and find.lower() in t.lower()]
    if len(rows) > _SHOWN:
        raise ValueError(f"{len(rows)} items are too many for one tree (at most {_SHOWN}); name some words to find")
    body = _branch(sorted(rows, key=lambda row: [_natural(token) for token in row[0]]), find) or "no title holds this"
    return Html(f"<div style='font:14px/1.5 system-ui,sans-serif'>{body}</div>")


def _branch(rows: list[tuple[list[str], str]], find: str) -> str:
    """Rows (what is left of the index, title) with one prefix, as nested details."""
    out, first = [], [row[0][0] if row[0] else "" for row in rows]
    for token in dict.fromkeys(first):
        below = [(left[1:], title) for (left, title), own in zip(rows, first) if own == token]
        if not token:
            out += [f"<div style='margin-left:1.4em'>{_marked(title, find)}</div>" for _, title in below]
            continue
        head = f"<summary><code>{html.escape(token)}</code> <span style='color:#666'>{len(below)}</span></summary>"
        out.append(f"<details style='margin-left:1em'{' open' * bool(find)}>{head}{_branch(below, find)}</details>")
    return "".join(out)


def _marked(title: str, find: str) -> str:
    return f"<mark>{html.escape(title)}</mark>" if find else html.escape(title)


def _natural(token: str) -> tuple[str, int]:
    """``<a_12>`` comes after ``<a_2>``."""
    number = re.search(r"\d+", token)
    return token[:3], int(number[0]) if number else 0


def beam_tree(steps: Sequence[pd.DataFrame], names: Sequence[str] | None = None, title: str = "Beams") -> go.Figure:
    """The beams of a search, level by level; a line leads from a beam to those that grew from it, the text says the
    token and the probability of all so far. Beams from which nothing grew are grey.

    Args:
        steps: one frame a level with ``beam, parent, token, score`` (natural logarithm of the probability).
        names: what each of the last beams stands for, shown behind it.

    Raises:
        ValueError: no level, or a frame that lacks a column.
    """
    if not steps:
        raise ValueError("steps is empty: give one frame a level of the search")
    for level, step in enumerate(steps):
        need_columns(step, ("beam", "parent", "token", "score"), f"steps[{level}]")
    places = _places(steps)
    figure = go.Figure()
    for level, step in enumerate(steps):
        before = places[level - 1] if level else np.full(1, 0.5)
        x, y = _lines(level, before[step["parent"]], places[level])
        figure.add_trace(go.Scatter(x=x, y=y, mode="lines", line={"color": "#CCCCCC", "width": 1}, hoverinfo="skip"))
    for level, step in enumerate(steps):
        lives = step["beam"].isin(steps[level + 1]["parent"]) if level + 1 < len(steps) else step["beam"] >= 0
        told = [f"{plain(t)} {p:.2%}" for t, p in zip(step["token"], np.exp(step["score"]))]
        if level + 1 == len(steps) and names is not None:
            told = [f"{text}  <b>{plain(name)}</b>" for text, name in zip(told, names)]
        marker = {"color": np.where(lives, BLUE, GREY), "size": 5 + 20 * np.sqrt(np.exp(step["score"]))}
        figure.add_trace(
            go.Scatter(
                x=np.full(len(step), level + 1), y=places[level], mode="markers+text", marker=marker, text=told,
                textposition="top right", hovertemplate="%{text}<extra></extra>",
            )
        )  # fmt: skip
    figure.update_xaxes(range=[-0.1, len(steps) + 1.4], tickvals=list(range(1, len(steps) + 1)), title_text="level")
    figure.update_yaxes(showticklabels=False, ticks="", showgrid=False, range=[1.05, -0.15])
    height = 160 + 26 * max(len(step) for step in steps)
    return dress(figure, title, "probability of the index so far; grey: nothing grew from it", height, showlegend=False)


def _places(steps: Sequence[pd.DataFrame]) -> list[np.ndarray]:
    """Heights of the beams of every level in [0, 1]: sorted by where they came from, so that no lines cross."""
    places, before = [], np.full(1, 0.5)
    for step in steps:
        order = np.lexsort((step["beam"], before[step["parent"]]))
        height = np.empty(len(step))
        height[order] = np.linspace(0, 1, len(step)) if len(step) > 1 else 0.5
        places.append(height)
        before = height
    return places


def _lines(level: int, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Segments from one level to the next as one line with gaps."""
    gap = np.full(len(ends), np.nan)
    x = np.stack([np.full(len(ends), level), np.full(len(ends), level + 1), gap], axis=1).ravel()
    return x, np.stack([starts, ends, gap], axis=1).ravel()
