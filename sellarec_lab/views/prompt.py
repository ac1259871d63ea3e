"""One prediction on screen: every token that the model got, what it answered, and what each part was worth.

Plain html with inline styles, which needs no script, network or kernel. The workbench draws with the same pieces.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sellarec_lab.prompts import KINDS, Text
from sellarec_lab.views.style import AGAINST, FOR

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
    "disliked": _BOX + "background:#F7ECF2;border:1px dashed #CC79A7;color:#222222",
    "title": _BOX + "background:#FFF3D6;border:1px solid #D9A521;color:#222222;font-weight:bold",
}
_SOFT = "background:{0};border:1px solid {0};color:#FFFFFF;font-weight:bold"
_LOOKS |= {kind: _BOX + _SOFT.format(soft.colour) for kind, soft in KINDS.items()}
_GREY = "color:#5A5A5A;font-size:13px"
_CELL = "padding:1px 4px;border:0;overflow:hidden;text-overflow:ellipsis;white-space:nowrap;"
_EDGE = "box-shadow:inset 0 0 0 1px rgba(0,0,0,.45)"  # light colours need an outline on white
_GRID = ",".join(f"linear-gradient({ink},{ink}) {x}% 0/1px 100% no-repeat" for x, ink in (
    (50, "#666666"), (0, "#D5D5D5"), (25, "#D5D5D5"), (75, "#D5D5D5"), (100, "#D5D5D5")
))  # fmt: skip


class Html(str):
    """A piece of html, as text that notebooks show rendered."""

    def _repr_html_(self) -> str:
        return str(self)


class Part(NamedTuple):
    """A soft token, with its colour, or a title ("" for none) that was left out, and the score ``without`` it. The
    ``key`` tells it from others: a soft token's kind, an item's id."""

    name: str
    colour: str
    without: float
    key: str | int


class Column(NamedTuple):
    """A model's answer as `bars` draws it: the model's name, its score, its parts."""

    name: str
    score: float
    parts: Sequence[Part]


def prompt_tokens(explanation: Explanation) -> Html:
    """Tokens as boxes, position by position, each over its id; soft tokens in full colour, without one. Then the
    score, and the answers with ids, logits and probabilities.

    Only positions decide what is coloured: a title that spells ``<Item_ID>`` stays plain text.

    Raises:
        ValueError: a role that no token has.
    """
    shown = f"{boxes(explanation)}<br>{verdict(explanation)}{answers(explanation)}"
    shown += legend(explanation.positions, disliked="disliked" in explanation.roles)
    return Html(f"{FRAME}{shown}</div>")


def attribution(explanation: Explanation) -> Html:
    """What each soft token and each title of the history was worth, as bars, most for "like" on top.

    The parts need not add up to the score: each is left out alone, while all others stay and may stand in for it.
    """
    found = sorted(parts(explanation), key=lambda part: part.without)
    score = f"score {explanation.score:+.3f}, P(like) = {explanation.probability:.3f}; {CAVEAT}"
    return Html(f"{FRAME}{bars([Column('', explanation.score, found)])}{small(score)}</div>")


def parts(explanation: Explanation) -> list[Part]:
    """All that was left out, in the prompt's order: soft tokens, then titles."""
    slots = [Part(KINDS[kind].shown, KINDS[kind].colour, rest, kind) for kind, rest in explanation.without.items()]
    disliked = {s.item_id for s in explanation.prompt.segments if isinstance(s, Text) and s.role == "disliked"}
    return slots + [
        Part(f"disliked: {gone.title}" if gone.item_id in disliked else gone.title, "", gone.score, gone.item_id)
        for gone in explanation.without_titles
    ]


def boxes(explanation: Explanation, ids: bool = True, hints: Sequence[str] = ()) -> str:
    """Every position as a box, under a line that counts them; ``ids`` are shown, or only told to who points there, as
    is the position's hint, where there are any."""
    hints = hints or [""] * len(explanation.tokens)
    rows = enumerate(zip(explanation.tokens, explanation.roles, explanation.ids, hints, strict=True))
    drawn = "".join(_box(position, *row, ids) for position, row in rows)
    soft = sum(map(len, explanation.positions.values()))
    count = f"what the model got: {len(explanation.tokens)} tokens, {soft} of them soft"
    return f"{head(count)}<div style='font-family:monospace;font-size:13px;line-height:1.75'>{drawn}</div>"


def _box(position: int, token: str, role: str, id_: int, hint: str, ids: bool) -> str:
    if role not in _LOOKS:
        raise ValueError(f"position {position} has the unknown role {role!r}; known roles: {', '.join(_LOOKS)}")
    if role in KINDS:
        return f"<span title='position {position}: soft token, no word' style='{_LOOKS[role]}'>{safe(token)}</span>"
    shown = safe(token.replace("\n", "↵")) or "∅"
    number, ending = _ID.format(id_) if ids else "", "<br>" if "\n" in token else ""
    said = f"position {position}: {role}, id {id_}" + (f" · {safe(hint)}" if hint else "")
    return f"<span title='{said}' style='{_LOOKS[role]}'>{shown}{number}</span>{ending}"


def answers(explanation: Explanation) -> str:
    """A line an answer: its first token with its id, its logit, its share of the whole vocabulary's probability."""
    return "".join(
        f"token <span style='{_LOOKS['frame']}'>{safe(a.text)}{_ID.format(a.id)}</span>"
        f" logit {a.logit:+.3f}, P {a.probability:.4f} of the whole vocabulary<br>"
        for a in explanation.answers
    )


def verdict(
    explanation: Explanation, truth: float | None = None, lines: Sequence[str] = (), before: float | None = None
) -> str:
    """P(like) as a number and a bar from 0 to 1, with a black mark at the ``truth`` and a hollow one where it was
    ``before``; the score, and more ``lines`` below it."""
    p, (like, dislike) = explanation.probability, explanation.prompt.answers
    marks = "" if before is None else _mark(before, "width:5px;background:#FFFFFF;border:1.5px solid #222222", "before")
    marks += "" if truth is None else _mark(truth, "width:3px;height:18px;background:#000000", "the truth")
    bar = (
        "<div style='position:relative;height:12px;margin:4px 0 0;background:linear-gradient("
        f"to right,{FOR} {p:.1%},#E4E4E4 {p:.1%});{_EDGE}'>{marks}</div>{_axis(('0', '0.25', '0.5', '0.75', '1'))}"
    )
    lines = [f"score {explanation.score:+.3f} = logit({like}) − logit({dislike})", *lines]
    number = f"<div style='font-size:20px;line-height:1.2'>P({safe(like)}) = <b>{p:.3f}</b></div>"
    return f"<div style='max-width:480px'>{number}{bar}{''.join(map(small, lines))}</div>"


def _mark(place: float, look: str, hint: str) -> str:
    """A mark on the bar of P(like)."""
    at = f"position:absolute;box-sizing:border-box;top:-3px;height:18px;margin-left:-2px;left:{place:.1%};{look}"
    return f"<span title='{hint}: {place:.3f}' style='{at}'></span>"


def _axis(ticks: Sequence[str]) -> str:
    """Numbers below a scale, evenly from its left end to its right one."""
    places = [100 * i / (len(ticks) - 1) for i in range(len(ticks))]
    drawn = "".join(  # the outer ones stay inside
        f"<div style='position:absolute;left:{x:g}%;transform:translateX(-{x:g}%)'>{tick}</div>"
        for x, tick in zip(places, ticks)
    )
    return f"<div style='position:relative;height:13px;font-size:10px;line-height:13px;color:#5A5A5A'>{drawn}</div>"


def bars(columns: Sequence[Column], about: Mapping[int, str] | None = None) -> str:
    """A row a part, a bar a model, all on one scale; right of the middle the part spoke for "like". Who points at a
    title reads what the table ``about`` items (id -> text) knows of it."""
    keys = list(dict.fromkeys(part.key for column in columns for part in column.parts))
    if not keys:
        return head("no soft token and no history: nothing to take out")
    end = _round_up(max(abs(c.score - part.without) for c in columns for part in c.parts))
    named = any(column.name for column in columns)
    rows = "".join(_row(key, columns, end, about or {}) for key in keys)
    top = f"<tr><th style='{_CELL}'></th>{''.join(map(_title, columns))}</tr>" if named else ""
    ticks = _axis([f"{end * share:+g}" if share else "0" for share in (-1, -0.5, 0, 0.5, 1)])
    foot = f"<th style='padding:0;border:0;font-weight:normal'>{ticks}</th><th style='{_CELL}'></th>" * len(columns)
    widths = f"<col style='width:{34 if len(columns) == 1 else 24}%'>{'<col><col style=width:56px>' * len(columns)}"
    look = "width:100%;border-collapse:collapse;font-size:13px;table-layout:fixed"
    body = f"{top}{rows}<tr><th style='{_CELL}'></th>{foot}</tr>"
    return f"{_worth()}<table style='{look}'><colgroup>{widths}</colgroup>{body}</table>"


def _worth() -> str:
    """What the bars are, and their two colours."""
    key = "<span style='display:inline-block;width:10px;height:10px;margin:0 3px 0 10px;background:{0};{1}'></span>{2}"
    colours = "".join(key.format(ink, _EDGE, said) for ink, said in ((FOR, "spoke for it"), (AGAINST, "against it")))
    said = "what each part was worth: score − score without it"
    return f"<div style='margin:12px 0 4px;font-size:13px'><b>{said}</b>{colours}</div>"


def _title(column: Column) -> str:
    return f"<th colspan='2' style='{_CELL}text-align:left'>{safe(column.name)}</th>"


def _row(key: str | int, columns: Sequence[Column], end: float, about: Mapping[int, str]) -> str:
    found = [next((part for part in column.parts if part.key == key), None) for column in columns]
    part = next(part for part in found if part is not None)
    ink = f"color:{part.colour};font-weight:bold" if part.colour else "color:#222222"
    hint = f"{part.name}: {about[key]}" if key in about else part.name
    name = f"<td title='{safe(hint)}' style='{_CELL}text-align:left;{ink}'>{safe(part.name)}</td>"
    return f"<tr>{name}{''.join(_bar(part, c.score, end) for part, c in zip(found, columns))}</tr>"


def _bar(part: Part | None, score: float, end: float) -> str:
    """A bar on a scale from −end to end, and its number; an empty scale where a model has no such part."""
    drawn, number, hint = "", "–", "not in this model's prompt"
    if part is not None:
        worth = score - part.without
        width = 50 * abs(worth) / end
        left, fill = (50.0, FOR) if worth >= 0 else (50 - width, AGAINST)
        at = f"position:absolute;left:{left:.2f}%;width:{width:.2f}%;height:11px;background:{fill};{_EDGE}"
        drawn, number, hint = (
            f"<div style='{at}'></div>",
            f"{worth:+.3f}",
            f"{safe(part.name)}: score without it {part.without:+.3f}",
        )
    scale = f"<div style='position:relative;height:13px;padding-top:1px;background:{_GRID}'>{drawn}</div>"
    return (
        f"<td title='{hint}' style='padding:0;border:0'>{scale}</td>"
        f"<td title='{hint}' style='{_CELL}text-align:right'>{number}</td>"
    )


def _round_up(reach: float) -> float:
    """The next of ..., 0.1, 0.2, 0.5, 1, 2, 5, ...: an end that an axis can be labelled with; 1 for nothing."""
    scale = 10.0 ** math.floor(math.log10(reach)) if reach else 1.0
    return next(step * scale for step in (1, 2, 5, 10) if reach <= step * scale)


def legend(kinds: Iterable[str] = KINDS, off: Iterable[str] = (), disliked: bool = False) -> str:
    """What the colours of the boxes mean: these kinds of soft tokens, struck out those that are ``off``; and text, with
    titles that were ``disliked`` where there are any."""
    texts = ("history", *(("disliked",) if disliked else ()), "title", "frame")
    names = {kind: KINDS[kind].shown for kind in kinds} | {role: role for role in texts}
    looks = _LOOKS | {
        kind: f"{_BOX}border:1px dashed {KINDS[kind].colour};text-decoration:line-through" for kind in off
    }
    keys = "".join(f"<span style='{looks[role]}'>{safe(name)}</span>" for role, name in names.items())
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
