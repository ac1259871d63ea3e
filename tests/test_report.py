import nbformat
import pandas as pd
import plotly.graph_objects as go
import pytest
from nbclient.exceptions import CellExecutionError

from sellarec_lab import report

_WIDGET = "application/vnd.jupyter.widget-view+json"


def book(*sources: str) -> nbformat.NotebookNode:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[0].metadata["tags"] = ["parameters"]
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "x"}})


def test_a_notebook_runs_with_another_preset(tmp_path):
    nbformat.write(book('PRESET = "tiny"', "print(PRESET)"), tmp_path / "00.ipynb")
    done = report.execute(tmp_path / "00.ipynb", "fast", tmp_path / "out" / "00.ipynb")
    assert done.cells[1].outputs[0].text == "fast\n"
    assert (tmp_path / "out" / "00.ipynb").is_file()


def test_a_failing_notebook_raises_and_leaves_its_copy(tmp_path):
    nbformat.write(book('PRESET = "tiny"', "1 / 0"), tmp_path / "00.ipynb")
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        report.execute(tmp_path / "00.ipynb", "fast", tmp_path / "copy.ipynb")
    assert "ZeroDivisionError" in (tmp_path / "copy.ipynb").read_text()


def test_the_page_needs_no_network():
    page = book("x")
    figure = go.Figure(go.Scatter(x=[1, 2], y=[3, 4]))
    bundle = {"application/vnd.plotly.v1+json": figure.to_plotly_json()}
    page.cells[0].outputs = [
        nbformat.v4.new_output("display_data", data=bundle),
        nbformat.v4.new_output("display_data", data={_WIDGET: {"model_id": "x"}, "text/html": "<p>static form</p>"}),
        nbformat.v4.new_output("display_data", data={_WIDGET: {"model_id": "y"}, "text/plain": "Dropdown()"}),
        nbformat.v4.new_output("stream", name="stdout", text="<b>not html</b>"),
        nbformat.v4.new_output("stream", name="stderr", text="a progress bar"),
    ]
    rows = [(m, "test", "auc", v, v - 0.1, v + 0.1, 1, 1.0) for m, v in (("oracle", 0.9), ("mf", 0.7))]
    columns = ["model", "split", "metric", "value", "low", "high", "seeds", "seconds"]
    html = report._page(pd.DataFrame(rows, columns=columns), pd.DataFrame({"model": ["mf"]}), [("00", page)])
    assert 'src="http' not in html and "<link" not in html
    assert html.count("Plotly.newPlot(") >= 2
    assert "&lt;b&gt;not html" in html and "a progress bar" not in html
    assert "<p>static form</p>" in html and "Dropdown()" not in html
    assert "50%" in html  # the share of the oracle's gap
