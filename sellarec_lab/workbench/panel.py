"""What every bench shares: controls whose errors are shown, and a page that is there without a kernel too.

Only what ipywidgets 7.7 and 8 share.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import ipywidgets as widgets

from sellarec_lab.views import Html
from sellarec_lab.workbench import render
from sellarec_lab.workbench.guard import enclosed
from sellarec_lab.workbench.lookup import Found, Lookup

COLUMN = 330  # pixels of the column of controls
WIDE = {"layout": {"width": f"{COLUMN - 30}px"}, "style": {"description_width": "86px"}}
HALF = {"layout": {"width": f"{COLUMN // 2 - 17}px"}}
LAZY = {"continuous_update": False, **WIDE}
_LONGEST_LIST = 5000  # titles that a box proposes; with more of them a browser becomes slow


class Panel:
    """``widgets`` (name -> widget, with "busy", "error" and "panel"); `show` brings them to what the bench holds.

    A text that the bench refuses stays in its box, with the error in the widget ``NAME_says`` beside it, until another
    one is taken or what the box stands for is another.
    """

    box: widgets.Widget

    def __init__(self, bench, made: dict[str, widgets.Widget]):
        self.bench, self.widgets, self.syncing = bench, made, False
        self._stands: dict[str, str] = {}  # box -> the text that stands for what the bench holds
        self._refused: dict[str, str] = {}  # box -> why its text was not taken, as html

    def observe(self, name: str, callback: Callable) -> None:
        """Call back with each new value of a control, once a person has set it."""
        self.widgets[name].observe(lambda change: self.guarded(callback, change["new"], box=name), names="value")

    def guarded(self, callback: Callable, new, *_, box: str = "") -> None:
        """A widget swallows what its callback raises: catch it, show it beside the box or in the panel, and keep the
        last good case."""
        if self.syncing:
            return
        self._refused.pop(box, None)
        try:
            callback(new)
        except Exception as error:
            self.bench.error = error
            self._tell(box, render.error(error, traceback.format_exc()))
        else:
            self.bench.error = None
            self._say("")

    def _tell(self, box: str, message: str) -> None:
        beside = f"{box}_says" in self.widgets
        if beside:
            self._refused[box] = message
        self.show()
        self._say("" if beside else message)

    def _say(self, message: str) -> None:
        """An error that belongs to no box, and those that do."""
        self.widgets["error"].value = message
        for name in [name for name in self.widgets if name.endswith("_says")]:
            self.widgets[name].value = self._refused.get(name.removesuffix("_says"), "")

    def put(self, name: str, text: str) -> None:
        """Bring a text box to what the bench holds; a refused text goes once that is another."""
        if self._stands.get(name, text) != text:
            self._refused.pop(name, None)
        self._stands[name] = text
        if name not in self._refused:
            self.widgets[name].value = text

    def forget(self) -> None:
        """Let go of the texts that were refused."""
        self._refused.clear()

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
        self._say("" if self.bench.error is None else self.widgets["error"].value)
        self.draw()

    def draw(self) -> None:
        """Bring the page alone."""
        self.widgets["panel"].value = self.bench.to_html()

    def sync(self) -> None:
        """Bring the controls alone."""
        raise NotImplementedError

    def tick_boxes(
        self, name: str, roll: Sequence[int | str], kept: Collection[int | str], tick: Callable[[int, bool], None]
    ) -> None:
        """A box for each title of the roll, ticked where it is kept; ``tick(place, on)`` hears what a person does."""
        box, called = self.widgets[name], self.bench.lookup.called
        boxes = list(box.children)
        while len(boxes) < len(roll):
            made = widgets.Checkbox(indent=False, layout={"width": f"{COLUMN - 50}px", "margin": "0 2px"})
            heard = functools.partial(tick, len(boxes))
            made.observe(lambda change, heard=heard: self.guarded(heard, change["new"]), names="value")
            boxes.append(made)
        for made, item in zip(boxes, roll):
            made.description, made.value = _plain(called(item)), item in kept
        for place, made in enumerate(boxes):
            made.layout.display = None if place < len(roll) else "none"
        box.children = boxes

    def propose(self, name: str, items: Sequence[int]) -> None:
        """Show the buttons below a box that offer these items, or none; see `meant`."""
        ask, *buttons = self.widgets[f"{name}_meant"].children
        ask.layout.display = None if items else "none"
        for button, item in itertools.zip_longest(buttons, items):
            button.layout.display = None if item else "none"
            button.description = _plain(self.bench.lookup.titles[item]) if item else ""


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


def says() -> widgets.HTML:
    """Where the error of a box stands, below it."""
    return widgets.HTML(layout={"width": f"{COLUMN - 30}px"})


def meant(most: int = 3) -> widgets.VBox:
    """Buttons for the titles that may have been meant, below the box; hidden."""
    hidden = {"width": f"{COLUMN - 30}px", "display": "none"}
    buttons = [widgets.Button(layout=hidden) for _ in range(most)]
    return widgets.VBox([widgets.Label("Did you mean", layout={"display": "none"}), *buttons])


def side_by_side(
    left: Sequence[widgets.Widget],
    right: Sequence[widgets.Widget],
    above: Sequence[widgets.Widget] = (),
    high: str = "",
) -> widgets.VBox:
    """Controls on the left, and what they show on the right; with a height both scroll, and what is ``above`` stays."""
    controls = _pane(left, {"flex": f"0 0 {COLUMN}px", "width": f"{COLUMN}px"}, high)
    page = _pane(right, {"flex": "1 1 0%", "min_width": "0"}, high)
    return enclosed([*above, widgets.HBox([controls, page])])


def _pane(parts: Sequence[widgets.Widget], layout: dict[str, str], high: str) -> widgets.VBox:
    """Parts below each other, each as high as it is: in a box with a height they'd shrink, so they have their own."""
    if not high:
        return widgets.VBox(parts, layout=layout)
    whole = widgets.VBox(parts, layout={"flex": "0 0 auto"})
    return widgets.VBox([whole], layout=layout | {"height": high, "overflow": "auto"})


def _plain(title: str) -> str:
    """ipywidgets 7 reads a description as html."""
    return title.replace("<", "‹").replace(">", "›").replace("&", "＆")
