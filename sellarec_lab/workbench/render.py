"""The workbench as html: plain markup with inline styles, which needs no script, no network and no kernel."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from sellarec_lab.prompts import COLOURS, SHOWN
from sellarec_lab.workbench.answers import Answer, Ranked, Token
from sellarec_lab.workbench.case import Case, template_text

_BOX = "display:inline-block;margin:1px;padding:0 3px;border-radius:4px;white-space:pre-wrap;"
_LOOKS = {
    "frame": "background:#F6F6F6;border:1px solid #E2E2E2;color:#444444",
    "code": "background:#F6F6F6;border:1px dashed #666666;color:#222222",
    "history": "background:#EAF3FA;border:1px solid #B9D4E8;color:#222222",
    "title": "background:#FFF3D6;border:1px solid #D9A521;color:#222222;font-weight:bold",
}
_SOFT = "background:{0};border:1px solid {0};color:#FFFFFF;font-weight:bold"
_PAGE = "font:14px/1.5 Helvetica,Arial,'DejaVu Sans',sans-serif;color:#222222;background:#FFFFFF;padding:4px 12px"
_CARD = "flex:1 1 340px;min-width:0;border:1px solid #DDDDDD;border-radius:8px;padding:10px 14px;background:#FFFFFF"
_SMALL = "color:#5A5A5A;font-size:13px"
_HEAD = "margin:12px 0 4px;font-weight:bold;font-size:13px"
_FOR, _AGAINST = "#0072B2", "#D55E00"  # speaks for "like", against it


@dataclass(frozen=True)
class Column:
    """One model's part of the page. ``change`` is the score minus the score before, ``truth`` the true P(like)."""

    name: str
    recipe: str
    answer: Answer
    change: float | None = None
    truth: float | None = None
    ranking: Sequence[Ranked] | None = None


@dataclass(frozen=True)
class Page:
    """All that one rendering shows."""

    case: Case
    user: str
    step: str
    columns: Sequence[Column]
    titles: Sequence[str]
    rated: pd.DataFrame
    notes: Sequence[str] = ()


def page(shown: Page) -> str:
    """The whole page as a fragment of html; every text in it is escaped."""
    case = shown.case
    target = case.title if case.title is not None else shown.titles[case.item_id]
    head = (
        f"<div style='font-size:17px'><b>user {_safe(shown.user)}</b> (id {case.user_id}) · "
        f"<b>{_safe(target)}</b>?</div><div style='{_SMALL}'>{_safe(shown.step)}</div>"
    )
    notes = "".join(f"<div style='{_SMALL}'>• {_safe(note)}</div>" for note in shown.notes)
    columns = "".join(_column(column, shown.titles) for column in shown.columns)
    body = f"<div style='display:flex;flex-wrap:wrap;gap:12px;margin:10px 0'>{columns}</div>"
    return f'<div style="{_PAGE}">{head}{notes}{body}{_legend()}{_history(shown)}{_template(case)}</div>'


def error(problem: Exception, story: str) -> str:
    """An error in a red frame: what went wrong, what to do, and the whole story for those who open it."""
    return (
        "<div style='border:2px solid #B00020;border-radius:8px;padding:8px 14px;background:#FFF5F5;color:#222222;"
        f"font:14px/1.5 Helvetica,Arial,sans-serif'><b>{_safe(type(problem).__name__)}</b>: {_safe(problem)}"
        "<br>Nothing was changed: below stands the last good case. Correct the entry, or go on with another one."
        f"<details><summary>where it happened</summary><pre style='font-size:12px'>{_safe(story)}</pre></details></div>"
    )


def note(text: str) -> str:
    """A short grey line."""
    return f"<span style='{_SMALL}'>{_safe(text)}</span>"


def token_boxes(many: Sequence[Token]) -> str:
    """Tokens as boxes, position by position: soft tokens in full colour, titles tinted, the target's in bold."""
    return "".join(_box(i, token) for i, token in enumerate(many))


def _safe(text: object) -> str:
    return html.escape(str(text), quote=True)


def _box(position: int, token: Token) -> str:
    if token.soft:
        look, hint, text = _SOFT.format(COLOURS[token.role]), f"position {position}: soft token, no word", token.text
    else:
        look, hint = _LOOKS.get(token.role, _LOOKS["frame"]), f"position {position}: {token.role}"
        text = token.text.replace("\n", "↵") or "∅"
    ending = "<br>" if not token.soft and "\n" in token.text else ""
    return f"<span title='{hint}' style='{_BOX}{look}'>{_safe(text)}</span>{ending}"


def _column(column: Column, titles: Sequence[str]) -> str:
    answer = column.answer
    soft = sum(token.soft for token in answer.tokens)
    return (
        f"<div style='{_CARD}'><div><b>{_safe(column.name)}</b> <span style='{_SMALL}'>{_safe(column.recipe)}</span>"
        f"</div>{_verdict(column)}"
        f"<div style='{_HEAD}'>what the model got: {len(answer.tokens)} tokens, {soft} of them soft</div>"
        f"<div style='font-family:monospace;font-size:13px;line-height:1.7'>{token_boxes(answer.tokens)}</div>"
        f"{_worth(answer, titles)}{_ranking(column, titles)}</div>"
    )


def _verdict(column: Column) -> str:
    p, (like, dislike) = column.answer.probability, column.answer.prompt.answers
    bar = (
        "<div style='position:relative;height:12px;border-radius:6px;margin:4px 0;"
        f"background:linear-gradient(to right,{_FOR} {p:.1%},#DDDDDD {p:.1%})'>{_tick(column.truth)}</div>"
    )
    lines = [f"score {column.answer.score:+.3f} = logit({like}) − logit({dislike})"]
    if column.change is not None:
        lines.append(f"change against the case before: {column.change:+.3f}")
    if column.truth is not None:
        lines.append(f"the truth: P(like) = {column.truth:.3f} (black mark)")
    small = "".join(f"<div style='{_SMALL}'>{_safe(line)}</div>" for line in lines)
    return f"<div style='font-size:20px'>P({_safe(like)}) = <b>{p:.3f}</b></div>{bar}{small}"


def _tick(truth: float | None) -> str:
    if truth is None:
        return ""
    return f"<span style='position:absolute;left:{truth:.1%};top:-3px;width:3px;height:18px;background:#000000'></span>"


def _worth(answer: Answer, titles: Sequence[str]) -> str:
    """Bars: score minus the score without a part; to the right it spoke for "like"."""
    slots = [(SHOWN[k], answer.score - s, COLOURS[k]) for k, s in answer.without_slot.items()]
    films = [(titles[i], answer.score - s, None) for i, s in answer.without_title.items()]
    if not slots and not films:
        return f"<div style='{_HEAD}'>no soft token and no history: nothing to take out</div>"
    reach = max(abs(value) for _, value, _ in slots + films) or 1.0
    rows = "".join(_bar(name, value, reach, colour) for name, value, colour in slots + films)
    return (
        f"<div style='{_HEAD}'>what each part was worth: score − score without it</div>"
        f"<table style='width:100%;border-collapse:collapse;font-size:13px;table-layout:fixed'>{rows}</table>"
    )


def _bar(name: str, value: float, reach: float, colour: str | None) -> str:
    width = 50 * abs(value) / reach
    left = 50.0 if value >= 0 else 50 - width
    fill = _FOR if value >= 0 else _AGAINST
    ink = f"color:{colour};font-weight:bold" if colour else "color:#222222"
    cell = "padding:1px 4px;border:0;overflow:hidden;text-overflow:ellipsis;white-space:nowrap;text-align:left"
    return (
        f"<tr><td title='{_safe(name)}' style='{cell};width:42%;{ink}'>{_safe(name)}</td>"
        "<td style='padding:1px;border:0'><div style='position:relative;height:11px;"
        "background:linear-gradient(to right,#F3F3F3 49.7%,#888888 49.7%,"
        f"#888888 50.3%,#F3F3F3 50.3%)'><div style='position:absolute;left:{left:.2f}%;width:{width:.2f}%;height:11px;"
        f"background:{fill}'></div></div></td><td style='{cell};width:60px;text-align:right'>{value:+.3f}</td></tr>"
    )


def _ranking(column: Column, titles: Sequence[str], k: int = 10) -> str:
    """The catalogue's best for this prompt down to the k-th unseen item; what the user has rated is struck out."""
    if column.ranking is None:
        return ""
    lines, fresh = [], 0
    for place, ranked in enumerate(column.ranking, start=1):
        fresh += not ranked.seen
        title, score = _safe(titles[ranked.item_id]), f"<span style='{_SMALL}'>{ranked.score:+.2f}</span>"
        lines.append(f"<div>{place}. {f'<s>{title}</s>' if ranked.seen else f'<b>{title}</b>'} {score}</div>")
        if fresh == k:
            break
    head = (
        f"<div style='{_HEAD}'>the catalogue in this prompt's place: {fresh} best unseen, rated ones struck out</div>"
    )
    return f"{head}<div style='max-height:280px;overflow:auto;font-size:13px'>{''.join(lines)}</div>"


def _legend() -> str:
    soft = "".join(f"<span style='{_BOX}{_SOFT.format(COLOURS[k])}'>{_safe(SHOWN[k])}</span>" for k in COLOURS)
    words = "".join(f"<span style='{_BOX}{_LOOKS[k]}'>{k}</span>" for k in ("history", "title", "frame"))
    return f"<div style='{_SMALL}'>soft tokens {soft} · text {words}</div>"


def _history(shown: Page, most: int = 40) -> str:
    """The user's rows, newest first: what they liked, and whether the prompt shows it."""
    rows = shown.rated.iloc[::-1].head(most)
    lines = "".join(_row(shown, r.item_id, r.label, r.split) for r in rows.itertuples())
    head = (
        f"<div style='{_HEAD}'>the user's {len(shown.rated)} rows, newest first (✔ liked, ✘ not; bold: in the prompt)"
    )
    return f"{head}</div><div style='max-height:190px;overflow:auto;font-size:13px;columns:3 200px'>{lines}</div>"


def _row(shown: Page, item: int, label: int, split: str) -> str:
    title = _safe(shown.titles[item])
    title = f"<b>{title}</b>" if item in shown.case.history else title
    here = " ← target" if item == shown.case.item_id and shown.case.title is None else ""
    return f"<div>{'✔' if label else '✘'} {title} <span style='{_SMALL}'>{split}{here}</span></div>"


def _template(case: Case) -> str:
    if case.template is None:
        return ""
    text = _safe(template_text(case.template))
    return f"<div style='{_HEAD}'>template, edited</div><pre style='font-size:12px'>{text}</pre>"
