"""The first page of a report: what ran, what is seen in three sentences, the table, two figures, and the way on."""

import html
from collections.abc import Iterable

import pandas as pd

from sellarec_lab import compare, metrics, views
from sellarec_lab.report import pages

_BREAK = "|"  # where a line ends in a cell that pandas escapes
_SHOWN = 0.05  # p after Holm's correction, as the figures fill it


def first_page(
    results: pd.DataFrame, paired: pd.DataFrame, facts: dict[str, str], made: list[pages.Page], against: str = "sella"
) -> str:
    """The page as html.

    Args:
        results: from `compare.table`, with AUC on test.
        paired: from `compare.paired_tests`, which compared with ``against``.
        facts: what ran, by name: preset, seeds, commit, date ...
        made: the notebooks' pages.
    """
    told = " · ".join(f"{name} <b>{html.escape(value)}</b>" for name, value in facts.items())
    seen = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in seen_in(results, paired, against))
    wide = compare.summary(results)
    tests = compare.titled(paired).round(4)
    body = (
        f"<main class='front'><h1>sellarec_lab: results on {html.escape(facts['preset'])}</h1>"
        f"<p class='facts'>{told}</p><ul class='seen'>{seen}</ul><h2>Every model, on the same test rows</h2>"
        f"<div class='scroll'>{wide._repr_html_()}</div>"
        f"<p><small>Point at a value for its 95 % interval, from a bootstrap "
        f"over users; <a href='#intervals'>all intervals</a>. Bold: the best model that learned.</small></p>"
        f"{''.join(map(pages.figure, _figures(results, paired, against)))}{_ways_on(made)}"
        f"<h2 id='intervals'>The table with its intervals</h2>{_with_intervals(wide)}"
        f"<details><summary>{html.escape(compare.TITLES[against])} minus every other model, in every part of test"
        f"</summary>{pages.table(tests)}</details></main>"
    )
    return pages.document(f"results on {facts['preset']}", body, plotly=f"{pages.FOLDER}/plotly.js")


def seen_in(results: pd.DataFrame, paired: pd.DataFrame, against: str = "sella") -> list[str]:
    """Three sentences on AUC that follow from the tables: who is best, which differences are shown, what is left."""
    test = results[(results["split"] == "test") & (results["metric"] == "auc")].dropna(subset="value")
    auc = test.set_index("model")["value"]
    learned, name = auc.drop([m for m in compare.CEILINGS if m in auc]), compare.TITLES[against]
    best = learned.idxmax()
    lead = "the highest of" if best == against else f"where {compare.TITLES[best]} has {learned[best]:.3f}, the best of"
    first = f"{name} has an AUC of {auc[against]:.3f} on the test split, {lead} {len(learned)} models that learned."
    return [first, _told_apart(paired, list(learned.index), name), _left(results, auc, against, name)]


def _told_apart(paired: pd.DataFrame, learned: list[str], name: str) -> str:
    rows = paired[(paired["split"] == "test") & (paired["metric"] == "auc") & paired["model"].isin(learned)]
    shown = rows["p_holm"] < _SHOWN
    groups = {
        f"{name} is shown to be above": rows[shown & (rows["difference"] > 0)],
        "below": rows[shown & (rows["difference"] < 0)],
        "not told apart from": rows[~shown],
    }
    said = [f"{words} {_names(group['model'])}" for words, group in groups.items() if len(group)]
    if not said:
        return f"{name} is compared with no other model."
    start = "" if said[0].startswith(name) else f"{name} is "
    return f"{start}{', '.join(said[:-1])}{' and ' if said[1:] else ''}{said[-1]} (p below {_SHOWN}, Holm)."


def _left(results: pd.DataFrame, auc: pd.Series, against: str, name: str) -> str:
    """How much of the gap is closed where the world knows it, else how warm and cold rows differ."""
    ceilings = {"knowable": "what can be known from its rows and texts", "oracle": "an oracle that knows every taste"}
    gaps = [
        f"{metrics.gap_closed(auc[against], auc[ceiling]):.0%} of the way from chance to {what}"
        for ceiling, what in ceilings.items()
        if ceiling in auc
    ]
    if gaps:
        return f"{name} goes {' and '.join(gaps)}."
    ours = results[(results["model"] == against) & (results["metric"] == "auc")].set_index("split")["value"]
    parts = [f"{ours[f'test-{part}']:.3f} on {part} rows" for part in ("warm", "cold") if f"test-{part}" in ours]
    return f"{name} has an AUC of {' and '.join(parts) or 'no part of test alone'}; warm means that training held both."


def _names(models: Iterable[str]) -> str:
    *most, last = [compare.TITLES[m] for m in models]
    return f"{', '.join(most)} and {last}" if most else last


def _figures(results: pd.DataFrame, paired: pd.DataFrame, against: str) -> list:
    """How good, and how far from the model that all are compared with."""
    name = compare.TITLES[against]
    figures = [views.results_forest(compare.titled(results))]
    if len(paired):
        figures.append(views.paired_forest(compare.titled(paired), against=name))
    return figures


def _with_intervals(wide: compare.Summary) -> str:
    """The table again, each interval below its value."""
    below = pd.DataFrame(wide).fillna("").astype(str)
    below = below.apply(
        lambda column: column.str.replace(" [", _BREAK, regex=False).str.replace(", ", " to ").str.strip("]")
    )
    return f"<div class='scroll intervals'>{below.to_html(border=0).replace(_BREAK, '<br>')}</div>"


def _ways_on(made: list[pages.Page]) -> str:
    rows = "".join(
        f"<tr><td><a href='{pages.FOLDER}/{page.name}'>{html.escape(page.title)}</a></td><td>{page.claim}</td>"
        f"<td>{'✓ ' if page.held == page.claims else ''}{page.held} of {page.claims}</td></tr>"
        for page in made
    )
    head = "<tr><th>notebook</th><th>its claim</th><th>assertions that held</th></tr>"
    return (
        f"<h2>The notebooks as they ran</h2><div class='scroll'><table class='words'>{head}{rows}</table></div>"
        * bool(rows)
    )
