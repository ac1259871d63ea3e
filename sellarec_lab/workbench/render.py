"""The workbench as html: plain markup with inline styles, which needs no script, no network and no kernel."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from sellarec_lab.sella import Explanation
from sellarec_lab.views.prompt import FONT, bars, boxes, head, legend, parts, safe, small, verdict
from sellarec_lab.workbench.case import Case, template_text
from sellarec_lab.workbench.ranking import Ranked

_CARD = "flex:1 1 340px;min-width:0;border:1px solid #DDDDDD;border-radius:8px;padding:10px 14px;background:#FFFFFF"


@dataclass(frozen=True)
class Column:
    """One model's part of the page. ``change`` is the score minus the score before, ``truth`` the true P(like)."""

    name: str
    recipe: str
    answer: Explanation
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
    title = f"<b>user {safe(shown.user)}</b> (id {case.user_id}) · <b>{safe(target)}</b>?"
    notes = small(shown.step) + "".join(small(f"• {note}") for note in shown.notes)
    columns = "".join(_column(column, shown.titles) for column in shown.columns)
    body = f"<div style='display:flex;flex-wrap:wrap;gap:12px;margin:10px 0'>{columns}</div>{legend()}"
    rest = f"{_history(shown)}{_template(case)}"
    return f"<div style=\"{FONT};padding:4px 12px\"><div style='font-size:17px'>{title}</div>{notes}{body}{rest}</div>"


def error(problem: Exception, story: str) -> str:
    """An error in a red frame: what went wrong, what to do, and the whole story for those who open it."""
    return (
        "<div style='border:2px solid #B00020;border-radius:8px;padding:8px 14px;background:#FFF5F5;color:#222222;"
        f"font:14px/1.5 Helvetica,Arial,sans-serif'><b>{safe(type(problem).__name__)}</b>: {safe(problem)}"
        "<br>Nothing was changed: below stands the last good case. Correct the entry, or go on with another one."
        f"<details><summary>where it happened</summary><pre style='font-size:12px'>{safe(story)}</pre></details></div>"
    )


def _column(column: Column, titles: Sequence[str]) -> str:
    answer, lines = column.answer, []
    if column.change is not None:
        lines.append(f"change against the case before: {column.change:+.3f}")
    if column.truth is not None:
        lines.append(f"the truth: P(like) = {column.truth:.3f} (black mark)")
    return (
        f"<div style='{_CARD}'><b>{safe(column.name)}</b>{small(column.recipe)}{verdict(answer, column.truth, lines)}"
        f"{boxes(answer, ids=False)}{bars(answer.score, parts(answer))}{_ranking(column, titles)}</div>"
    )


def _ranking(column: Column, titles: Sequence[str], k: int = 10) -> str:
    """The catalogue's best for this prompt down to the k-th unseen item; what the user has rated is struck out."""
    if column.ranking is None:
        return ""
    lines, fresh = [], 0
    for place, ranked in enumerate(column.ranking, start=1):
        fresh += not ranked.seen
        title, tag = safe(titles[ranked.item_id]), "s" if ranked.seen else "b"
        lines.append(f"<div>{place}. <{tag}>{title}</{tag}> <small>{ranked.score:+.2f}</small></div>")
        if fresh == k:
            break
    above = head(f"the catalogue in this prompt's place: {fresh} best unseen, rated ones struck out")
    return f"{above}<div style='max-height:280px;overflow:auto;font-size:13px'>{''.join(lines)}</div>"


def _history(shown: Page, most: int = 40) -> str:
    """The user's rows, newest first: what they liked, and whether the prompt shows it."""
    rows = shown.rated.iloc[::-1].head(most)
    lines = "".join(_row(shown, r.item_id, r.label, r.split) for r in rows.itertuples())
    above = head(f"the user's {len(shown.rated)} rows, newest first (✔ liked, ✘ not; bold: in the prompt)")
    return f"{above}<div style='max-height:190px;overflow:auto;font-size:13px;columns:3 200px'>{lines}</div>"


def _row(shown: Page, item: int, label: int, split: str) -> str:
    title = safe(shown.titles[item])
    title = f"<b>{title}</b>" if item in shown.case.history else title
    here = " ← target" if item == shown.case.item_id and shown.case.title is None else ""
    return f"<div>{'✔' if label else '✘'} {title} <small>{split}{here}</small></div>"


def _template(case: Case) -> str:
    if case.template is None:
        return ""
    return f"{head('template, edited')}<pre style='font-size:12px'>{safe(template_text(case.template))}</pre>"
