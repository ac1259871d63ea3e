"""Item indices and the search through them: a tree of prefixes that one can open, beams that grow level by level."""

import html
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from sellarec_lab.views.prompt import FRAME, Html, safe, small
from sellarec_lab.views.style import BLUE, GREY, need_columns

_TOKEN = re.compile(r"<[^<>]+>")
_SHOWN = 2000  # most titles in one tree: a page, not a data base
_COLUMN, _LABEL, _ROW, _NAMES = 210, 124, 24, 300  # points of the drawing: a level, its words, a beam, the last names


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


def beam_tree(
    steps: Sequence[pd.DataFrame], names: Sequence[str] | None = None, title: str = "Beams", depth: int | None = None
) -> Html:
    """The beams of a search, level by level, as a drawing without script; a line leads from a beam to those that grew
    from it, the text says the token and the probability of all so far. Beams from which nothing grew are grey.

    Args:
        steps: one frame a level with ``beam, parent, token, score`` (natural logarithm of the probability).
        names: what each of the last beams stands for, shown behind it.
        depth: how many levels there will be: room is left for those that have not grown yet.

    Raises:
        ValueError: no level, or a frame that lacks a column.
    """
    if not steps:
        raise ValueError("steps is empty: give one frame a level of the search")
    for level, step in enumerate(steps):
        need_columns(step, ("beam", "parent", "token", "score"), f"steps[{level}]")
    high = _ROW * max(len(step) for step in steps)
    places = [high * place for place in _places(steps)]
    lines, points = [], []
    for level, step in enumerate(steps):
        before = places[level - 1] if level else np.full(1, high / 2)
        lines += [_line(level, y, end) for y, end in zip(before[step["parent"]], places[level])]
        lives = step["beam"].isin(steps[level + 1]["parent"]) if level + 1 < len(steps) else step["beam"] >= 0
        told = names if names is not None and level + 1 == len(steps) else [""] * len(step)
        points += map(_beam, [level] * len(step), places[level], step["token"], np.exp(step["score"]), lives, told)
    wide = _COLUMN * (depth or len(steps)) + _NAMES
    drawn = f"<circle cx='8' cy='{high / 2}' r='5' fill='{GREY}'/>{''.join(lines)}{''.join(points)}"
    drawing = f"<svg viewBox='0 {-_ROW / 2} {wide} {high + _ROW}' style='width:100%;max-width:{wide}px'>{drawn}</svg>"
    says = "probability of the index so far; grey: nothing grew from it"
    return Html(f"{FRAME}<b style='font-size:18px'>{safe(title)}</b>{small(says)}{drawing}</div>")


def _line(level: int, start: float, end: float) -> str:
    left, right = _COLUMN * level + 8 + (level > 0) * _LABEL, _COLUMN * (level + 1) + 8
    return f"<line x1='{left}' y1='{start:.1f}' x2='{right}' y2='{end:.1f}' stroke='#CCCCCC'/>"


def _beam(level: int, y: float, token: str, probability: float, lives: bool, name: str) -> str:
    """A beam: a point whose area is its probability, and its words."""
    x, colour, ink = _COLUMN * (level + 1) + 8, *((BLUE, "#222222") if lives else (GREY, "#777777"))
    told = f"{safe(token)} <tspan fill='#666666'>{share(probability)}</tspan>"
    told += f" <tspan font-weight='bold'>{safe(name)}</tspan>"
    words = f"<text x='{x + 14}' y='{y + 4:.1f}' font-size='13' fill='{ink}'>{told}</text>"
    return f"<circle cx='{x}' cy='{y:.1f}' r='{3 + 9 * probability**0.5:.1f}' fill='{colour}'/>{words}"


def share(probability: float) -> str:
    """A probability in percent to three digits that count, however small."""
    return f"{100 * probability:.3g} %"


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
