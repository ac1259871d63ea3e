"""Where the place that predicts the answer looks, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from sellarec_lab.views.style import dress, plain

if TYPE_CHECKING:
    from sellarec_lab.sella.explanation import Attention

_LONGEST = 26  # letters of a title on the axis


def attention_by_layer(attention: Attention) -> go.Figure:
    """Attention as a heat map, layers × segments, averaged over heads: each soft token, each title, and what is left.

    A layer's row sums to 1. The first token has a column of its own: models rest unused attention there. Attention
    shows where a model looks, not what its answer depends on; for that, see `attribution`.

    Raises:
        ValueError: weights that are no [layers, heads, L] with one column a token (both shapes are named), or a segment
            that reaches beyond the tokens.
    """
    weights, tokens = np.asarray(attention.weights, dtype=float), attention.tokens
    if weights.ndim != 3 or weights.shape[2] != len(tokens):
        raise ValueError(
            f"weights have shape {weights.shape}, tokens have shape {(len(tokens),)}; expected [layers, heads, L], [L]"
        )
    columns = _columns(attention)
    cells = np.stack([weights[..., p].sum(2).mean(1) for _, p in columns], axis=1)  # [layers, segments]
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
