"""The workbench as html: plain markup with inline styles, which needs no script, no network and no kernel."""

from collections.abc import Iterable, Sequence

from sellarec_lab.prompts import KINDS
from sellarec_lab.views.attention import attention_table
from sellarec_lab.views.prompt import (
    CAVEAT,
    FONT,
    Column,
    answers,
    bars,
    boxes,
    head,
    legend,
    parts,
    safe,
    small,
    verdict,
)
from sellarec_lab.workbench.answers import Ranked
from sellarec_lab.workbench.case import template_text
from sellarec_lab.workbench.edits import Spread
from sellarec_lab.workbench.notes import notes, truth

_CARD = "min-width:0;border:1px solid #DDDDDD;border-radius:8px;padding:8px 12px;background:#FFFFFF"

_LINES = 120  # pixels: room for three lines below the bar, so that nothing moves when one comes or goes


def page(bench) -> str:
    """All that a `Workbench` shows as a fragment of html; every text in it is escaped."""
    return strip(bench) + body(bench)


def strip(bench) -> str:
    """What stays in sight: who is asked about what, and every model's answer, side by side."""
    case, known = bench.case, truth(bench)
    target = bench.lookup.titles[case.item_id] if case.title is None else case.title
    about = "" if case.title is not None else bench.lookup.about.get(case.item_id, "")
    title = (
        f"<b>user {safe(bench.lookup.name(case.user_id))}</b> (id {case.user_id}) · "
        f"<b title='{safe(about)}'>{safe(target)}</b>?"
    )
    said = bench.step if known is None else f"{bench.step} · the truth: P(like) = {known:.3f} (black mark)"
    cards = _beside(_answer(bench, name, known) for name in bench.shown)
    return f'<div style="{FONT};line-height:1.35;padding:2px 4px">{title} {_aside(said)}{cards}</div>'


def body(bench) -> str:
    """All below: notes, prompts, what each part was worth, and what else was asked for."""
    case, about = bench.case, bench.lookup.about
    prompts = _beside(_prompt(bench, name) for name in bench.shown)
    columns = [Column(name, (said := bench.explanations[name]).score, parts(said)) for name in bench.shown]
    shown = "".join(small(f"• {note}") for note in notes(bench)) + prompts
    off = [kind for kind in (*case.off, *case.without_vector) if kind in bench.kinds]
    shown += legend([kind for kind in KINDS if kind in bench.kinds], off, disliked=bool(case.disliked))
    shown += f"{bars(columns, about)}{small(CAVEAT)}{_details(bench)}{_history(bench)}"
    if case.template is not None:
        shown += f"{head('template, edited')}<pre style='font-size:12px'>{safe(template_text(case.template))}</pre>"
    return f'<div style="{FONT};padding:4px">{shown}</div>'


def error(problem: Exception, story: str) -> str:
    """An error in a red frame: what went wrong, what to do, and the whole story for those who open it."""
    return (
        "<div style='border:2px solid #B00020;border-radius:8px;padding:6px 10px;background:#FFF5F5;color:#222222;"
        "font:13px/1.4 Helvetica,Arial,sans-serif;overflow-wrap:anywhere'>"
        f"<b>{safe(type(problem).__name__)}</b>: {safe(problem)}"
        "<br>Nothing was changed: the last good case stands. Correct the entry, or go on with another one."
        f"<details><summary>where it happened</summary><pre style='font-size:12px;white-space:pre-wrap'>{safe(story)}"
        "</pre></details></div>"
    )


def _beside(cards: Iterable[str]) -> str:
    """One card, or two beside each other however narrow the page."""
    cards = "".join(f"<div style='{_CARD}'>{card}</div>" for card in cards)
    look = "display:grid;grid-auto-flow:column;grid-auto-columns:minmax(0,1fr);gap:10px;margin:6px 0"
    return f"<div style='{look}'>{cards}</div>"


def _aside(text: str) -> str:
    return f"<span style='color:#5A5A5A;font-size:13px'>{safe(text)}</span>"


def _answer(bench, name: str, known: float | None) -> str:
    """One model's answer, and how it differs from those that it is measured against."""
    said, marks = bench.explanations[name], bench.marks
    before = {text: bench.answers.explained(name, case) for text, case in marks.items()}
    lines = [f"{said.score - old.score:+.3f} against {text}" for text, old in before.items()]
    mark = next((old.probability for old in before.values()), None)
    title = f"<b>{safe(name)}</b> {_aside(bench.models[name].recipe.title)}"
    return f"<div style='min-height:{_LINES}px'>{title}{verdict(said, known, lines, mark)}</div>"


def _prompt(bench, name: str) -> str:
    """What one model got, token by token."""
    said = bench.explanations[name]
    logits = f"<div style='margin-top:6px;font-size:13px'>{answers(said)}</div>" if "logits" in bench.details else ""
    hints = [bench.lookup.about.get(item, "") for item in bench.answers.items(name, bench.case)]
    return f"<b>{safe(name)}</b>{boxes(said, 'ids' in bench.details, hints)}{logits}"


def _details(bench) -> str:
    """What was asked for: attention, the edit done to others, rankings."""
    shown, case, done = "", bench.case, bench.done_to_others()
    if "attention" in bench.details:
        tables = [attention_table(bench.answers.looked(name, case)) for name in bench.shown]
        above = head(
            "attention of the place that answers, by layer, mean over heads: where it looks, not why it answers"
        )
        shown += above + _beside(f"<b>{safe(name)}</b>{table}" for name, table in zip(bench.shown, tables))
    if done is not None:
        shown += _spread(done)
    ranked = {name: bench.answers.ranked(name, case) for name in bench.shown}
    if all(ranked.values()):
        shown += _beside(f"<b>{safe(n)}</b>{_ranking(places, bench.lookup.titles)}" for n, places in ranked.items())
    return shown


def _spread(done: Spread) -> str:
    """One edit done to many: a row a model."""
    cell = "padding:2px 10px 2px 0;border:0;text-align:left;white-space:nowrap"
    names = ("model", "users", "mean P before", "after", "change of the score", "95% interval", "turned")
    top = "".join(f"<th style='{cell}'>{name}</th>" for name in names)
    rows = "".join(
        "<tr>" + "".join(f"<td style='{cell}'>{text}</td>" for text in (
            f"<b>{safe(row.Index)}</b>", row.users, f"{row.p_before:.3f}", f"{row.p_after:.3f}", f"{row.change:+.3f}",
            f"[{row.low:+.3f}, {row.high:+.3f}]", row.turned,
        )) + "</tr>"
        for row in done.table.itertuples()
    )  # fmt: skip
    above = head(f"done to {done.table['users'].iloc[0]} of {done.asked} users: {done.told}")
    below = small("means over users; bootstrap interval; turned: answers that changed sides")
    return f"{above}<table style='font-size:13px;border-collapse:collapse'><tr>{top}</tr>{rows}</table>{below}"


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
    case, about, lines = bench.case, bench.lookup.about, ""
    rated = bench.lookup.rated(case.user_id)
    for row in rated.iloc[::-1].head(most).itertuples():
        title = safe(bench.lookup.titles[row.item_id])
        title = f"<b>{title}</b>" if row.item_id in (*case.history, *case.disliked) else title
        here = " ← target" if row.item_id == case.item_id and case.title is None else ""
        lines += (
            f"<div title='{safe(about.get(row.item_id, ''))}'>{'✔' if row.label else '✘'} {title} "
            f"<small>{row.split}{here}</small></div>"
        )
    above = head(f"the user's {len(rated)} rows, newest first (✔ liked, ✘ not; bold: in the prompt)")
    return f"{above}<div style='max-height:190px;overflow:auto;font-size:13px;columns:3 200px'>{lines}</div>"
