"""One prediction on screen: every token that the model got, what it answered, and what each part was worth.

Plain html with inline styles, which needs no script, network or kernel. The workbench draws with the same pieces.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sellarec_lab.prompts import KINDS
from sellarec_lab.views.style import BLUE, VERMILLION

if TYPE_CHECKING:
    from sellarec_lab.sella.explanation import Explanation

CAVEAT = "each part is left out alone, so what parts are worth does not add up to the score"
FONT = "font:14px/1.5 Helvetica,Arial,'DejaVu Sans',sans-serif;color:#222222;background:#FFFFFF"
FRAME = f'<div style="{FONT};max-width:980px;padding:12px 14px;border:1px solid #DDDDDD;border-radius:6px">'
_BOX = "display:inline-block;margin:1px;padding:0 3px;border-radius:4px;white-space:pre-wrap;"
_ID = "<sub style='color:#6E6E6E;font-size:9px;margin-left:3px'>{0}</sub>"
_LOOKS = {
    "frame": _BOX + "background:#F6F6F6;border:1px solid #E2E2E2;color:#444444",
    "code": _BOX + "background:#F6F6F6;border:1px dashed #666666;color:#222222",
    "history": _BOX + "background:#EAF3FA;border:1px solid #B9D4E8;color:#222222",
    "title": _BOX + "background:#FFF3D6;border:1px solid #D9A521;color:#222222;font-weight:bold",
}
_SOFT = "background:{0};border:1px solid {0};color:#FFFFFF;font-weight:bold"
_LOOKS |= {kind: _BOX + _SOFT.format(soft.colour) for kind, soft in KINDS.items()}
_GREY = "color:#5A5A5A;font-size:13px"
_CELL = "padding:1px 4px;border:0;overflow:hidden;text-overflow:ellipsis;white-space:nowrap;"


class Html(str):
    """A piece of html, as text that notebooks show rendered."""

    def _repr_html_(self) -> str:
        return str(self)


class Part(NamedTuple):
    """A soft token, with its colour, or a title ("" for none) that was left out, and the score ``without`` it."""

    name: str
    colour: str
    without: float


def prompt_tokens(explanation: Explanation) -> Html:
    """Tokens as boxes, position by position, each over its id; soft tokens in full colour, without one. Then the
    score, and the answers with ids, logits and probabilities.

    Only positions decide what is coloured: a title that spells ``<Item_ID>`` stays plain text.

    Raises:
        ValueError: a role that no token has.
    """
    answers = "".join(
        f"token <span style='{_LOOKS['frame']}'>{safe(a.text)}{_ID.format(a.id)}</span>"
        f" logit {a.logit:+.3f}, P {a.probability:.4f} of the whole vocabulary<br>"
        for a in explanation.answers
    )
    return Html(f"{FRAME}{boxes(explanation)}<br>{verdict(explanation)}{answers}{legend(explanation.positions)}</div>")


def attribution(explanation: Explanation) -> Html:
    """What each soft token and each title of the history was worth, as bars, most for "like" on top.

    The parts need not add up to the score: each is left out alone, while all others stay and may stand in for it.
    """
    found = sorted(parts(explanation), key=lambda part: part.without)
    score = f"score {explanation.score:+.3f}, P(like) = {explanation.probability:.3f}; {CAVEAT}"
    return Html(f"{FRAME}{bars(explanation.score, found)}{small(score)}</div>")


def parts(explanation: Explanation) -> list[Part]:
    """All that was left out, in the prompt's order: soft tokens, then titles."""
    slots = [Part(KINDS[kind].shown, KINDS[kind].colour, rest) for kind, rest in explanation.without.items()]
    return slots + [Part(gone.title, "", gone.score) for gone in explanation.without_titles]


def boxes(explanation: Explanation, ids: bool = True) -> str:
    """Every position as a box, under a line that counts them; ``ids`` are shown, or only told to who points there."""
    rows = enumerate(zip(explanation.tokens, explanation.roles, explanation.ids, strict=True))
    drawn = "".join(_box(position, *row, ids) for position, row in rows)
    soft = sum(map(len, explanation.positions.values()))
    count = f"what the model got: {len(explanation.tokens)} tokens, {soft} of them soft"
    return f"{head(count)}<div style='font-family:monospace;font-size:13px;line-height:1.75'>{drawn}</div>"


def _box(position: int, token: str, role: str, id_: int, ids: bool) -> str:
    if role not in _LOOKS:
        raise ValueError(f"position {position} has the unknown role {role!r}; known roles: {', '.join(_LOOKS)}")
    if role in KINDS:
        return f"<span title='position {position}: soft token, no word' style='{_LOOKS[role]}'>{safe(token)}</span>"
    shown = safe(token.replace("\n", "↵")) or "∅"
    number, ending = _ID.format(id_) if ids else "", "<br>" if "\n" in token else ""
    return f"<span title='position {position}: {role}, id {id_}' style='{_LOOKS[role]}'>{shown}{number}</span>{ending}"


def verdict(explanation: Explanation, truth: float | None = None, lines: Sequence[str] = ()) -> str:
    """P(like) as a number and a bar, with a black mark at the ``truth``; the score, and more ``lines`` below it."""
    p, (like, dislike) = explanation.probability, explanation.prompt.answers
    mark = "position:absolute;top:-3px;width:3px;height:18px;background:#000000"
    tick = "" if truth is None else f"<span style='{mark};left:{truth:.1%}'></span>"
    bar = (
        "<div style='position:relative;height:12px;max-width:480px;border-radius:6px;margin:4px 0;"
        f"background:linear-gradient(to right,{BLUE} {p:.1%},#DDDDDD {p:.1%})'>{tick}</div>"
    )
    lines = [f"score {explanation.score:+.3f} = logit({like}) − logit({dislike})", *lines]
    return f"<div style='font-size:20px'>P({safe(like)}) = <b>{p:.3f}</b></div>{bar}{''.join(map(small, lines))}"


def bars(score: float, found: Sequence[Part]) -> str:
    """A bar a part: score − score without it; right of the middle it spoke for "like"."""
    if not found:
        return head("no soft token and no history: nothing to take out")
    reach = max(abs(score - part.without) for part in found) or 1.0
    rows = "".join(_bar(part, score - part.without, reach) for part in found)
    table = f"<table style='width:100%;border-collapse:collapse;font-size:13px;table-layout:fixed'>{rows}</table>"
    return head("what each part was worth: score − score without it") + table


def _bar(part: Part, worth: float, reach: float) -> str:
    width = 50 * abs(worth) / reach
    left, fill = (50.0, BLUE) if worth >= 0 else (50 - width, VERMILLION)
    ink = f"color:{part.colour};font-weight:bold" if part.colour else "color:#222222"
    name, hint = safe(part.name), f"score without it {part.without:+.3f}"
    return (
        f"<tr title='{name}: {hint}'><td style='{_CELL}width:34%;text-align:left;{ink}'>{name}</td>"
        "<td style='padding:1px;border:0'><div style='position:relative;height:11px;background:linear-gradient("
        "to right,#F3F3F3 49.7%,#888888 49.7%,#888888 50.3%,#F3F3F3 50.3%)'><div style='position:absolute;"
        f"left:{left:.2f}%;width:{width:.2f}%;height:11px;background:{fill}'></div></div></td>"
        f"<td style='{_CELL}width:60px;text-align:right'>{worth:+.3f}</td></tr>"
    )


def legend(kinds: Iterable[str] = KINDS) -> str:
    """What the colours of the boxes mean: these kinds of soft tokens, and text."""
    names = {kind: KINDS[kind].shown for kind in kinds} | {role: role for role in ("history", "title", "frame")}
    keys = "".join(f"<span style='{_LOOKS[role]}'>{safe(name)}</span>" for role, name in names.items())
    return f"<div style='{_GREY}'>boxes: {keys}</div>"


def head(text: str) -> str:
    """A line in bold above what follows."""
    return f"<div style='margin:12px 0 4px;font-weight:bold;font-size:13px'>{safe(text)}</div>"


def small(text: str) -> str:
    """A line in small grey."""
    return f"<div style='{_GREY}'>{safe(text)}</div>"


def safe(text: object) -> str:
    """Text that stays text in html, whatever it spells."""
    return html.escape(str(text), quote=True)
