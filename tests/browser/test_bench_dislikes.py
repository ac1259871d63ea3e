"""A bench beside a rating-aware model, in JupyterLab: a liked title becomes a disliked one by the mouse, and back."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from desk_says import chances, step

pytestmark = pytest.mark.browser
SHOTS = Path(__file__).parents[2] / "artifacts" / "browser"
_CELLS = (
    "import sellarec_lab as lab",
    "cfg = lab.preset({preset!r})\ndata = lab.data.load(cfg.dataset)",
    'told = lab.sella.train(cfg, data, "tallrec-disliked")\ntext = lab.sella.train(cfg, data, "tallrec")',
    'lab.workbench.open({{"told": told, "text": text}}, data, cfg)',
)


@pytest.fixture(scope="module")
def desk(folder, preset, run_notebook):
    """The bench of a notebook that asks the model which is told of dislikes, and one which is not."""
    cells = [nbformat.v4.new_code_cell(text.format(preset=preset)) for text in _CELLS]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}  # else JupyterLab asks for one
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "dislikes.ipynb")
    desk = run_notebook("dislikes.ipynb", width=1400, height=1000).locator(".sellarec-bench").first
    desk.evaluate("desk => desk.scrollIntoView({block: 'end'})")
    return desk


def test_a_liked_title_is_turned_and_turned_back(desk):
    chosen = desk.locator(".widget-dropdown:has-text('move') select")
    title = chosen.locator("option").first.inner_text()
    turn = desk.get_by_role("button", name="Liked ⇄ disliked")
    before = chances(desk)
    chosen.select_option(index=0)
    turn.click()
    step(desk, "now disliked:")
    turned = chances(desk)
    assert turned[0] != before[0] and turned[1] != before[1]  # for the other one a like is gone
    assert chosen.locator("option:checked").inner_text().split() == ["✘", *title.split()]
    desk.page.screenshot(path=SHOTS / "bench_turned.png")
    turn.click()
    step(desk, "now liked:")
    assert chosen.locator("option:checked").inner_text().split() == title.split()
    for _ in range(2):
        desk.get_by_role("button", name="Undo").click()
    step(desk, "undone: now disliked")
    assert chances(desk) == before
