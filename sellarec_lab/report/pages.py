"""The pages of a report: how one looks, the first, and one a notebook. They open offline, from a folder."""

import html
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import nbformat
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from sellarec_lab import runtime
from sellarec_lab.report import cells
from sellarec_lab.report.prose import Heading, Prose
from sellarec_lab.report.site import Site

FOLDER = "report"  # beside the first page: the others, and what they share
_PLOTLY = "plotly.js"  # once for all pages
_STYLE = """
*{box-sizing:border-box}body{font:17px/1.55 system-ui,'Segoe UI',Helvetica,Arial,sans-serif;margin:0;color:#1a1a1a}
main{max-width:1120px;margin:0 auto;padding:0 1.5rem 4rem;min-width:0}a{color:#0063a6}
h1{font-size:1.9rem;line-height:1.2;color:#00588c}h2{border-bottom:3px solid #0072B2;padding-bottom:.2rem;
margin-top:2.4rem}h1,h2,h3{scroll-margin-top:4rem}p,li{max-width:52rem}
header{position:sticky;top:0;z-index:2000;background:#fff;border-bottom:1px solid #ccc;padding:.5rem 1.5rem;
display:flex;gap:1.5rem;flex-wrap:wrap}header label{margin-left:auto;cursor:pointer}
#show-code{position:fixed;top:.8rem;right:7.6rem;z-index:2001}
.contents{font-size:.88rem;padding:1rem 1.5rem}.contents ul{list-style:none;padding:0;margin:0}
.contents li{margin:.25rem 0}.contents .deep{padding-left:1rem}
@media(min-width:1250px){.beside{display:grid;grid-template-columns:15rem minmax(0,1fr)}
.contents{position:sticky;top:3rem;align-self:start;max-height:calc(100vh - 3rem);overflow:auto}}
table{border-collapse:collapse;font-size:.84rem;margin:1rem 0}td,th{border-bottom:1px solid #ddd;padding:.28rem .5rem;
text-align:right}th:first-child,td:first-child,.words td,.words th{text-align:left}.words td{vertical-align:top}
tr:hover td{background:#f0f6fb}td [title]{cursor:help}.intervals td{white-space:pre!important;font-size:.78rem}
.front{max-width:1380px}.front td,
.front tbody th:first-child{white-space:nowrap}.front .words td{white-space:normal}
pre,.highlight{background:#f6f6f6;border-radius:4px}pre{padding:.6rem .8rem;margin:.6rem 0;white-space:pre-wrap;
font-size:.82rem;line-height:1.4}code{font-size:.9em}pre code{font-size:1em}summary{cursor:pointer;color:#555}
.scroll{overflow-x:auto}img{max-width:100%}math[display=block]{font-size:1.2em;margin:1rem 0}
.source{display:none}#show-code:checked~.beside .source,.source.shown{display:block;border-left:3px solid #0072B2}
.claims{list-style:none;padding:0}.claims b{margin-right:.4rem}.held b{color:#00694d}small,.facts{color:#595959}
.seen{font-size:1.25rem;line-height:1.5}.seen li{max-width:60rem;margin:.5rem 0}
"""


class Page(NamedTuple):
    """A notebook as its page has it."""

    name: str  # of the file
    title: str
    claim: str  # html: what the reader will have shown
    body: str
    headings: list[Heading]
    held: int  # claims with a tick
    claims: int  # all that its preset was asked for


def write(out: Path, books: dict[Path, nbformat.NotebookNode], root: Path) -> list[Page]:
    """A page for each executed notebook, and for markdown that they link to, in ``out``/report.

    Args:
        out: where the first page lies.
        books: the notebook in the checkout -> its executed copy.
        root: the checkout.

    Raises:
        ValueError: a formula that does not convert, named with its notebook.
    """
    folder = out / FOLDER
    site = Site(folder, list(books), root)
    made = [_page(source, book, site) for source, book in books.items()]
    runtime.write_text(folder / _PLOTLY, get_plotlyjs())
    for place, page in enumerate(made):
        before, after = made[place - 1 : place] if place else [], made[place + 1 : place + 2]
        links = _steps(before, after)
        runtime.write_text(folder / page.name, document(page.title, _beside(page), links, _PLOTLY))
    done = {source.resolve() for source in books}
    while left := [source for source in site.pages if source not in done]:
        for source in left:
            page = _text(source, site)
            runtime.write_text(folder / page.name, document(page.title, _beside(page), _steps([], [])))
        done |= set(left)
    return made


def document(title: str, body: str, links: str = "", plotly: str | None = None) -> str:
    """A page that opens offline. ``plotly``: the file that brings it; "" writes plotly itself into the page."""
    script = {None: "", "": f"<script>{get_plotlyjs()}</script>"}.get(plotly, f"<script src='{plotly}'></script>")
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>{html.escape(title)} · sellarec_lab</title><style>{_STYLE}{cells.CODE_STYLE}</style>{script}"
        f"<body>{links}{body}</body></html>"
    )


def table(frame, classes: str = "") -> str:
    """A DataFrame with all its rows and columns, in a box that scrolls where a window is too small."""
    return f"<div class='scroll'>{frame.to_html(border=0, index=False, classes=classes)}</div>"


def figure(drawn: go.Figure) -> str:
    """A figure in a page that has plotly."""
    return cells.live(drawn)


def _page(source: Path, book: nbformat.NotebookNode, site: Site) -> Page:
    prose, told = Prose(partial(site.moved, source=source)), (False, cells.widgets_of(book), cells.preset_of(book))
    try:
        body = "".join(cells.cell(part, prose, *told) for part in book.cells)
    except ValueError as error:
        raise ValueError(f"{source.name}: {error}") from error
    held, missed = body.count("<b title='held'>"), body.count("<b title='not run'>")
    said = re.search(r"<p><strong>By the end you will have shown that</strong>[ ,]*(.*?)</p>", body, re.DOTALL)
    title = prose.headings[0].text if prose.headings else source.stem
    claim = re.sub(r"</?a\b[^>]*>", "", said[1]) if said else ""  # it stands on the first page too, in another folder
    return Page(site.pages[source.resolve()], title, claim, body, prose.headings, held, held + missed)


def _text(source: Path, site: Site) -> Page:
    """A text of the checkout as a page."""
    prose = Prose(partial(site.moved, source=source))
    body = prose.html(source.read_text(encoding="utf-8"))
    title = prose.headings[0].text if prose.headings else source.stem
    return Page(site.pages[source], title, "", f"<div class='words'>{body}</div>", prose.headings, 0, 0)


def _beside(page: Page) -> str:
    """A page's body with its contents list; the switch before both folds code in and out."""
    rows = "".join(
        f"<li{' class=deep' if h.level > 2 else ''}><a href='#{html.escape(h.anchor)}'>{html.escape(h.text)}</a></li>"
        for h in page.headings
        if 1 < h.level < 4
    )
    contents = f"<nav class='contents' aria-label='contents'><ul>{rows}</ul></nav>"
    return f"<div class='beside'>{contents}<main>{page.body}</main></div>"


def _steps(before: Sequence[Page], after: Sequence[Page]) -> str:
    """The head of a page: back to the first, to its neighbours, and the switch for code."""
    links = ["<a href='../report.html'>Report</a>"]
    links += [f"<a rel='prev' href='{p.name}'>← {html.escape(_short(p))}</a>" for p in before]
    links += [f"<a rel='next' href='{p.name}'>{html.escape(_short(p))} →</a>" for p in after]
    switch = "<input type='checkbox' id='show-code'>"
    return f"{switch}<header>{''.join(links)}<label for='show-code'>Show code</label></header>"


def _short(page: Page) -> str:
    return page.title.partition(":")[0]
