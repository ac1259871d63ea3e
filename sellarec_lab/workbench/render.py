"""The workbench as html: plain markup with inline styles, which needs no script, no network and no kernel."""

from collections.abc import Sequence

from sellarec_lab.views.prompt import FONT, bars, boxes, head, legend, parts, safe, small, verdict
from sellarec_lab.workbench.case import Ranked, template_text

_CARD = "flex:1 1 340px;min-width:0;border:1px solid #DDDDDD;border-radius:8px;padding:10px 14px;background:#FFFFFF"


def page(bench) -> str:
    """All that a `Workbench` shows as a fragment of html; every text in it is escaped."""
    case = bench.case
    target = bench.lookup.titles[case.item_id] if case.title is None else case.title
    title = f"<b>user {safe(bench.lookup.name(case.user_id))}</b> (id {case.user_id}) · <b>{safe(target)}</b>?"
    notes = small(bench.step) + "".join(small(f"• {note}") for note in bench.notes())
    columns = "".join(_column(bench, name) for name in bench.shown)
    body = f"<div style='display:flex;flex-wrap:wrap;gap:12px;margin:10px 0'>{columns}</div>{legend()}{_history(bench)}"
    if case.template is not None:
        body += f"{head('template, edited')}<pre style='font-size:12px'>{safe(template_text(case.template))}</pre>"
    return f"<div style=\"{FONT};padding:4px 12px\"><div style='font-size:17px'>{title}</div>{notes}{body}</div>"


def error(problem: Exception, story: str) -> str:
    """An error in a red frame: what went wrong, what to do, and the whole story for those who open it."""
    return (
        "<div style='border:2px solid #B00020;border-radius:8px;padding:8px 14px;background:#FFF5F5;color:#222222;"
        f"font:14px/1.5 Helvetica,Arial,sans-serif'><b>{safe(type(problem).__name__)}</b>: {safe(problem)}"
        "<br>Nothing was changed: below stands the last good case. Correct the entry, or go on with another one."
        f"<details><summary>where it happened</summary><pre style='font-size:12px'>{safe(story)}</pre></details></div>"
    )


def _column(bench, name: str) -> str:
    """One model's part of the page."""
    answer, change, truth, ranked = bench.explanations[name], bench.change(name), bench.truth(), bench.ranked(name)
    lines = [] if change is None else [f"change against the case before: {change:+.3f}"]
    lines += [] if truth is None else [f"the truth: P(like) = {truth:.3f} (black mark)"]
    return (
        f"<div style='{_CARD}'><b>{safe(name)}</b>{small(bench.models[name].recipe.title)}"
        f"{verdict(answer, truth, lines)}{boxes(answer, ids=False)}{bars(answer.score, parts(answer))}"
        f"{_ranking(ranked, bench.lookup.titles) if ranked else ''}</div>"
    )


def _ranking(places: Sequence[Ranked], titles: Sequence[str], k: int = 10) -> str:
    """The catalogue's best for this prompt down to the k-th unseen item; what the user has rated is struck out."""
    lines, fresh = [], 0
    for place, ranked in enumerate(places, start=1):
        fresh += not ranked.seen
        title, tag = safe(titles[ranked.item_id]), "s" if ranked.seen else "b"
        lines.append(f"<div>{place}. <{tag}>{title}</{tag}> <small>{ranked.score:+.2f}</small></div>")
        if fresh == k:
            break
    above = head(f"the catalogue in this prompt's place: {fresh} best unseen, rated ones struck out")
    return f"{above}<div style='max-height:280px;overflow:auto;font-size:13px'>{''.join(lines)}</div>"


def _history(bench, most: int = 40) -> str:
    """The user's rows, newest first: what they liked, and whether the prompt shows it."""
    case, rated, lines = bench.case, bench.lookup.rated(bench.case.user_id), ""
    for row in rated.iloc[::-1].head(most).itertuples():
        title = safe(bench.lookup.titles[row.item_id])
        title = f"<b>{title}</b>" if row.item_id in case.history else title
        here = " ← target" if row.item_id == case.item_id and case.title is None else ""
        lines += f"<div>{'✔' if row.label else '✘'} {title} <small>{row.split}{here}</small></div>"
    above = head(f"the user's {len(rated)} rows, newest first (✔ liked, ✘ not; bold: in the prompt)")
    return f"{above}<div style='max-height:190px;overflow:auto;font-size:13px;columns:3 200px'>{lines}</div>"
