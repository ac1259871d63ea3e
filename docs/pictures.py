"""Keep notebooks 00 and 05 with their outputs, every figure as a PNG: a code host shows no plotly.

    python docs/pictures.py [--preset tiny] [NOTEBOOK ...]

Executes them, and writes their outputs back beside their own source; the map of notebook 05 is the README's picture as
well, and so is the workbench after the edit that changes most, whose numbers it writes below it. With another preset
only the map of notebook 05 is drawn, as ``alignment_PRESET.png``. Needs the extras "notebooks" and "browser", and a
Chromium; ``make pictures`` sees to them.
"""

from __future__ import annotations

import argparse
import base64
import html
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import nbformat
import plotly.graph_objects as go

NOTEBOOKS = ("00_tour.ipynb", "05_alignment.ipynb")
MAP = NOTEBOOKS[1]
KEPT = "tiny"  # the preset whose outputs the notebooks keep
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
PLOTLY, WIDGET = "application/vnd.plotly.v1+json", "application/vnd.jupyter.widget-view+json"
MOST, ALONE = 120_000, 250_000  # bytes of a picture in a notebook, and of one that is a file
_SCALES = (1.5, 1.25, 1.0, 0.8, 0.6)  # pixels a point: the first whose picture is small enough
_WIDTH = 1020  # points
_USERS = 40  # whose titles are tried, to find the one that is worth most
_SHOWN = (
    "![The workbench after one title was dropped: {}'s score changes by {}, that of {} by {}, with the worth of every "
    "part that remains; of all titles in the prompts of {} users the one worth most to {}](docs/counterfactual.png)"
)


def find_chromium() -> str | None:
    """The system's Chromium or Chrome; None if there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(shutil.which, names)), None)


def draw(browser, view, most: int = MOST) -> bytes:
    """A plotly figure, or a view that is html, as a PNG; drawn smaller until it has at most so many bytes."""
    from sellarec_lab import views

    place = ".plotly-graph-div" if isinstance(view, go.Figure) else "body > *"
    for scale in _SCALES:
        page = browser.new_page(viewport={"width": _WIDTH, "height": 800}, device_scale_factor=scale)
        page.set_content(views.to_html(view))
        if isinstance(view, go.Figure):
            page.locator(".main-svg").first.wait_for()
        png = page.locator(place).first.screenshot()
        page.close()
        if len(png) <= most:
            break
    return png


def kept(output, drawn: Callable[[object], bytes]):
    """An output as a code host can show it: text and tables as they are; figures, and prompts, whose colours it would
    take away, by ``drawn`` as PNG with their words beside it; None for what lives in a kernel alone, such as progress
    bars."""
    from sellarec_lab.views.prompt import FRAME, Html

    if output.output_type == "stream":
        return output if output.name == "stdout" else None
    data = output.data
    if PLOTLY in data:
        figure = go.Figure(data=data[PLOTLY]["data"], layout=data[PLOTLY]["layout"])
        return _picture(output, drawn(figure), figure.layout.title.text or "figure")
    if data.get("text/html", "").startswith(FRAME):
        return _picture(output, drawn(Html(data["text/html"])), data["text/html"])
    if WIDGET in data:
        return None
    output.data = {kind: data[kind] for kind in ("text/html", "text/plain") if kind in data}
    return output


def _picture(output, png: bytes, words: str):
    plain = " ".join(html.unescape(re.sub("<[^>]+>", " ", words)).split())
    output.data = {"image/png": base64.b64encode(png).decode(), "text/plain": plain}
    output.metadata = {}
    return output


def keep(page: Path, executed: nbformat.NotebookNode, drawn: Callable[[object], bytes]) -> None:
    """Write an executed copy's outputs into the notebook itself, whose source stays as it is."""
    book = nbformat.read(page, as_version=4)
    for cell, ran in zip(book.cells, executed.cells, strict=True):
        if cell.cell_type == "code":
            cell.outputs = [o for o in (kept(output, drawn) for output in ran.outputs) if o is not None]
            cell.execution_count = ran.execution_count
    book.metadata.pop("widgets", None)
    nbformat.write(book, page)


def walk_of(executed: nbformat.NotebookNode) -> dict[str, go.Figure]:
    """The last map of the walk in an executed notebook 05, as it stands before the first step and at the end."""
    data = [o.data[PLOTLY] for cell in executed.cells for o in cell.get("outputs", ()) if PLOTLY in o.get("data", {})]
    drawn = [d for d in data if d["layout"].get("sliders")][-1:]
    if not drawn:
        return {}
    moved, traces = drawn[0]["layout"]["sliders"][0]["steps"][0]["args"]
    found = {}
    for name, changes in (("alignment_before", moved), ("alignment", {})):
        figure = go.Figure(drawn[0]["data"], drawn[0]["layout"])
        for place, trace in enumerate(traces):
            figure.data[trace].update({key: values[place] for key, values in changes.items() if key != "hovertext"})
        active = 0 if changes else len(figure.layout.sliders[0].steps) - 1
        found[name] = figure.update_layout(sliders=[{"active": active}])
    return found


def dropped(bench, users: int = _USERS) -> dict[str, float]:
    """Drop the title that is worth most to the bench's first model, of those in the prompts of the first users; leaves
    the bench there, and gives how much the score of each model changes."""
    name, tried = bench.shown[0], []
    for user in sorted(bench.found.users)[:users]:
        bench.pick(user)
        told = bench.explanations[name]
        tried += [(abs(told.score - left.score), user, left.item_id) for left in told.without_titles]
    _, user, item = max(tried)
    bench.pick(user)
    before = {name: told.score for name, told in bench.explanations.items()}
    bench.drop(item)
    return {name: told.score - before[name] for name, told in bench.explanations.items()}


def captioned(readme: str, moved: dict[str, float], users: int = _USERS) -> str:
    """The README with the numbers of the picture that stands there."""
    from sellarec_lab import compare

    names = [compare.TITLES[name] for name in moved]
    told = _SHOWN.format(*(part for n, v in zip(names, moved.values()) for part in (n, f"{v:+.3f}")), users, names[0])
    return re.sub(r"^!\[[^\]]*\]\(docs/counterfactual\.png\)$", lambda _: told, readme, flags=re.MULTILINE)


def counterfactual(preset: str, draw_it: Callable[[object], bytes]) -> None:
    """The README's picture of the workbench, and what is said below it."""
    import sellarec_lab as lab
    from sellarec_lab.views import Html

    cfg = lab.preset(preset)
    rows = lab.data.load(cfg.dataset)
    bench = lab.workbench.open({name: lab.sella.train(cfg, rows, name) for name in ("sella", "tallrec")}, rows, cfg)
    moved, here = dropped(bench), Path(__file__).parent
    page = f"<div style='width:880px;max-height:900px;overflow:hidden'>{bench.to_html()}</div>"
    (here / "counterfactual.png").write_bytes(draw_it(Html(page)))
    readme = here.parent / "README.md"
    readme.write_text(captioned(readme.read_text(encoding="utf-8"), moved), encoding="utf-8")
    print(f"counterfactual: {moved}")


def draw_maps(book: nbformat.NotebookNode, draw_it: Callable[[object], bytes], preset: str) -> None:
    """The maps of an executed notebook 05 as pictures of this folder: before and at the end, or the end alone."""
    maps = walk_of(book)
    if preset != KEPT:
        maps = {f"{name}_{preset}": figure for name, figure in maps.items() if name == "alignment"}
    for name, figure in maps.items():
        (Path(__file__).parent / f"{name}.png").write_bytes(draw_it(figure))


def main(arguments: list[str] | None = None) -> int:
    from playwright.sync_api import sync_playwright

    from sellarec_lab import report

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pages", nargs="*", type=Path, metavar="NOTEBOOK", help="by default those that are kept so")
    parser.add_argument("--preset", default=KEPT, help="%(default)s by default; of another the map alone is drawn")
    args = parser.parse_args(arguments)
    chromium = find_chromium()
    if chromium is None:
        sys.exit("No Chromium was found. Install it, for example: apt-get install chromium")
    whole = args.preset == KEPT
    pages = args.pages or [report.notebook_folder() / name for name in (NOTEBOOKS if whole else [MAP])]
    with tempfile.TemporaryDirectory() as folder:
        executed = [report.execute(page, args.preset, Path(folder) / page.name) for page in pages]
    with sync_playwright() as play:  # after the notebooks ran: both want the thread's event loop
        browser = play.chromium.launch(executable_path=chromium, args=FLAGS)
        for page, book in zip(pages, executed, strict=True):
            draw_maps(book, lambda view: draw(browser, view, ALONE), args.preset)
            if whole:
                keep(page, book, lambda view: draw(browser, view))
                print(f"{page}: {page.stat().st_size // 1024} KiB")
        if whole:
            counterfactual(args.preset, lambda view: draw(browser, view, ALONE))
    return 0


if __name__ == "__main__":
    sys.exit(main())
