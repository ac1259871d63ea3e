"""Cells of an executed notebook as html: what was written, what came out, and what was claimed, with ticks."""

import ast
import html
import io
import itertools
import re
import tokenize
from collections.abc import Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import nbformat
import plotly.graph_objects as go
from bs4 import BeautifulSoup, Tag
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from sellarec_lab.config import PRESETS
from sellarec_lab.report.prose import Prose

CLAIMED = "What was claimed"  # the heading below which a notebook asserts what its text said
PLOTLY, WIDGET = "application/vnd.plotly.v1+json", "application/vnd.jupyter.widget-view+json"
live = partial(  # for a page that brings plotly itself
    go.Figure.to_html, full_html=False, include_plotlyjs=False, config={"displaylogo": False, "responsive": True}
)
CODE_STYLE = HtmlFormatter(style="friendly").get_style_defs(".highlight")
Widgets = Mapping[str, Mapping[str, Any]]  # id -> ``model_name`` and ``state``
_NO_WIDGETS: Widgets = MappingProxyType({})
_WHOLE = re.compile(r">\s*\d+\.0+\s*<")
_NUMBER = re.compile(r"-?\d+(\.0+)?")


class Claim(NamedTuple):
    """An assertion as a reader takes it: ``sentence`` is html, ``where`` the condition that it stands under, and
    ``asked`` whether the preset that the notebook ran with meets it."""

    sentence: str
    where: str = ""
    asked: bool = True


def cell(
    part: nbformat.NotebookNode, prose: Prose, shown: bool = False, widgets: Widgets = _NO_WIDGETS, preset: str = ""
) -> str:
    """A cell as html; code is folded away unless it is ``shown``, and raw cells are left out. ``widgets`` and
    ``preset`` are the notebook's, see `widgets_of` and `preset_of`."""
    if part.cell_type == "markdown":
        return prose.html(part.source)
    if part.cell_type != "code":
        return ""
    if prose.headings and prose.headings[-1].text == CLAIMED:
        return claimed(part, preset) + code(part.source, shown)
    return code(part.source, shown) + "".join(output(out, widgets) for out in part.outputs)


def code(source: str, shown: bool = False) -> str:
    """Python in colours."""
    drawn = highlight(source, PythonLexer(), HtmlFormatter())
    return f"<div class='source{' shown' if shown else ''}'>{drawn}</div>" if source.strip() else ""


def widgets_of(book: nbformat.NotebookNode) -> Widgets:
    """How an executed notebook's widgets stood when its kernel ended, by id."""
    kept = book.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {})
    return kept.get("state", {})


def preset_of(book: nbformat.NotebookNode) -> str:
    """The ``PRESET`` that a notebook runs with; "" where it names none."""
    told = "\n".join(part.source for part in book.cells if "parameters" in part.metadata.get("tags", []))
    found = re.search(r'^PRESET = "(.*)"', told, re.MULTILINE)
    return found[1] if found else ""


def output(out: nbformat.NotebookNode, widgets: Widgets = _NO_WIDGETS) -> str:
    """One output as html: figures live, tables as they are, text as text; progress bars are left out."""
    if out.output_type == "stream":
        return "" if out.name == "stderr" else f"<pre>{html.escape(out.text)}</pre>"
    bundle = out.get("data", {})
    if PLOTLY in bundle:
        kept = {part: bundle[PLOTLY][part] for part in ("data", "layout", "frames") if part in bundle[PLOTLY]}
        return live(go.Figure(kept))
    if "text/html" in bundle:  # beside a widget it is the static form
        return f"<div class='scroll'>{tidied(bundle['text/html'])}</div>"
    if "image/png" in bundle:
        words = html.escape(bundle.get("text/plain", ""))
        return f"<img alt='{words}' src='data:image/png;base64,{bundle['image/png'].strip()}'>"
    if WIDGET in bundle:
        return _still(widgets.get(bundle[WIDGET]["model_id"], {}))
    return f"<pre>{html.escape(bundle.get('text/plain', ''))}</pre>"


def _still(widget: Mapping[str, Any]) -> str:
    """A widget as it stood: the html that it shows, or what was chosen from a list; of others nothing is left."""
    kind, state = widget.get("model_name"), widget.get("state", {})
    if kind == "HTMLModel":
        return f"<div class='scroll'>{tidied(state.get('value', ''))}</div>"
    if kind == "DropdownModel" and state.get("index") is not None:
        words = state.get("description", ""), state["_options_labels"][state["index"]]
        return "<p>{}: <b>{}</b></p>".format(*map(html.escape, words))
    return ""


def tidied(page: str) -> str:
    """Html whose tables show counts as whole numbers, where a row or column holds nothing else, and no NaN.

    pandas writes a count with a fraction wherever a value beside it is missing or has one.
    """
    if "<td" not in page or not _WHOLE.search(page):
        return page
    soup = BeautifulSoup(page, "html.parser")
    for table in soup.find_all("table"):
        rows = [row.find_all("td") for row in table.find_all("tr")]
        columns = itertools.zip_longest(*rows)
        for line in [*rows, *columns]:
            _count([cell for cell in line if cell is not None and cell.string is not None])
    return str(soup)


def _count(line: list[Tag]) -> None:
    """Write a row or column of whole numbers as such; the empty ones hold nothing."""
    texts = [cell.string.strip() for cell in line]
    numbers = [text for text in texts if text not in ("", "NaN")]
    if all(map(_NUMBER.fullmatch, numbers)) and any(float(n) > 1 or n.endswith(".0") for n in numbers if "." in n):
        for cell, text in zip(line, texts):
            cell.string.replace_with("" if text == "NaN" else text.partition(".")[0])


def claimed(part: nbformat.NotebookNode, preset: str = "") -> str:
    """The assertions of a cell as a list; those that ran have a tick.

    A cell that was not executed, or failed, ticks nothing, nor does what stands under a condition that the ``preset``
    does not meet. Any condition is named.
    """
    ran = part.execution_count is not None and all(out.output_type != "error" for out in part.outputs)
    rows = "".join(_row(claim, ran) for claim in claims(part.source, preset))
    return f"<ul class='claims'>{rows}</ul>" if rows else ""


def _row(claim: Claim, ran: bool) -> str:
    sign, state = ("–", "not asked here") if not claim.asked else ("✓", "held") if ran else ("○", "not run")
    where = f" <small>{html.escape(claim.where)}</small>" if claim.where else ""
    return f"<li class='{state.split()[0]}'><b title='{state}'>{sign}</b> {claim.sentence}{where}</li>"


def claims(source: str, preset: str = "") -> list[Claim]:
    """What a cell asserts: in the words of the comment above or behind it, else as it is written, a tick for each
    part of an ``and``."""
    said = {
        token.start[0]: (token.string.lstrip("# "), not token.line[: token.start[1]].strip())
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    return list(_claims(ast.parse(source).body, said, preset))


def _claims(
    body: list[ast.stmt], said: dict[int, tuple[str, bool]], preset: str, where: str = "", asked: bool = True
) -> Iterator[Claim]:
    """``said``: line -> its comment, and whether it stands alone there."""
    for statement in body:
        if isinstance(statement, ast.If):
            yield from _claims(statement.body, said, preset, *_condition(statement.test, preset))
        if not isinstance(statement, ast.Assert):
            continue
        words = _words(statement, said)
        for test in [statement.test] if words else _conjuncts(statement.test):
            yield Claim(html.escape(words) or f"<code>{html.escape(ast.unparse(test))}</code>", where, asked)


def _condition(test: ast.expr, preset: str) -> tuple[str, bool]:
    """A condition in words where it asks for a preset, as it is written elsewhere; and whether it is met: what can't
    be told from the preset is taken to be."""
    written, known = ast.unparse(test), PRESETS.get(preset)
    found = re.fullmatch(r"(cfg\.name|cfg\.dataset|PRESET) (==|!=) '(.*)'", written)
    if not found:
        return f"if {written}", True
    field, sign, named = found.groups()
    is_it = known is None or (known.dataset if field == "cfg.dataset" else known.name) == named
    return (f"on {named}", is_it) if sign == "==" else (f"not on {named}", known is None or not is_it)


def _words(statement: ast.Assert, said: dict[int, tuple[str, bool]]) -> str:
    """The comment behind an assertion, or the lines of comment right above it."""
    if statement.end_lineno in said:
        return said[statement.end_lineno][0]
    line, found = statement.lineno - 1, []
    while said.get(line, ("", False))[1]:
        found.append(said[line][0])
        line -= 1
    return " ".join(reversed(found))


def _conjuncts(test: ast.expr) -> list[ast.expr]:
    both = isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And)
    return test.values if both else [test]
