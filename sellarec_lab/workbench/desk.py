"""The controls: widgets that call the workbench's methods and show its case. Only what ipywidgets 7.7 and 8 share."""

from __future__ import annotations

import contextlib
import functools
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import ipywidgets as widgets

from sellarec_lab.prompts import KINDS
from sellarec_lab.views.prompt import small
from sellarec_lab.workbench import files, render
from sellarec_lab.workbench.case import template_text

_WIDE = {"layout": {"width": "340px"}, "style": {"description_width": "92px"}}
_HALF = {"layout": {"width": "168px"}}
_LONGEST_LIST = 5000  # titles that a box proposes; with more of them a browser becomes slow
NOBODY = "(none)"


def guarded(callback: Callable) -> Callable:
    """A widget swallows what its callback raises: catch it, show it in the panel, and keep the last good case."""

    @functools.wraps(callback)
    def run(desk: Desk, *args) -> None:
        if desk.syncing:
            return
        try:
            callback(desk, *args)
        except Exception as error:
            desk.fail(error)

    return run


class Desk:
    """``widgets`` (name -> widget), ``box`` (all of them laid out); `show` brings them to the workbench's case."""

    def __init__(self, bench):
        self.bench, self.syncing = bench, False
        self.widgets = {**_inputs(bench), **_buttons(), **_outputs()}
        self._wire()
        self.box = _layout(self.widgets)

    # ------------------------------------------------------------------------------------------------- callbacks

    def _wire(self) -> None:
        for name, callback in {
            "search": self._search, "users": self._pick, "rows": self._row, "target": self._target, "add": self._add,
            "template": self._rephrase, "owner": self._own, "left": self._choose, "right": self._choose,
        }.items():  # fmt: skip
            self.widgets[name].observe(callback, names="value")
        for kind in KINDS:
            self.widgets[kind].observe(functools.partial(self._switch, kind), names="value")
        for name in ("undo", "reset", "rank", "html", "json"):
            self.widgets[name].on_click(functools.partial(self._press, name))

    @guarded
    def _search(self, change) -> None:
        self.bench.search(change["new"])
        self._clear()

    @guarded
    def _pick(self, change) -> None:
        if change["new"] is not None:
            self.bench.pick(int(change["new"]))

    @guarded
    def _row(self, change) -> None:
        if change["new"]:
            self.bench.target(int(change["new"]))

    @guarded
    def _target(self, change) -> None:
        known = self.bench.lookup.titled(change["new"])
        if known is not None:
            self.bench.target(known)
        else:
            self.bench.retitle(change["new"] or None)

    @guarded
    def _tick(self, place: int, change) -> None:
        (self.bench.add if change["new"] else self.bench.drop)(self.bench.roll[place])

    @guarded
    def _add(self, change) -> None:
        if change["new"].strip():
            self.bench.add(change["new"])

    @guarded
    def _rephrase(self, change) -> None:
        self.bench.rephrase(change["new"])

    @guarded
    def _switch(self, kind: str, change) -> None:
        (self.bench.switch_on if change["new"] else self.bench.switch_off)(kind)

    @guarded
    def _own(self, change) -> None:
        text = change["new"].strip()
        people = self.bench.lookup
        known = text in people.data.users["external_id"].astype(str).tolist()
        self.bench.own((text if known or not text.isdecimal() else int(text)) if text else None)

    @guarded
    def _choose(self, change) -> None:
        names = [self.widgets[side].value for side in ("left", "right")]
        self.bench.choose(*(name for name in names if name != NOBODY))

    @guarded
    def _press(self, name: str, button) -> None:
        if name in ("undo", "reset", "rank"):
            getattr(self.bench, name)()
        else:
            user = self.bench.lookup.name(self.bench.case.user_id)
            path = self.bench.export(Path.cwd() / files.file_name(user, self.bench.case, f".{name}"))
            self.widgets["status"].value = small(f"written: {path}")
        self._clear()

    # ---------------------------------------------------------------------------------------------- what is shown

    @contextlib.contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Say what takes time, while it does."""
        self.widgets["busy"].value = f"<b>⏳ {text}</b>"
        try:
            yield
        finally:
            self.widgets["busy"].value = ""

    def fail(self, error: Exception) -> None:
        """Show an error, and bring the controls back to the last good case."""
        self.bench.error = error
        self.show()
        self.widgets["error"].value = render.error(error, traceback.format_exc())

    def _clear(self) -> None:
        self.bench.error, self.widgets["error"].value = None, ""

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
        _offer(w["users"], [(_person(bench, u), u) for u in bench.found.users], case.user_id)
        w["found"].value = small(bench.found.note)
        rows = bench.lookup.rated(case.user_id).iloc[::-1]
        rated = [(f"{bench.lookup.titles[r.item_id]} · {r.split} {'✔' if r.label else '✘'}", r.item_id)
                 for r in rows.itertuples()]  # fmt: skip
        _offer(w["rows"], [("choose ...", 0), *rated], 0 if case.title is not None else case.item_id, otherwise=0)
        w["target"].value = case.title if case.title is not None else bench.lookup.titles[case.item_id]
        w["add"].value = ""
        w["owner"].value = "" if case.owner is None else bench.lookup.name(case.owner)
        lead = bench.models[bench.shown[0]]
        own = lead.writer.template.pieces
        w["template"].value = template_text(own if case.template is None else case.template)
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
            tick.observe(functools.partial(self._tick, len(ticks)), names="value")
            ticks.append(tick)
        for tick, item in zip(ticks, roll):
            tick.description, tick.value = _plain(self.bench.lookup.titles[item]), item in self.bench.case.history
        for place, tick in enumerate(ticks):
            tick.layout.display = None if place < len(roll) else "none"
        if len(ticks) != len(box.children):
            box.children = ticks


def _offer(select, options: list[tuple[str, int]], value: int, otherwise: int | None = None) -> None:
    """Give a list other options only when they changed: a list that is rebuilt loses its place."""
    if list(select.options) != options:
        select.options = options
    select.value = value if value in [v for _, v in options] else otherwise


def _person(bench, user_id: int) -> str:
    liked = bench.models[bench.shown[0]].profiles.liked
    return f"{bench.lookup.name(user_id)} (id {user_id}) · {len(liked.get(user_id, ()))} liked"


def _plain(title: str) -> str:
    """ipywidgets 7 reads a description as html."""
    return title.replace("<", "‹").replace(">", "›").replace("&", "＆")


def _inputs(bench) -> dict[str, widgets.Widget]:
    titles = tuple(dict.fromkeys(bench.lookup.titles[1:])) if bench.data.n_items <= _LONGEST_LIST else ()
    lazy = {"continuous_update": False, **_WIDE}
    hint = "id, part of a title, cold, worst"
    names = list(bench.models)
    kinds = {kind: widgets.Checkbox(description=f"{kind} token", indent=False, **_HALF) for kind in KINDS}
    return {
        "search": widgets.Text(description="find users", placeholder=hint, **lazy),
        "users": widgets.Select(description="user", rows=6, **_WIDE),
        "rows": widgets.Dropdown(description="their films", **_WIDE),
        "target": widgets.Combobox(description="target title", options=titles, placeholder="any title", **lazy),
        "history": widgets.VBox(layout={"max_height": "300px", "overflow": "auto"}),
        "add": widgets.Combobox(description="add a title", options=titles, **lazy),
        "template": widgets.Textarea(
            rows=8, placeholder="template, one field a line", continuous_update=False, layout={"width": "340px"}
        ),
        **kinds,
        "owner": widgets.Text(description="token owner", placeholder="another user's id", **lazy),
        "left": widgets.Dropdown(description="model", options=names, **_WIDE),
        "right": widgets.Dropdown(description="beside it", options=[NOBODY, *names], **_WIDE),
    }


def _buttons() -> dict[str, widgets.Widget]:
    labels = {"undo": "Undo", "reset": "Reset", "rank": "Rank the catalogue", "html": "Export HTML"}
    labels["json"] = "Export JSON"
    many = {name: widgets.Button(description=text, **_HALF) for name, text in labels.items()}
    many["rank"].layout.width = "340px"
    return many


def _outputs() -> dict[str, widgets.Widget]:
    return {name: widgets.HTML() for name in ("found", "busy", "error", "status", "panel")}


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
