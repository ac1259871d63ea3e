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

CAVEAT = "Each part is left out alone; what parts are worth does not add up to the score"
_LONGEST = 40  # letters of a title on the axis
_TITLE = "#7A7A7A"
_ID = "<sub style='color:#8A8A8A;font-size:9px;margin-left:3px'>{0}</sub>"
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
    """Tokens as boxes, position by position, each over its id; soft tokens in colour, without one. Then the answers
    with ids, logits and probabilities, and the score.

    Only positions decide what is coloured: a title that spells ``<Item_ID>`` stays plain text.

    Raises:
        ValueError: ids of another number than tokens (both are named), a slot of unknown kind, or at a position that
            the tokens do not have.
    """
    tokens, ids = explanation.tokens, explanation.ids
    if len(ids) != len(tokens):
        raise ValueError(f"ids have shape {(len(ids),)}, tokens have shape {(len(tokens),)}; expected [L] twice")
    kinds = _kinds(explanation)
    boxes = [_box(i, token, id_, kinds.get(i)) for i, (token, id_) in enumerate(zip(tokens, ids))]
    count = f"{len(boxes)} tokens, {len(kinds)} of them soft; small: the token's id"
    return Html(
        f"<div style='{_FRAME}'><div>{''.join(boxes)}</div>"
        f"<div style='margin-top:10px'>{_verdict(explanation)}</div>{_answers(explanation)}"
        f"<div style='color:#666666'>{count}</div></div>"
    )


def _verdict(explanation: Explanation) -> str:
    like, dislike = (html.escape(a) for a in explanation.prompt.answers)
    p = explanation.probability
    bar = (
        "<span style='display:inline-block;width:180px;height:10px;vertical-align:middle;border-radius:5px;"
        f"background:linear-gradient(to right,{BLUE} {p:.1%},#DDDDDD {p:.1%})'></span>"
    )
    return (
        f"<b>{like}</b> {p:.3f} {bar} {1 - p:.3f} <b>{dislike}</b>"
        f" &nbsp; score {explanation.score:+.3f} = logit({like}) − logit({dislike})"
    )


def _answers(explanation: Explanation) -> str:
    """One line an answer token; P is its share among all tokens, before Yes and No are set against each other."""
    lines = [
        f"token <span style='{_WORD}'>{html.escape(a.text)}{_ID.format(a.id)}</span>"
        f" logit {a.logit:+.3f}, P {a.probability:.4f} of the whole vocabulary"
        for a in explanation.answers
    ]
    return "".join(f"<div>{line}</div>" for line in lines)


def _kinds(explanation: Explanation) -> dict[int, str]:
    """Position → kind of soft token."""
    kinds = {}
    for kind, positions in explanation.positions.items():
        if kind not in SLOT_COLOURS:
            raise ValueError(f"unknown slot kind {kind!r}; known kinds: {', '.join(SLOT_COLOURS)}")
        for position in positions:
            if not 0 <= position < len(explanation.tokens):
                raise ValueError(f"slot {kind!r} stands at position {position} of {len(explanation.tokens)} tokens")
            kinds[position] = kind
    return kinds


def _box(position: int, token: str, id_: int, kind: str | None) -> str:
    if kind is not None:
        hint = f"position {position}: soft token, no word"
        return f"<span title='{hint}' style='{_SOFT.format(SLOT_COLOURS[kind])}'>{html.escape(SHOWN[kind])}</span>"
    shown = html.escape(token.replace("\n", "↵")) or "∅"
    ending = "<br>" if "\n" in token else ""
    return f"<span title='position {position}, id {id_}' style='{_WORD}'>{shown}{_ID.format(id_)}</span>{ending}"


def attribution(explanation: Explanation) -> go.Figure:
    """What each soft token and each title of the history was worth: score − score without it, as bars, sorted; right
    of zero it spoke for "like".

    The parts need not add up to the score: each is left out alone, while all others stay and may stand in for it.
    """
    parts = [(SHOWN[kind], SLOT_COLOURS[kind], rest) for kind, rest in explanation.without.items()]
    parts += [(title.title, _TITLE, title.score) for title in explanation.without_titles]
    parts = sorted(parts, key=lambda part: part[2])  # most for "like" on top
    values = np.array([explanation.score - rest for _, _, rest in parts])
    bars = go.Bar(
        x=values, y=list(range(len(parts))), orientation="h", width=0.55, cliponaxis=False,
        marker={"color": [colour for _, colour, _ in parts]}, text=[f"{v:+.3f}" for v in values],
        textposition="outside", customdata=[[plain(name), rest] for name, _, rest in parts],
        hovertemplate="%{customdata[0]}: %{x:+.3f}<br>score without it %{customdata[1]:+.3f}<extra></extra>",
    )  # fmt: skip
    figure = go.Figure(bars)
    reach = 1.3 * float(np.abs(values).max(initial=0)) or 1.0
    figure.update_xaxes(title_text="score − score without this part", range=[-reach, reach])
    names = [plain(name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…") for name, _, _ in parts]
    figure.update_yaxes(autorange="reversed", showgrid=False, tickvals=list(range(len(parts))), ticktext=names)
    if parts:
        figure.add_vline(0, line={"color": "#444444", "width": 1})
    else:
        figure.update_xaxes(visible=False).update_yaxes(visible=False)
        note = "this prompt has neither a soft token nor a history"
        figure.add_annotation(text=note, x=0, y=0, showarrow=False, font={"color": GREY})
    subtitle = f"score {explanation.score:+.3f}, P(like) = {explanation.probability:.3f}. {CAVEAT}"
    return dress(figure, "What each part of the prompt was worth", subtitle, 200 + 34 * max(3, len(parts)))
