"""One prediction on screen: every token that the model got, and what each soft token was worth."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from sellarec_lab.prompts import SHOWN
from sellarec_lab.views.style import BLUE, GREY, SLOT_COLOURS, dress, plain

if TYPE_CHECKING:
    from sellarec_lab.sella.recommender import Explanation

_BOX = "display:inline-block;margin:1px;padding:1px 4px;border-radius:4px;white-space:pre;"
_WORD = _BOX + "background:#F3F3F3;border:1px solid #DDDDDD;color:#222222"
_SOFT = _BOX + "background:{0};border:1px solid {0};color:#FFFFFF;font-weight:bold"
_FRAME = (
    "font-family:monospace;font-size:13px;line-height:1.75;max-width:980px;padding:12px 14px;"
    "background:#FFFFFF;color:#222222;border:1px solid #DDDDDD;border-radius:6px"
)


@dataclass(frozen=True)
class Html:
    """A piece of html that notebooks show; ``str`` gives the source."""

    source: str

    def _repr_html_(self) -> str:
        return self.source

    def __str__(self) -> str:
        return self.source


def prompt_tokens(explanation: Explanation) -> Html:
    """Tokens as boxes, position by position; soft tokens in colour; then answers, score and probability.

    Only positions decide what is coloured: a title that spells ``<Item_ID>`` stays plain text.

    Raises:
        ValueError: a slot of unknown kind, or at a position that the tokens do not have.
    """
    kinds = _kinds(explanation)
    boxes = [_box(i, token, kinds.get(i)) for i, token in enumerate(explanation.tokens)]
    like, dislike = (html.escape(a) for a in explanation.prompt.answers)
    p = explanation.probability
    bar = (
        "<span style='display:inline-block;width:180px;height:10px;vertical-align:middle;border-radius:5px;"
        f"background:linear-gradient(to right,{BLUE} {p:.1%},#DDDDDD {p:.1%})'></span>"
    )
    verdict = (
        f"<b>{like}</b> {p:.3f} {bar} {1 - p:.3f} <b>{dislike}</b>"
        f" &nbsp; score {explanation.score:+.3f} = logit({like}) − logit({dislike})"
    )
    count = f"{len(boxes)} tokens, {len(kinds)} of them soft"
    return Html(
        f"<div style='{_FRAME}'><div>{''.join(boxes)}</div>"
        f"<div style='margin-top:10px'>{verdict}</div><div style='color:#666666'>{count}</div></div>"
    )


def _kinds(explanation: Explanation) -> dict[int, str]:
    """Position → kind of soft token."""
    for kind, position in explanation.slots.items():
        if kind not in SLOT_COLOURS:
            raise ValueError(f"unknown slot kind {kind!r}; known kinds: {', '.join(SLOT_COLOURS)}")
        if not 0 <= position < len(explanation.tokens):
            raise ValueError(f"slot {kind!r} stands at position {position} of {len(explanation.tokens)} tokens")
    return {position: kind for kind, position in explanation.slots.items()}


def _box(position: int, token: str, kind: str | None) -> str:
    if kind is not None:
        hint = f"position {position}: soft token, no word"
        return f"<span title='{hint}' style='{_SOFT.format(SLOT_COLOURS[kind])}'>{html.escape(SHOWN[kind])}</span>"
    shown = html.escape(token.replace("\n", "↵")) or "∅"
    ending = "<br>" if "\n" in token else ""
    return f"<span title='position {position}' style='{_WORD}'>{shown}</span>{ending}"


def attribution(explanation: Explanation) -> go.Figure:
    """What each soft token was worth: score − score without it, as bars; right of zero it spoke for "like".

    The parts need not add up to the score: each token is taken out alone, the words stay.
    """
    worth = {kind: explanation.score - rest for kind, rest in explanation.without.items()}
    names = [plain(SHOWN[kind]) for kind in worth]
    values = np.array(list(worth.values()))
    bars = go.Bar(
        x=values, y=names, orientation="h", width=0.55, cliponaxis=False,
        marker={"color": [SLOT_COLOURS[kind] for kind in worth]},
        customdata=list(explanation.without.values()), text=[f"{v:+.3f}" for v in values], textposition="outside",
        hovertemplate="%{y}: %{x:+.3f}<br>score without it %{customdata:+.3f}<extra></extra>",
    )  # fmt: skip
    figure = go.Figure(bars)
    reach = 1.3 * float(np.abs(values).max(initial=0)) or 1.0
    figure.update_xaxes(title_text="score − score without this token", range=[-reach, reach])
    figure.update_yaxes(autorange="reversed", showgrid=False)
    if worth:
        figure.add_vline(0, line={"color": "#444444", "width": 1})
    else:
        figure.update_xaxes(visible=False).update_yaxes(visible=False)
        figure.add_annotation(text="this prompt has no soft token", x=0, y=0, showarrow=False, font={"color": GREY})
    subtitle = f"score {explanation.score:+.3f}, P(like) = {explanation.probability:.3f}"
    return dress(figure, "What each soft token was worth", subtitle, 200 + 46 * max(2, len(worth)))
