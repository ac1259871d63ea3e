"""The controls: widgets that call the workbench's methods and show its case. Only what ipywidgets 7.7 and 8 share."""

from __future__ import annotations

import contextlib
import functools
import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import ipywidgets as widgets

from sellarec_lab.prompts import KINDS
from sellarec_lab.views.prompt import small
from sellarec_lab.workbench import render
from sellarec_lab.workbench.case import template_text

_WIDE = {"layout": {"width": "340px"}, "style": {"description_width": "92px"}}
_HALF = {"layout": {"width": "168px"}}
_LONGEST_LIST = 5000  # titles that a box proposes; with more of them a browser becomes slow
NOBODY = "(none)"
_BUTTONS = {"undo": "Undo", "reset": "Reset", "rank": "Rank the catalogue"}
_BUTTONS |= {"html": "Export HTML", "json": "Export JSON"}


class Desk:
    """``widgets`` (name -> widget), ``box`` (all of them laid out); `show` brings them to the workbench's case."""

    def __init__(self, bench):
        self.bench, self.syncing = bench, False
        self.widgets = _widgets(bench)
        self._wire()
        self.box = _layout(self.widgets)

    # ------------------------------------------------------------------------------------------------- callbacks

    def _wire(self) -> None:
        bench, choose = self.bench, self._choose
        changes = {
            "search": bench.search, "users": _if_any(bench.pick), "rows": _if_any(bench.target),
            "target": self._target, "add": _if_any(bench.add), "template": bench.rephrase, "owner": self._own,
            "left": choose, "right": choose, **{kind: functools.partial(self._switch, kind) for kind in KINDS},
        }  # fmt: skip
        for name, callback in changes.items():
            self._observe(self.widgets[name], callback)
        for name in _BUTTONS:
            self.widgets[name].on_click(functools.partial(self._guarded, self._press, name))

    def _observe(self, widget: widgets.Widget, callback: Callable) -> None:
        widget.observe(lambda change: self._guarded(callback, change["new"]), names="value")

    def _guarded(self, callback: Callable, new, *_) -> None:
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

    def _target(self, title: str) -> None:
        known = self.bench.lookup.titled(title)
        if known is not None:
            self.bench.target(known)
        else:
            self.bench.retitle(title or None)

    def _tick(self, place: int, on: bool) -> None:
        (self.bench.add if on else self.bench.drop)(self.bench.roll[place])

    def _switch(self, kind: str, on: bool) -> None:
        (self.bench.switch_on if on else self.bench.switch_off)(kind)

    def _own(self, text: str) -> None:
        """An id of the original data, or else an internal one."""
        user = text.strip()
        internal = user.isdecimal() and user not in self.bench.lookup.external
        self.bench.own(int(user) if internal else user or None)

    def _choose(self, _) -> None:
        names = [self.widgets[side].value for side in ("left", "right")]
        self.bench.choose(*(name for name in names if name != NOBODY))

    def _press(self, name: str) -> None:
        if name in ("undo", "reset", "rank"):
            getattr(self.bench, name)()
        else:
            case = self.bench.case
            user = re.sub(r"[^\w.-]", "_", self.bench.lookup.name(case.user_id))  # what file systems dislike
            what = "free-title" if case.title is not None else f"item-{case.item_id}"
            path = self.bench.export(Path.cwd() / f"case_user-{user}_{what}.{name}")
            self.widgets["status"].value = small(f"written: {path}")

    # ---------------------------------------------------------------------------------------------- what is shown

    @contextlib.contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Say what takes time, while it does."""
        self.widgets["busy"].value = f"<b>⏳ {text}</b>"
        try:
            yield
        finally:
            self.widgets["busy"].value = ""

    def show(self) -> None:
        """Bring every control and the page to the workbench's case; no callback hears it."""
        self.syncing = True
        try:
            self._sync()
        finally:
            self.syncing = False
        if self.bench.error is None:
            self.widgets["error"].value = ""
        self.widgets["panel"].value = self.bench.to_html()

    def _sync(self) -> None:
        bench, case, w = self.bench, self.bench.case, self.widgets
        lead = bench.models[bench.shown[0]]
        liked, name = lead.profiles.liked, bench.lookup.name
        people = [(f"{name(u)} (id {u}) · {len(liked.get(u, ()))} liked", u) for u in bench.found.users]
        _offer(w["users"], people, case.user_id)
        w["found"].value = small(bench.found.note)
        rows = bench.lookup.rated(case.user_id).iloc[::-1]
        rated = [(f"{bench.lookup.titles[r.item_id]} · {r.split} {'✔' if r.label else '✘'}", r.item_id)
                 for r in rows.itertuples()]  # fmt: skip
        _offer(w["rows"], [("choose ...", 0), *rated], 0 if case.title is not None else case.item_id, otherwise=0)
        w["target"].value = case.title if case.title is not None else bench.lookup.titles[case.item_id]
        w["add"].value = ""
        w["owner"].value = "" if case.owner is None else name(case.owner)
        w["template"].value = template_text(case.template or lead.writer.template.pieces)
        used = {kind for name in bench.shown for kind in bench.models[name].recipe.slots}
        for kind in KINDS:
            w[kind].value, w[kind].disabled = kind in used and kind not in case.off, kind not in used
        w["left"].value, w["right"].value = bench.shown[0], bench.shown[1] if len(bench.shown) > 1 else NOBODY
        self._sync_history()

    def _sync_history(self) -> None:
        roll, box = self.bench.roll, self.widgets["history"]
        ticks = list(box.children)
        while len(ticks) < len(roll):
            tick = widgets.Checkbox(indent=False, layout={"width": "320px", "margin": "0 2px"})
            self._observe(tick, functools.partial(self._tick, len(ticks)))
            ticks.append(tick)
        for tick, item in zip(ticks, roll):
            tick.description, tick.value = _plain(self.bench.lookup.titles[item]), item in self.bench.case.history
        for place, tick in enumerate(ticks):
            tick.layout.display = None if place < len(roll) else "none"
        box.children = ticks


def _if_any(do: Callable) -> Callable:
    """For a control that may hold nothing: no user, no row (0), no title."""
    return lambda value: do(value) if value and str(value).strip() else None


def _offer(select, options: list[tuple[str, int]], value: int, otherwise: int | None = None) -> None:
    """Give a list other options only when they changed: a list that is rebuilt loses its place."""
    if list(select.options) != options:
        select.options = options
    select.value = value if value in [v for _, v in options] else otherwise


def _plain(title: str) -> str:
    """ipywidgets 7 reads a description as html."""
    return title.replace("<", "‹").replace(">", "›").replace("&", "＆")


def _widgets(bench) -> dict[str, widgets.Widget]:
    titles = tuple(dict.fromkeys(bench.lookup.titles[1:])) if bench.data.n_items <= _LONGEST_LIST else ()
    lazy = {"continuous_update": False, **_WIDE}
    buttons = {name: widgets.Button(description=text, **_HALF) for name, text in _BUTTONS.items()}
    buttons["rank"].layout.width = "340px"
    return {
        "search": widgets.Text(description="find users", placeholder="id, part of a title, cold, worst", **lazy),
        "users": widgets.Select(description="user", rows=6, **_WIDE),
        "rows": widgets.Dropdown(description="their films", **_WIDE),
        "target": widgets.Combobox(description="target title", options=titles, placeholder="any title", **lazy),
        "history": widgets.VBox(layout={"max_height": "300px", "overflow": "auto"}),
        "add": widgets.Combobox(description="add a title", options=titles, **lazy),
        "template": widgets.Textarea(rows=8, placeholder="template, one field a line", **lazy),
        **{kind: widgets.Checkbox(description=f"{kind} token", indent=False, **_HALF) for kind in KINDS},
        "owner": widgets.Text(description="token owner", placeholder="another user's id", **lazy),
        "left": widgets.Dropdown(description="model", options=list(bench.models), **_WIDE),
        "right": widgets.Dropdown(description="beside it", options=[NOBODY, *bench.models], **_WIDE),
        **buttons,
        **{name: widgets.HTML() for name in ("found", "busy", "error", "status", "panel")},
    }


def _layout(w: dict[str, widgets.Widget]) -> widgets.HBox:
    boxes = [w[kind] for kind in KINDS]
    tokens = [widgets.HBox(boxes[place : place + 2]) for place in range(0, len(boxes), 2)]
    left = [
        w["left"], w["right"], w["search"], w["users"], w["found"], w["rows"], w["target"],
        widgets.Label("History shown (untick a title to drop it):"), w["history"], w["add"],
        widgets.Label("Soft tokens:"), *tokens, w["owner"],
        widgets.Label("Template, one field a line (leave the box to apply):"), w["template"],
        widgets.HBox([w["undo"], w["reset"]]), w["rank"], widgets.HBox([w["html"], w["json"]]), w["status"],
    ]  # fmt: skip
    right = widgets.VBox([w["busy"], w["error"], w["panel"]], layout={"flex": "1 1 auto", "min_width": "0"})
    return widgets.HBox([widgets.VBox(left, layout={"width": "360px", "flex": "0 0 360px"}), right])
