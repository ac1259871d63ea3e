"""What git holds of the notebooks: small cells, and outputs only where a code host shall show them. Before a release
some run with a real model's preset: ``SELLAREC_PRESET=smollm2 pytest tests/test_notebooks.py -k environment``."""

import json
import os
import statistics
from pathlib import Path

import nbformat
import pictures
import plotly.graph_objects as go
import pytest

from sellarec_lab import report, views

OTHER = os.environ.get("SELLAREC_PRESET", "")
PAGES = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def code(page: Path) -> list[dict]:
    return [cell for cell in json.loads(page.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_cells_are_small_and_outputs_are_stripped_or_pictures(page):
    lengths = [len("".join(cell["source"]).splitlines()) for cell in code(page)]
    assert max(lengths) <= 15 and statistics.median(lengths) < 8
    assert "widgets" not in json.loads(page.read_text(encoding="utf-8"))["metadata"]
    outputs = [output for cell in code(page) for output in cell["outputs"]]
    assert page.name in pictures.NOTEBOOKS or not outputs
    for output in outputs:
        assert output.get("name", "stdout") == "stdout"
        assert set(output.get("data", {})) <= {"text/plain", "text/html", "image/png"}
        assert len(output.get("data", {}).get("image/png", "")) < 1.5 * pictures.MOST  # base64 takes a third more


@pytest.mark.skipif(not OTHER, reason="SELLAREC_PRESET names no preset to run notebooks with; smollm2 takes hours")
@pytest.mark.parametrize("number", ["03", "04", "05", "06", "07", "11"])
def test_a_notebook_runs_with_the_preset_that_the_environment_names(number, tmp_path):
    (page,) = (page for page in PAGES if page.name.startswith(number))
    ran = report.execute(page, OTHER, tmp_path / page.name)
    assert ran.cells[-1].cell_type == "markdown" and any(OTHER in cell.source for cell in ran.cells)


def out(**data) -> nbformat.NotebookNode:
    return nbformat.v4.new_output("display_data", data={kind.replace("_", "/", 1): v for kind, v in data.items()})


def test_only_what_a_code_host_can_show_is_kept(tmp_path):
    figure = go.Figure(layout={"title": {"text": "<b>Bars</b><br>of &lt;Item_ID&gt;"}})
    prompt = f"{views.prompt.FRAME}a prompt</div>"
    ran = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("other", execution_count=3)])
    ran.cells[0].outputs = [
        nbformat.v4.new_output("stream", name="stderr", text="50%"), nbformat.v4.new_output("stream", text="said"),
        nbformat.v4.new_output("display_data", data={pictures.WIDGET: {"model_id": "x"}, "text/plain": "Bar()"}),
        nbformat.v4.new_output("display_data", data={pictures.PLOTLY: figure.to_plotly_json(), "text/html": "<p>x"}),
        out(text_html=prompt, text_plain="Html(...)"), out(text_html="<table><td>1</table>", text_plain="1"),
    ]  # fmt: skip
    page = tmp_path / "00.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("own")], metadata={"widgets": {}}), page)
    drawn = []
    pictures.keep(page, ran, lambda view: drawn.append(view) or b"png")
    book = nbformat.read(page, as_version=4)
    assert book.cells[0].source == "own" and book.cells[0].execution_count == 3 and "widgets" not in book.metadata
    assert isinstance(drawn[0], go.Figure) and str(drawn[1]) == prompt
    stream, *shown = book.cells[0].outputs
    assert stream.text == "said"
    assert [dict(output.data) for output in shown] == [
        {"image/png": "cG5n", "text/plain": "Bars of <Item_ID>"}, {"image/png": "cG5n", "text/plain": "a prompt"},
        {"text/html": "<table><td>1</table>", "text/plain": "1"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    "preset, files", [("tiny", ["alignment.png", "alignment_before.png"]), ("smollm2", ["alignment_smollm2.png"])]
)
def test_of_another_preset_the_map_is_drawn_at_its_end_alone(preset, files, tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "__file__", str(tmp_path / "pictures.py"))
    monkeypatch.setattr(pictures, "walk_of", lambda book: {"alignment_before": "before", "alignment": "end"})
    pictures.draw_maps(None, str.encode, preset)
    assert sorted(file.name for file in tmp_path.iterdir()) == files
    assert (tmp_path / files[0]).read_bytes() == b"end"
