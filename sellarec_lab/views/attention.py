"""Where the place that predicts the answer looks, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from sellarec_lab.views.prompt import Html, safe
from sellarec_lab.views.style import BLUE, dress, plain

if TYPE_CHECKING:
    from sellarec_lab.sella.explanation import Attention

_LONGEST = 26  # letters of a title on the axis
_MOST_NUMBERED = 8  # layers whose cells hold numbers; those of more have them where one points


def attention_by_layer(attention: Attention) -> go.Figure:
    """Attention as a heat map, layers × segments, averaged over heads: each soft token, each title, and what is left.

    A layer's row sums to 1. The first token has a column of its own: models rest unused attention there. Attention
    shows where a model looks, not what its answer depends on; for that, see `attribution`.

    Raises:
        ValueError: weights that are no [layers, heads, L] with one column a token (both shapes are named), or a segment
            that reaches beyond the tokens.
    """
    columns, cells = _cells(attention)
    told = [f"{plain(name)}, {len(p)} token{'s' * (len(p) != 1)}" for name, p in columns]
    short = [plain(n if len(n) <= _LONGEST else n[: _LONGEST - 1] + "…") for n, _ in columns]
    figure = go.Figure().add_heatmap(
        z=cells, x=list(range(len(columns))), y=[f"layer {i + 1}" for i in range(len(cells))], colorscale="Blues",
        zmin=0, zmax=float(cells.max()), xgap=1, ygap=1, texttemplate="%{z:.0%}", customdata=[told] * len(cells),
        hovertemplate="%{customdata}<br>%{y}: %{z:.1%}<extra></extra>", colorbar={"tickformat": ".0%"},
    )  # fmt: skip
    figure.update_xaxes(tickvals=list(range(len(columns))), ticktext=short, tickangle=-40, showgrid=False)
    figure.update_yaxes(showgrid=False)
    note = "mean over heads, rows sum to 100 %. Attention is no explanation: where a model looks is not why it answers"
    return dress(figure, "Attention of the place that answers", note, 260 + 44 * max(3, len(cells)))


def attention_table(attention: Attention) -> Html:
    """The same as plain html, which needs no script: a row a segment, a column a layer, the darker the more.

    Raises:
        ValueError: as `attention_by_layer`.
    """
    columns, cells = _cells(attention)
    most, numbered = cells.max(), len(cells) <= _MOST_NUMBERED
    layers = "".join(
        f"<th style='padding:0 2px;border:0;font-weight:normal'>{i}</th>" for i in range(1, 1 + len(cells))
    )
    rows = "".join(
        f"<tr><td style='padding:0 4px;border:0;text-align:left'>{safe(name)}</td>"
        f"{''.join(_shade(name, layer, share, share / most, numbered) for layer, share in enumerate(shares, 1))}</tr>"
        for (name, _), shares in zip(columns, cells.T)
    )
    look = "border-collapse:separate;border-spacing:1px;font-size:12px;line-height:1.35"
    return Html(f"<table style='{look}'><tr><td style='border:0;text-align:left'>layer</td>{layers}</tr>{rows}</table>")


def _shade(name: str, layer: int, share: float, depth: float, numbered: bool) -> str:
    """A cell whose blue is the deeper, the more of the attention it holds."""
    ink, number = "#FFFFFF" if depth > 0.6 else "#222222", f"{share:.0%}" if numbered else ""
    said = f"{safe(name)}, layer {layer}: {share:.1%}"
    fill = f"{BLUE}{round(255 * depth):02X}"  # the last two digits say how opaque it is
    look = f"padding:0 4px;border:0;min-width:6px;text-align:right;color:{ink};background:{fill}"
    return f"<td title='{said}' style='{look}'>{number}</td>"


def _cells(attention: Attention) -> tuple[list[tuple[str, list[int]]], np.ndarray]:
    """Each segment's name and token positions, and what every layer gives it, mean over heads [layers, segments]."""
    weights, tokens = np.asarray(attention.weights, dtype=float), attention.tokens
    if weights.ndim != 3 or weights.shape[2] != len(tokens):
        raise ValueError(
            f"weights have shape {weights.shape}, tokens have shape {(len(tokens),)}; expected [layers, heads, L], [L]"
        )
    columns = _columns(attention)
    return columns, np.stack([weights[..., p].sum(2).mean(1) for _, p in columns], axis=1)


def _columns(attention: Attention) -> list[tuple[str, list[int]]]:
    """Each column's name and token positions, soft tokens and titles in the prompt's order; every token once."""
    end, taken, columns = len(attention.tokens), {0}, []
    groups: dict[tuple[str, str], list[int]] = {}  # eight soft prompt tokens share a column
    for span in attention.spans:
        if not 0 <= span.first <= span.end <= end:
            raise ValueError(f"segment {span.name!r} covers tokens {span.first} to {span.end} of {end}")
        if span.kind == "frame":
            continue
        name = f"candidate: {span.name}" if span.kind == "title" else span.name
        groups.setdefault((span.kind, name.strip()), []).extend(range(span.first, span.end))
    for (_, name), positions in groups.items():
        own = [p for p in positions if p not in taken]
        taken |= set(own)
        columns += [(name, own)] if own else []
    rest = [p for p in range(1, end) if p not in taken]
    return [("first token", [0]), *columns, *([("other words", rest)] if rest else [])]
