"""The main job: train and score every model, execute the notebooks, and leave one page that opens offline.

Leaves in ``artifacts/<preset>/``: ``results.csv``, ``paired.csv``, ``notebooks/`` (executed) and ``report.html``.
"""

from __future__ import annotations

import html
import time
from pathlib import Path

import nbformat
import pandas as pd
import plotly.graph_objects as go
from nbclient import NotebookClient
from nbconvert.filters import markdown2html
from plotly.offline import get_plotlyjs
from tqdm.auto import tqdm

from sellarec_lab import compare, data, runtime, views
from sellarec_lab.config import Preset

_STYLE = """
body{font:16px/1.55 system-ui,sans-serif;max-width:1080px;margin:2rem auto;padding:0 1rem;color:#1a1a1a}
table{border-collapse:collapse;font-size:14px;margin:1rem 0}td,th{border-bottom:1px solid #ddd;padding:.3rem .7rem;
text-align:right}th:first-child,td:first-child{text-align:left}pre{background:#f6f6f6;padding:.6rem;overflow:auto;
font-size:13px}summary{cursor:pointer;color:#555}section{border-top:3px solid #0072B2;margin-top:3rem}
.anchor-link{display:none}nav a{margin-right:1rem}.scroll{overflow-x:auto}
"""


def run(cfg: Preset, root: str | None = None, seeds: int = 1, notebooks: bool = True) -> pd.DataFrame:
    """Do everything for a preset and return the results table (see `compare.table`).

    Args:
        cfg: the preset.
        root: folder or file of the data, where it does not ship with the lab.
        seeds: how many seeds every model is trained with.
        notebooks: execute the notebooks and build the page as well.
    """
    started = time.perf_counter()
    print(runtime.describe(cfg), flush=True)
    bench = data.load(cfg.dataset, root)
    chosen = compare.models_for(bench)
    pages = sorted(notebook_folder().glob("[0-9][0-9]*.ipynb")) if notebooks else []
    out = runtime.artifacts_folder(cfg.artifacts) / cfg.name
    with tqdm(total=len(chosen) * seeds + len(pages), desc="all", unit="part") as bar:

        def tick(what: str) -> None:
            bar.update()
            bar.set_postfix_str(f"{what} done")

        scored = compare.run(cfg, bench, chosen, seeds, tick)
        results = compare.table(cfg, bench, scored)
        runtime.write_text(out / "results.csv", results.to_csv(index=False, float_format="%.6f"))
        paired = compare.paired_tests(scored)
        runtime.write_text(out / "paired.csv", paired.to_csv(index=False, float_format="%.6f"))
        executed = []
        for page in pages:
            executed.append((page.stem, execute(page, cfg.name, out / "notebooks" / page.name)))
            tick(page.stem)
    if pages:
        runtime.write_text(out / "report.html", _page(results, paired, executed))
    print(compare.summary(results).to_string())
    print(f"\nresults in {cfg.artifacts}/{cfg.name}; {(time.perf_counter() - started) / 60:.1f} minutes")
    return results


def notebook_folder() -> Path:
    """The numbered notebooks of the checkout.

    Raises:
        FileNotFoundError: the lab is installed without its checkout.
    """
    folder = Path(__file__).parent.parent / "notebooks"
    if not folder.is_dir():
        raise FileNotFoundError("the notebooks are part of a checkout; run with --no-notebooks, or clone the project")
    return folder


def execute(page: Path, preset: str, target: Path) -> nbformat.NotebookNode:
    """Run a notebook from top to bottom with another value of its ``PRESET`` and write the executed copy.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; the copy up to it is written.
    """
    book = nbformat.read(page, as_version=4)
    for cell in book.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = f'PRESET = "{preset}"'
    client = NotebookClient(book, timeout=1800, resources={"metadata": {"path": str(page.parent)}})
    cells = [c for c in book.cells if c.cell_type == "code"]
    with tqdm(total=len(cells), desc=page.stem, unit="cell", leave=False) as bar:
        client.on_cell_executed = lambda **_: bar.update()
        try:
            client.execute()
        finally:
            runtime.write_text(target, nbformat.writes(book))
    return book


def _page(results: pd.DataFrame, paired: pd.DataFrame, executed: list[tuple[str, nbformat.NotebookNode]]) -> str:
    """One self-contained page: the table, the figures of every notebook, code folded away."""
    links = "".join(f"<a href='#{name}'>{html.escape(name)}</a>" for name, _ in executed)
    sections = "".join(f"<section id='{name}'>{_body(book)}</section>" for name, book in executed)
    named = results.assign(model=[m if m == "oracle" else compare.TITLES[m] for m in results["model"]])
    forest = views.results_forest(named).to_html(full_html=False, include_plotlyjs=False)
    table = compare.summary(results).to_html(border=0)
    tests = paired.round(4).to_html(border=0, index=False)
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>sellarec_lab report</title>"
        f"<style>{_STYLE}</style>"
        f"<script>{get_plotlyjs()}</script><body><h1>sellarec_lab: results</h1><nav>{links}</nav>"
        f"<div class='scroll'>{table}</div>{forest}<details><summary>paired tests</summary>{tests}</details>"
        f"{sections}</body></html>"
    )


def _body(book: nbformat.NotebookNode) -> str:
    parts = []
    for cell in book.cells:
        if cell.cell_type == "markdown":
            parts.append(markdown2html(cell.source))
        elif cell.cell_type == "code":
            parts.append(f"<details><summary>code</summary><pre>{html.escape(cell.source)}</pre></details>")
            parts += [_output(output) for output in cell.outputs]
    return "".join(parts)


def _output(output: nbformat.NotebookNode) -> str:
    """One output as HTML: figures live, tables as they are, text as text; progress bars are left out."""
    if output.output_type == "stream":
        return "" if output.name == "stderr" else f"<pre>{html.escape(output.text)}</pre>"
    bundle = output.get("data", {})
    if "application/vnd.plotly.v1+json" in bundle:
        bundle = bundle["application/vnd.plotly.v1+json"]
        figure = go.Figure(data=bundle["data"], layout=bundle["layout"])
        return figure.to_html(full_html=False, include_plotlyjs=False)
    if "application/vnd.jupyter.widget-view+json" in bundle:
        return ""
    if "text/html" in bundle:
        return f"<div class='scroll'>{bundle['text/html']}</div>"
    return f"<pre>{html.escape(bundle.get('text/plain', ''))}</pre>"
