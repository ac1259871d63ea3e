"""Slide decks of notebooks: one html file each, which opens without a network.

    python docs/slides.py [--preset tiny] [NOTEBOOK ...]

Takes the executed copy in ``artifacts/<preset>/notebooks`` where there is one, else the notebook itself, and writes
``artifacts/<preset>/slides/``. Arrow keys turn the pages, ``f`` fills the screen, ``s`` shows the speaker's notes,
``o`` all pages at once; ``?print-pdf`` behind the address lays them out for printing. Needs the extra "slides", which
brings reveal.js inside a package.

Cells say where they stand by nbconvert's own tag, ``slideshow.slide_type``: slide, subslide, fragment, skip, notes
or -. Where a cell has none, a rule decides:

- a heading of the first or second level begins a slide, one of the third a page below it;
- what no longer fits goes on below, under the same heading; a figure has a page to itself;
- code is folded away (``c`` shows it), but not where the cell is tagged or belongs to an exercise; code that leaves
  nothing to see, and code before the first part of a notebook, which prepares it, are skipped.
"""

from __future__ import annotations

import argparse
import copy
import html
import re
import sys
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from math import ceil
from pathlib import Path

import nbformat
from nbconvert.exporters import Exporter, SlidesExporter
from plotly.offline import get_plotlyjs

import sellarec_lab as lab
from sellarec_lab import report, runtime
from sellarec_lab.report import cells
from sellarec_lab.report.prose import Prose
from sellarec_lab.report.site import Site

WIDTH, HEIGHT = 1280, 720  # pixels of a page, which the browser scales to the screen
ROOM = 15  # lines of text that fit below a heading
_LETTERS, _LINE, _TALLEST = 86, 38, 640  # a line's letters and pixels; a figure's pixels at most
_HEADING = re.compile(r"(#{1,6})\s+(.*)")
_STYLE = f"""
.reveal{{font:26px/1.45 system-ui,'Segoe UI',Helvetica,Arial,sans-serif;color:#1a1a1a;background:#fff}}
.reveal .slides{{text-align:left}}.reveal .sheet{{height:{HEIGHT}px;box-sizing:border-box;overflow:hidden auto}}
.reveal h1{{font-size:1.7em;line-height:1.2;margin:1.2em 0 .6em;color:#0072B2}}
.reveal h2,.reveal h3,.reveal .running{{font-size:1.25em;line-height:1.2;margin:0 0 .6em;padding-bottom:.2em;
font-weight:600;border-bottom:3px solid #0072B2}}.reveal .running{{font-size:.8em;color:#595959;border-width:1px}}
.reveal strong,.reveal b{{font-weight:600}}.reveal em,.reveal i{{font-style:italic}}
.reveal ul{{list-style:disc;padding-left:1.2em}}.reveal ol{{list-style:decimal;padding-left:1.4em}}
.reveal p,.reveal ul,.reveal ol{{margin:.5em 0}}.reveal pre{{font-size:17px;line-height:1.4;margin:.5em 0;
background:#f6f6f6;padding:.5em .7em;white-space:pre-wrap;border-radius:4px}}.reveal code{{font-size:.88em}}
.reveal pre code{{font-size:1em}}.reveal table{{border-collapse:collapse;font-size:18px;margin:.5em 0}}
.reveal .scroll>div{{zoom:1.25}}.reveal td,.reveal th{{border-bottom:1px solid #ccc;padding:.2em .7em;text-align:right}}
.reveal th:first-child,.reveal td:first-child{{text-align:left}}.reveal .scroll{{overflow-x:auto;margin:.5em 0}}
.reveal .source{{display:none}}.reveal .source.shown,
.with-code .reveal .source{{display:block}}.reveal summary{{cursor:pointer;color:#595959;font-size:17px}}
.reveal details{{margin:.3em 0}}
.reveal math[display=block]{{font-size:1.25em;margin:.6em 0}}.reveal img{{max-width:100%;max-height:600px}}
.reveal .claims{{list-style:none;padding:0;font-size:.85em}}.reveal li{{margin:.3em 0}}.reveal .held b{{color:#00694d}}
.reveal small{{font-size:.75em;color:#595959}}
.reveal a{{color:#0063a6}}@media print{{.reveal .sheet{{height:auto;overflow:visible}}}}
"""
# A page that is too full is drawn smaller, down to two thirds; what is fuller still scrolls. Figures on pages that were
# hidden take their width when they are shown.
_SCRIPT = """
Reveal.initialize({width: %d, height: %d, margin: 0.04, center: false, hash: true, transition: 'none',
  slideNumber: 'c/t', pdfMaxPagesPerSlide: 1, plugins: [RevealNotes]});
function fit() {
  const page = Reveal.getCurrentSlide();
  page.querySelectorAll('.js-plotly-plot').forEach(figure => Plotly.Plots.resize(figure));
  const full = () => page.scrollHeight > page.clientHeight + 1
    || [...page.querySelectorAll('.scroll')].some(box => box.scrollWidth > box.clientWidth + 1);
  for (let part = 20; part >= 13 && (part == 20 || full()); part--) {
    page.style.zoom = part / 20; page.style.width = %d * 20 / part + 'px'; page.style.height = %d * 20 / part + 'px';
  }
}
Reveal.addKeyBinding({keyCode: 67, key: 'C', description: 'Show code'},
  () => { document.body.classList.toggle('with-code'); fit(); });
Reveal.on('ready', fit); Reveal.on('slidechanged', fit);
"""


def deck(book: nbformat.NotebookNode, title: str, moved: Callable[[str], str] = str) -> str:
    """A notebook as one self-contained page of slides.

    Args:
        book: executed or not; it is left as it is.
        title: the window's.
        moved: where a link of the notebook leads from the deck.

    Raises:
        ModuleNotFoundError: the extra "slides" is not installed.
        ValueError: no cell is to be shown, or a formula that does not convert.
    """
    prose = Prose(moved)
    tagged, _ = Exporter.from_notebook_node(SlidesExporter(), _placed(book))
    preset = cells.preset_of(book)
    return _page(title, "".join(_section(part, prose, preset) for part in tagged.cells))


def _section(part: nbformat.NotebookNode, prose: Prose, preset: str) -> str:
    """A cell with the tags that open and close its page, as nbconvert's preprocessor says."""
    said = part.metadata
    if said.slide_type == "skip":
        return _ends(said)
    body = cells.cell(part, prose, said.get("shown", False), preset=preset)
    if said.slide_type == "notes":
        return f"<aside class='notes'>{body}</aside>{_ends(said)}"
    if said.get("running"):
        body = f"<p class='running'>{html.escape(said.running)}</p>{body}"
    begins = "<section>" * said.get("slide_start", False) + "<section class='sheet'>" * said.get(
        "subslide_start", False
    )
    return begins + "<div class='fragment'>" * said.get("fragment_start", False) + body + _ends(said)


def _ends(said: nbformat.NotebookNode) -> str:
    closed = "</div>" * bool(said.get("fragment_end")) + "</section>" * bool(said.get("subslide_end"))
    return closed + "</section>" * bool(said.get("slide_end"))


def _placed(book: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy, its markdown parted at headings, in which each cell has its slide type, by its tag or by the rule."""
    placed, room, heading, level, exercise = copy.deepcopy(book), ROOM, "", 0, False
    placed.cells = [part for cell in placed.cells for part in _parts(cell)]
    for part in placed.cells:
        said, begins = part.metadata, _HEADING.match(part.source) if part.cell_type == "markdown" else None
        if begins:
            heading, level, exercise = begins[2], len(begins[1]), begins[2].startswith("Exercise")
        exercise &= "<details>" not in part.source  # there the answer stands
        own = said.get("slideshow", {}).get("slide_type")
        said.shown = part.cell_type == "code" and bool(own or exercise)
        need = _lines(part)
        kind = own or _kind(part, need <= room or room == ROOM, begins, level)
        if kind in ("slide", "subslide"):
            room, said.running = ROOM, "" if begins else heading
        room -= 0 if kind in ("skip", "notes") else need
        said.slideshow = {"slide_type": kind}
    return placed


def _kind(part: nbformat.NotebookNode, fits: bool, begins: re.Match | None, level: int) -> str:
    """The slide type of a part without a tag, below a heading of this ``level`` or with it."""
    if begins:
        return "slide" if level < 3 else "subslide"
    code = part.cell_type == "code"
    if part.cell_type == "raw" or (code and level < 2) or (code and not part.metadata.shown and not _shows(part)):
        return "skip"
    return "-" if fits else "subslide"


def _parts(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """A cell, or its pieces where a heading stands inside of its markdown; code in fences is no heading."""
    if cell.cell_type != "markdown":
        return [cell]
    pieces, fenced = [[]], False
    for line in cell.source.splitlines():
        fenced ^= line.lstrip().startswith("```")
        if _HEADING.match(line) and not fenced and any(map(str.strip, pieces[-1])):
            pieces.append([])
        pieces[-1].append(line)
    texts = enumerate("\n".join(piece).strip() for piece in pieces)
    return [nbformat.from_dict(cell | {"id": f"{cell.id}-{place}", "source": text}) for place, text in texts]


def _shows(part: nbformat.NotebookNode) -> bool:
    return "assert " in part.source or any(map(_lines_of_output, part.outputs))


def _lines(part: nbformat.NotebookNode) -> float:
    """About how many lines of text a part takes the place of."""
    if part.cell_type == "markdown":
        told = re.sub(r"<details>.*?</details>", "answer", part.source, flags=re.DOTALL)
        return sum(ceil(len(line) / _LETTERS) for line in told.splitlines()) + 0.5 * told.count("\n\n")
    asserted = part.source.count("assert ") if "assert " in part.source else 0
    shown = 0.7 * len(part.source.splitlines()) if part.metadata.shown else 0
    return shown + asserted + sum(map(_lines_of_output, part.outputs))


def _lines_of_output(out: nbformat.NotebookNode) -> float:
    bundle = out.get("data", {})
    if cells.WIDGET in bundle and "text/html" not in bundle:
        return 0
    if cells.PLOTLY in bundle:
        layout = bundle[cells.PLOTLY].setdefault("layout", {})
        layout["height"] = min(layout.get("height", _TALLEST), _TALLEST)
        return layout["height"] / _LINE
    if "text/html" in bundle:
        rows = bundle["text/html"].count("<tr")
        return rows or 2 + len(re.sub("<[^>]+>", "", bundle["text/html"])) / _LETTERS
    text = out.get("text", "") if out.get("name") != "stderr" else ""
    return 0.7 * len((text or bundle.get("text/plain", "")).splitlines())


def _page(title: str, sections: str) -> str:
    reveal = _reveal()
    css = "".join((reveal / name).read_text(encoding="utf-8") for name in ("dist/reset.css", "dist/reveal.css"))
    scripts = [get_plotlyjs()] if "js-plotly-plot" in sections or "plotly-graph-div" in sections else []
    scripts += [(reveal / name).read_text(encoding="utf-8") for name in ("dist/reveal.js", "plugin/notes/notes.js")]
    drawn = "".join(f"<script>{script}</script>" for script in scripts)
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{html.escape(title)}</title>"
        f"<style>{css}{_STYLE}{cells.CODE_STYLE}</style>{drawn}<body><div class='reveal'><div class='slides'>{sections}"
        f"</div></div><script>{_SCRIPT % (WIDTH, HEIGHT, WIDTH, HEIGHT)}</script></body></html>"
    )


def _reveal() -> Path:
    """The folder with reveal.js, which sphinx-revealjs carries; nothing else of that package is used."""
    try:
        return files("sphinx_revealjs") / "_static" / "revealjs"
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("slides need reveal.js; install it: pip install -e '.[slides]'") from error


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pages", nargs="*", type=Path, metavar="NOTEBOOK", help="by default all that are numbered")
    parser.add_argument("--preset", default="tiny")
    args = parser.parse_args(arguments)
    out = runtime.artifacts_folder(lab.preset(args.preset).artifacts) / args.preset
    pages = args.pages or report.numbered()
    site = Site(out / "slides", pages, report.notebook_folder().parent, texts=False)
    for page in pages:
        ran = out / "notebooks" / page.name
        book = nbformat.read(ran if ran.is_file() else page, as_version=4)
        target = out / "slides" / f"{page.stem}.html"
        runtime.write_text(target, deck(book, page.stem.replace("_", " "), partial(site.moved, source=page)))
        print(f"{target}{'' if ran.is_file() else ': not executed, so without results; make run executes it'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
