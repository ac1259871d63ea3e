"""What every bench shares: controls whose errors are shown, and a page that is there without a kernel too.

Only what ipywidgets 7.7 and 8 share.
"""

from __future__ import annotations

import contextlib
import functools
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import ipywidgets as widgets

from sellarec_lab.views import Html
from sellarec_lab.workbench import render
from sellarec_lab.workbench.lookup import Found, Lookup

WIDE = {"layout": {"width": "340px"}, "style": {"description_width": "92px"}}
HALF = {"layout": {"width": "168px"}}
LAZY = {"continuous_update": False, **WIDE}
_LONGEST_LIST = 5000  # titles that a box proposes; with more of them a browser becomes slow


class Panel:
    """``widgets`` (name -> widget, with "busy", "error" and "panel"); `show` brings them to what the bench holds."""

    box: widgets.Widget

    def __init__(self, bench, made: dict[str, widgets.Widget]):
        self.bench, self.widgets, self.syncing = bench, made, False

    def observe(self, widget: widgets.Widget, callback: Callable) -> None:
        """Call back with each new value, once a person has set it."""
        widget.observe(lambda change: self.guarded(callback, change["new"]), names="value")

    def guarded(self, callback: Callable, new, *_) -> None:
        """A widget swallows what its callback raises: catch it, show it in the panel, and keep the last good case."""
        if self.syncing:
            return
        try:
            callback(new)
        except Exception as error:
            self.bench.error = error
            self.show()
            self.widgets["error"].value = render.error(error, traceback.format_exc())
        else:
            self.bench.error, self.widgets["error"].value = None, ""

    @contextlib.contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Say what takes time, while it does."""
        self.widgets["busy"].value = f"<b>⏳ {text}</b>"
        try:
            yield
        finally:
            self.widgets["busy"].value = ""

    def show(self) -> None:
        """Bring every control and the page to what the bench holds; no callback hears it."""
        self.syncing = True
        try:
            self.sync()
        finally:
            self.syncing = False
        if self.bench.error is None:
            self.widgets["error"].value = ""
        self.widgets["panel"].value = self.bench.to_html()

    def sync(self) -> None:
        """Bring the controls alone."""
        raise NotImplementedError

    def tick_boxes(self, roll: Sequence[int], kept: Collection[int], tick: Callable[[int, bool], None]) -> None:
        """A box for each item of the roll, ticked where it is kept; ``tick(place, on)`` hears what a person does."""
        box, titles = self.widgets["history"], self.bench.lookup.titles
        boxes = list(box.children)
        while len(boxes) < len(roll):
            made = widgets.Checkbox(indent=False, layout={"width": "320px", "margin": "0 2px"})
            self.observe(made, functools.partial(tick, len(boxes)))
            boxes.append(made)
        for made, item in zip(boxes, roll):
            made.description, made.value = _plain(titles[item]), item in kept
        for place, made in enumerate(boxes):
            made.layout.display = None if place < len(roll) else "none"
        box.children = boxes


class Page:
    """A bench on screen: its ``to_html`` is the page, its ``_desk`` the panel of its widgets."""

    lookup: Lookup
    found: Found
    _desk: Panel

    def search(self, text: str) -> Found:
        """List users; see `Lookup.search`."""
        self.found = self.lookup.search(text)
        self._desk.show()
        return self.found

    def to_html(self) -> str:
        """The page as a fragment of html."""
        raise NotImplementedError

    def snapshot(self) -> Html:
        """The page as it stands now, as a static view."""
        return Html(self.to_html())

    def _repr_html_(self) -> str:
        return self.to_html()

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        """The widgets where there is a kernel; beside them the static page, for where there is none."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self._desk.box.model_id}
        known = {"text/plain": repr(self), "text/html": self.to_html()}
        return known | {"application/vnd.jupyter.widget-view+json": view}


def if_any(do: Callable) -> Callable:
    """For a control that may hold nothing: no user, no row (0), no title."""
    return lambda value: do(value) if value and str(value).strip() else None


def offer(select, options: list[tuple[str, int]], value: int, otherwise: int | None = None) -> None:
    """Give a list other options only when they changed: a list that is rebuilt loses its place."""
    if list(select.options) != options:
        select.options = options
    select.value = value if value in [v for _, v in options] else otherwise


def people(bench, liked: Mapping[int, list[int]]) -> list[tuple[str, int]]:
    """The users that a search found, as a list offers them."""
    name = bench.lookup.name
    return [(f"{name(u)} (id {u}) · {len(liked.get(u, ()))} liked", u) for u in bench.found.users]


def proposed(bench) -> tuple[str, ...]:
    """The titles that a box proposes."""
    return tuple(dict.fromkeys(bench.lookup.titles[1:])) if bench.data.n_items <= _LONGEST_LIST else ()


def side_by_side(left: Sequence[widgets.Widget], w: dict[str, widgets.Widget]) -> widgets.HBox:
    """Controls on the left, and what they show on the right."""
    right = widgets.VBox([w["busy"], w["error"], w["panel"]], layout={"flex": "1 1 auto", "min_width": "0"})
    return widgets.HBox([widgets.VBox(left, layout={"width": "360px", "flex": "0 0 360px"}), right])


def _plain(title: str) -> str:
    """ipywidgets 7 reads a description as html."""
    return title.replace("<", "‹").replace(">", "›").replace("&", "＆")
