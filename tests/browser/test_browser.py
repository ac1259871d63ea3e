"""Two notebooks as a reader meets them: in JupyterLab, with mouse and keyboard. Screenshots: artifacts/browser/."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from desk_says import step

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "artifacts" / "browser"
_SEARCH = "id, part of a title, cold, worst"


def _shoot(place, name: str) -> None:
    place.screenshot(path=SHOTS / f"{name}.png")


def _desk(page):
    """The workbench: controls at the left, the panel at the right."""
    desk = page.locator(f".jp-OutputArea-output:has(input[placeholder='{_SEARCH}'])").first
    desk.scroll_into_view_if_needed()
    return desk


def _scores(desk) -> list[str]:
    return re.findall(r"score ([+−-]\d+\.\d+) =", desk.inner_text())


def _pick(desk) -> None:
    """The first of those who like a film with "night" in its title; by the search box."""
    desk.get_by_placeholder(_SEARCH).fill("night")
    desk.get_by_placeholder(_SEARCH).press("Enter")
    desk.get_by_text(re.compile("users like")).wait_for()
    people = desk.locator(".widget-select select")
    people.select_option(index=0)
    name = people.locator("option").first.inner_text().split()[0]
    step(desk, f"picked user {re.escape(name)}")


def test_workbench_with_the_mouse(run_notebook, preset):
    page = run_notebook("11_workbench.ipynb")
    desk = _desk(page)
    _pick(desk)
    before = _scores(desk)
    _shoot(desk, "workbench")
    desk.locator(".widget-checkbox input:enabled:visible").first.uncheck()
    step(desk, "dropped:")
    dropped = _scores(desk)
    assert len(before) == len(dropped) == 2 and dropped != before
    _shoot(desk, "workbench_dropped")
    desk.get_by_role("button", name="Undo").click()
    step(desk, "undone: dropped")
    assert _scores(desk) == before
    for kind in ("HTML", "JSON"):
        desk.get_by_role("button", name=f"Export {kind}").click()
        written = desk.get_by_text(re.compile(rf"written: .*\.{kind.lower()}"))
        written.wait_for()
        path = Path(written.inner_text().removeprefix("written: "))
        assert path.parent == ROOT / "artifacts" / preset / "cases"
        text = path.read_text(encoding="utf-8")
        assert "<script" not in text
    kept = json.loads(text)
    assert {f"{model['score']:+.3f}" for model in kept["models"].values()} == set(before)
    _keyboard(page, desk, before)
    page.set_viewport_size({"width": 1280, "height": 800})
    desk.scroll_into_view_if_needed()
    _shoot(page, "workbench_small_window")


def _keyboard(page, desk, before: list[str]) -> None:
    """Tab reaches the next control, Space ticks and presses."""
    desk.get_by_placeholder(_SEARCH).focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "SELECT"
    tick = desk.locator(".widget-checkbox input:enabled:visible").first
    for _ in range(12):
        page.keyboard.press("Tab")
        if tick.evaluate("tick => tick === document.activeElement"):
            break
    page.keyboard.press("Space")
    step(desk, "dropped:")
    assert _scores(desk) != before
    desk.get_by_role("button", name="Undo").focus()
    _shoot(desk, "workbench_keyboard")
    page.keyboard.press("Space")
    step(desk, "undone: dropped")
    assert _scores(desk) == before


def test_alignment_map_with_its_slider(run_notebook):
    page = run_notebook("05_alignment.ipynb")
    walk = page.locator(".js-plotly-plot:has(.slider-group)")
    assert walk.count() == 2  # by principal components, and by UMAP in the larger presets
    for figure, name in ((walk.first, "alignment"), (walk.last, "alignment_last")):
        figure.scroll_into_view_if_needed()
        assert figure.locator(".scatterlayer .trace").first.is_visible()
        _shoot(figure, f"{name}_end")
        rail = figure.locator(".slider-rail-touch-rect")
        rail.click(position={"x": 4, "y": 4}, force=True)
        figure.locator(".slider-group text", has_text="training step: before").wait_for()
        page.wait_for_timeout(800)  # the points move for a moment
        _shoot(figure, f"{name}_start")
    _ask_the_map(page)


def _ask_the_map(page) -> None:
    """Find a title, play, draw a lasso, and keep the keys: `d d` would delete the cell, `b` insert one."""
    walk = page.locator(".sellarec-walk")
    walk.scroll_into_view_if_needed()
    cells = page.locator(".jp-Cell").count()
    title = walk.locator("datalist option").nth(4).get_attribute("value")
    walk.get_by_placeholder("find a title").fill(title)
    walk.get_by_placeholder("find a title").press("Enter")
    walk.get_by_role("heading", name=title).wait_for()
    assert "kept" in walk.locator(".side tr.now").inner_text()
    _shoot(walk, "map_found")
    walk.get_by_role("slider").focus()
    page.keyboard.press("Home")
    walk.get_by_text("training step: before").wait_for()
    _shoot(walk, "map_before")
    walk.get_by_role("button", name="play").click()
    walk.get_by_role("button", name="pause").wait_for()
    walk.get_by_role("button", name="play").wait_for(timeout=60_000)
    walk.get_by_text(re.compile(r"training step: \d+, kept")).wait_for()
    canvas = walk.locator("canvas")
    canvas.scroll_into_view_if_needed()
    canvas.focus()
    for key in "ddb+-0":
        page.keyboard.press(key)
    assert page.locator(".jp-Cell").count() == cells
    box = canvas.bounding_box()
    page.keyboard.down("Shift")
    page.mouse.move(box["x"] + 4, box["y"] + 4)
    page.mouse.down()
    for x, y in ((0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.01)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.mouse.up()
    page.keyboard.up("Shift")
    walk.get_by_text(re.compile(r"^\d+ titles in the lasso")).wait_for()
    assert walk.locator(".table tbody tr").count() == walk.locator("datalist option").count()
    _shoot(walk, "map_lasso")


def test_generation_with_the_mouse(run_notebook):
    page = run_notebook("09_lc_rec.ipynb")
    desk = page.locator(".jp-OutputArea-output:has(button:has-text('One step'))").first
    desk.scroll_into_view_if_needed()
    desk.get_by_text(re.compile("1 of [23] tokens")).wait_for()
    desk.get_by_role("button", name="To the end").click()
    desk.get_by_text(re.compile("([23]) of \\1 tokens")).wait_for()
    page.set_viewport_size({"width": 1400, "height": 1300})
    desk.scroll_into_view_if_needed()
    _shoot(desk, "generation")
    desk.locator(".widget-checkbox input:enabled:visible").first.uncheck()
    desk.get_by_text("the history was edited").wait_for()
    desk.get_by_text("nothing is written yet").wait_for()
    desk.get_by_role("button", name="One step").click()
    desk.get_by_text(re.compile("1 of [23] tokens")).wait_for()
    wish = desk.locator("input[type=text]:visible").last
    wish.fill("dark crime")
    desk.get_by_text(re.compile("dark crime")).first.wait_for()
    _shoot(desk, "generation_edited")
    desk.get_by_role("button", name="Own history").click()
    desk.get_by_text("the history was edited").wait_for(state="detached")
