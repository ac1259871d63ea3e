"""Knowledge graphs: what stands around an entity, as a drawing without script and as a tree that one can open."""

import math

import numpy as np
import pandas as pd

from sellarec_lab.views.prompt import FRAME, Html, safe, small
from sellarec_lab.views.style import colours, need_columns

COLUMNS = ("head", "relation", "tail", "graph")
_SHOWN = 16  # most neighbours in the drawing
_RADIUS, _WIDE, _HIGH = 190, 760, 470


def neighbourhood(facts: pd.DataFrame, entity: str, title: str = "") -> Html:
    """An entity and its neighbours on a ring, one colour a graph that tells of them; below, all facts, where each
    neighbour opens to what is known of it in turn.

    Args:
        facts: ``head, relation, tail`` as names, and ``graph``, who says so.
        entity: the one in the middle.

    Raises:
        ValueError: a column is missing, or no fact speaks of the entity.
    """
    need_columns(facts, COLUMNS, "facts")
    near = _around(facts, entity)
    if near.empty:
        raise ValueError(f"no fact speaks of {entity!r}; there are {facts['head'].nunique()} heads, such as "
                         f"{facts['head'].iloc[0]!r}")  # fmt: skip
    graphs = sorted(facts["graph"].unique())
    ink = colours(graphs)
    says = f"{len(near)} facts, {min(len(near), _SHOWN)} drawn; " + ", ".join(f"{g}: {_dot(ink[g])}" for g in graphs)
    drawing = (
        f"<svg viewBox='0 0 {_WIDE} {_HIGH}' style='width:100%;max-width:{_WIDE}px'>{_ring(near, entity, ink)}</svg>"
    )
    body = f"<b style='font-size:18px'>{safe(title or entity)}</b><div style='font-size:13px;color:#555'>{says}</div>"
    return Html(
        f"{FRAME}{body}{drawing}{small('open a neighbour to see what is known of it')}{_tree(facts, near, ink)}</div>"
    )


def _around(facts: pd.DataFrame, entity: str) -> pd.DataFrame:
    """Facts about an entity as ``relation, other, graph``; one read backwards has an arrow to the left."""
    out = facts[facts["head"] == entity]
    into = facts[(facts["tail"] == entity) & (facts["head"] != entity)]
    both = [
        out.assign(other=out["tail"], relation=out["relation"] + " →"),
        into.assign(other=into["head"], relation="← " + into["relation"]),
    ]
    return pd.concat(both)[["relation", "other", "graph"]].drop_duplicates(ignore_index=True)


def _ring(near: pd.DataFrame, entity: str, ink: dict[str, str]) -> str:
    shown, middle = near.head(_SHOWN), (_WIDE / 2, _HIGH / 2)
    parts = []
    for place, fact in enumerate(shown.itertuples()):
        angle = 2 * math.pi * (place + 0.5) / len(shown)
        x, y = middle[0] + 1.25 * _RADIUS * math.cos(angle), middle[1] + _RADIUS * math.sin(angle)
        parts.append(_spoke(middle, (x, y), fact, ink[fact.graph]))
    parts.append(f"<circle cx='{middle[0]}' cy='{middle[1]}' r='9' fill='#222222'/>")
    name = f"<text x='{middle[0]}' y='{middle[1] - 15}' font-size='15' font-weight='bold' text-anchor='middle'>"
    return "".join(parts) + f"{name}{safe(entity)}</text>"


def _spoke(middle: tuple[float, float], end: tuple[float, float], fact: tuple, colour: str) -> str:
    (x0, y0), (x, y) = middle, end
    where = "start" if x >= x0 else "end"
    shift = 11 if x >= x0 else -11
    between = np.add(middle, 0.62 * np.subtract(end, middle))
    return (
        f"<line x1='{x0:.0f}' y1='{y0:.0f}' x2='{x:.0f}' y2='{y:.0f}' stroke='{colour}' stroke-width='1.5'/>"
        f"<circle cx='{x:.0f}' cy='{y:.0f}' r='6' fill='{colour}'/>"
        f"<text x='{x + shift:.0f}' y='{y + 4:.0f}' font-size='13' text-anchor='{where}'>{safe(fact.other)}</text>"
        f"<text x='{between[0]:.0f}' y='{between[1] - 3:.0f}' font-size='10.5' "
        f"fill='#666' text-anchor='middle' stroke='#FFF' stroke-width='4' paint-order='stroke'>"
        f"{safe(fact.relation)}</text>"
    )


def _tree(facts: pd.DataFrame, near: pd.DataFrame, ink: dict[str, str]) -> str:
    rows = []
    for fact in near.itertuples():
        below = "".join(
            f"<div style='margin-left:2em'>{_fact(f, ink)}</div>" for f in _around(facts, fact.other).itertuples()
        )
        rows.append(f"<details style='margin-left:.5em'><summary>{_fact(fact, ink)}</summary>{below}</details>")
    return f"<div style='font:13px/1.6 system-ui,sans-serif;margin-top:.5em'>{''.join(rows)}</div>"


def _fact(fact: tuple, ink: dict[str, str]) -> str:
    return f"{_dot(ink[fact.graph])} <span style='color:#666'>{safe(fact.relation)}</span> {safe(fact.other)}"


def _dot(colour: str) -> str:
    return f"<span style='color:{colour}'>●</span>"
