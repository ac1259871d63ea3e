"""The workbench in JupyterLab at the width of a projector, the list of files open: keys, steps, models, titles."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from desk_says import chances, step

pytestmark = pytest.mark.browser
SHOTS = Path(__file__).parents[2] / "artifacts" / "browser"
_TEMPLATE = "textarea[placeholder^='template']"


@pytest.fixture(scope="module")
def page(run_notebook):
    """Notebook 11, run, in a window of 1400 pixels."""
    page = run_notebook("11_workbench.ipynb", files=True, width=1400, height=900)
    page.locator(".sellarec-bench[data-lm-suppress-shortcuts]").first.wait_for(state="attached")
    return page


@pytest.fixture
def desk(page):
    """The first bench of the notebook, as it was opened: all edits of its person taken back."""
    desk = page.locator(".sellarec-bench").first
    desk.scroll_into_view_if_needed()
    desk.get_by_role("button", name="Reset").click()
    step(desk, "reset")
    desk.evaluate("desk => desk.scrollIntoView({block: 'end'})")
    return desk


def _cells(page) -> int:
    return page.locator(".jp-Notebook .jp-Cell").count()


def _tick(desk):
    return desk.locator(".widget-checkbox input:enabled:visible").first


def test_shortcuts_of_jupyterlab_never_fire_inside(page, desk):
    cells, marked = _cells(page), page.locator(".jp-Cell.jp-mod-active").count()
    users = desk.locator(".widget-select select")
    places = {
        "a tick": lambda: _tick(desk).focus(), "a button": lambda: desk.get_by_role("button", name="Undo").focus(),
        "the list": users.focus, "the page beside": lambda: desk.get_by_text("what each part was worth").click(),
    }  # fmt: skip
    for focus in places.values():
        focus()
        for key in ("d", "d", "b", "a", "x", "m", "y", "c", "v", "Shift+m", "0", "0", "Control+b"):
            page.keyboard.press(key)
        assert _cells(page) == cells and page.locator(".jp-Cell.jp-mod-active").count() == marked
        assert page.locator(".jp-Dialog").count() == 0
        assert page.locator("#jp-left-stack").is_visible()  # Control+b would have shut the list of files
        assert page.evaluate("document.activeElement.closest('.sellarec-bench') !== null")


def test_arrows_move_in_the_list_and_stay_there(page, desk):
    users = desk.locator(".widget-select select")
    users.select_option(index=0)
    users.focus()
    first = users.input_value()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    step(desk, "picked user")
    assert users.input_value() != first
    assert users.evaluate("list => list === document.activeElement")


def test_outside_the_bench_shortcuts_are_as_they_were(page, desk):
    cells = _cells(page)
    page.locator(".jp-Notebook .jp-MarkdownCell .jp-InputPrompt").first.click()
    page.keyboard.press("b")
    assert _cells(page) == cells + 1
    page.keyboard.press("d")
    page.keyboard.press("d")
    page.wait_for_function(f"document.querySelectorAll('.jp-Notebook .jp-Cell').length === {cells}")


def test_a_rejected_template_keeps_its_text_beside_its_error(page, desk):
    box = desk.locator(_TEMPLATE)
    own = box.input_value()
    box.fill("Offer: {titel}?")
    box.press("Tab")
    error = desk.get_by_text("Nothing was changed")
    error.wait_for()
    assert "unknown field {titel}" in error.inner_text() and error.count() == 1
    assert box.input_value() == "Offer: {titel}?"
    below = error.bounding_box()["y"] - (box.bounding_box()["y"] + box.bounding_box()["height"])
    assert 0 <= below < 30
    page.screenshot(path=SHOTS / "bench_rejected_template.png")
    box.fill("Offer: {title}?")
    box.press("Tab")
    step(desk, "rephrased")
    error.wait_for(state="detached")
    desk.get_by_role("button", name="Reset").click()
    step(desk, "reset")
    assert box.input_value() == own


def test_two_models_stand_side_by_side_and_their_answers_stay_in_sight(page, desk):
    assert page.locator("#jp-left-stack").is_visible()
    strip = desk.get_by_text(re.compile(r"P\(Yes\) = "))
    left, right = (strip.nth(i).bounding_box() for i in (0, 1))
    assert abs(left["y"] - right["y"]) < 2 and right["x"] > left["x"] + 200
    prompts = desk.get_by_text("what the model got")
    a, b = (prompts.nth(i).bounding_box() for i in (0, 1))
    assert abs(a["y"] - b["y"]) < 2 and b["x"] > a["x"] + 200
    page.screenshot(path=SHOTS / "bench_1400.png")
    desk.locator(_TEMPLATE).scroll_into_view_if_needed()
    for i in (0, 1):
        box = strip.nth(i).bounding_box()
        assert 0 < box["y"] < 900 and box["x"] + box["width"] < 1400
    page.screenshot(path=SHOTS / "bench_1400_editing.png")


def test_models_are_swapped_and_steps_undone_and_redone(page, desk):
    before = chances(desk)
    _tick(desk).uncheck()
    step(desk, "dropped:")
    dropped = chances(desk)
    assert len(before) == 2 and dropped != before
    desk.get_by_role("button", name="Undo").click()
    step(desk, "undone: dropped")
    assert chances(desk) == before
    desk.get_by_role("button", name="Redo").click()
    step(desk, "redone: dropped")
    assert chances(desk) == dropped
    desk.get_by_role("button", name="Pin").click()
    desk.get_by_role("button", name="Swap models").click()
    page.wait_for_function("text => document.querySelector('.sellarec-bench').innerText.includes(text)", arg="(pinned)")
    desk.get_by_role("button", name="Undo").click()
    step(desk, "undone: dropped")
    assert chances(desk) == before[::-1]
    desk.get_by_text("(pinned)").first.wait_for()
    page.screenshot(path=SHOTS / "bench_pinned.png")
    desk.get_by_role("button", name="Swap models").click()
    desk.get_by_role("button", name="Redo").click()
    step(desk, "redone: dropped")
    desk.get_by_role("button", name="Unpin").click()


def test_a_title_that_nearly_exists_is_offered(page, desk):
    target = desk.get_by_placeholder("any title").first
    own = target.input_value()
    target.fill(f"{own[:-2]}{own[-1]}{own[-2]}")
    target.press("Tab")
    step(desk, "retitled:")
    page.screenshot(path=SHOTS / "bench_did_you_mean.png")
    offered = desk.get_by_role("button", name=own, exact=True).locator("visible=true")
    item = desk.locator("label:has-text('item token') input")
    assert item.is_disabled() and not item.is_checked()
    offered.click()
    step(desk, "target:")
    assert target.input_value() == own and item.is_enabled() and offered.count() == 0


def test_details_and_fifty_users_on_demand(page, desk):
    _tick(desk).uncheck()
    step(desk, "dropped:")
    for name in ("token ids", "logits", "attention"):
        desk.locator(f"label:has-text('{name}') input").check()
    desk.get_by_text("attention of the place that answers").wait_for()
    desk.get_by_role("button", name="Do it to 50 users").click()
    done = desk.get_by_text(re.compile(r"^done to \d+ of 50 users: dropped"))
    done.wait_for()
    desk.get_by_text("attention of the place that answers").scroll_into_view_if_needed()
    page.screenshot(path=SHOTS / "bench_on_demand.png")
    done.evaluate("line => line.scrollIntoView({block: 'center'})")
    page.screenshot(path=SHOTS / "bench_fifty.png")
    for name in ("token ids", "logits", "attention"):
        desk.locator(f"label:has-text('{name}') input").uncheck()
