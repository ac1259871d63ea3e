"""The controls: widgets that call the workbench's methods and show its case."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import ipywidgets as widgets

from sellarec_lab.prompts import KINDS
from sellarec_lab.views.prompt import small
from sellarec_lab.workbench.case import template_text
from sellarec_lab.workbench.panel import HALF, LAZY, WIDE, Panel, if_any, offer, people, proposed, side_by_side

NOBODY = "(none)"
_BUTTONS = {"undo": "Undo", "reset": "Reset", "rank": "Rank the catalogue"}
_BUTTONS |= {"html": "Export HTML", "json": "Export JSON"}


class Desk(Panel):
    """The controls of a `Workbench`."""

    def __init__(self, bench):
        super().__init__(bench, _widgets(bench))
        self._wire()
        self.box = _layout(self.widgets)

    # ------------------------------------------------------------------------------------------------- callbacks

    def _wire(self) -> None:
        bench, choose = self.bench, self._choose
        changes = {
            "search": bench.search, "users": if_any(bench.pick), "rows": if_any(bench.target),
            "target": self._target, "add": if_any(bench.add), "template": bench.rephrase, "owner": self._own,
            "left": choose, "right": choose, **{kind: functools.partial(self._switch, kind) for kind in KINDS},
        }  # fmt: skip
        for name, callback in changes.items():
            self.observe(self.widgets[name], callback)
        for name in _BUTTONS:
            self.widgets[name].on_click(functools.partial(self.guarded, self._press, name))

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

    def sync(self) -> None:
        bench, case, w = self.bench, self.bench.case, self.widgets
        lead = bench.models[bench.shown[0]]
        offer(w["users"], people(bench, lead.profiles.liked), case.user_id)
        w["found"].value = small(bench.found.note)
        rows = bench.lookup.rated(case.user_id).iloc[::-1]
        rated = [(f"{bench.lookup.titles[r.item_id]} · {r.split} {'✔' if r.label else '✘'}", r.item_id)
                 for r in rows.itertuples()]  # fmt: skip
        offer(w["rows"], [("choose ...", 0), *rated], 0 if case.title is not None else case.item_id, otherwise=0)
        w["target"].value = case.title if case.title is not None else bench.lookup.titles[case.item_id]
        w["add"].value = ""
        w["owner"].value = "" if case.owner is None else bench.lookup.name(case.owner)
        w["template"].value = template_text(case.template or lead.writer.template.pieces)
        used = {kind for name in bench.shown for kind in bench.models[name].recipe.slots}
        for kind in KINDS:
            w[kind].value, w[kind].disabled = kind in used and kind not in case.off, kind not in used
        w["left"].value, w["right"].value = bench.shown[0], bench.shown[1] if len(bench.shown) > 1 else NOBODY
        self.tick_boxes(bench.roll, case.history, self._tick)


def _widgets(bench) -> dict[str, widgets.Widget]:
    titles = proposed(bench)
    buttons = {name: widgets.Button(description=text, **HALF) for name, text in _BUTTONS.items()}
    buttons["rank"].layout.width = "340px"
    return {
        "search": widgets.Text(description="find users", placeholder="id, part of a title, cold, worst", **LAZY),
        "users": widgets.Select(description="user", rows=6, **WIDE),
        "rows": widgets.Dropdown(description="their films", **WIDE),
        "target": widgets.Combobox(description="target title", options=titles, placeholder="any title", **LAZY),
        "history": widgets.VBox(layout={"max_height": "300px", "overflow": "auto"}),
        "add": widgets.Combobox(description="add a title", options=titles, **LAZY),
        "template": widgets.Textarea(rows=8, placeholder="template, one field a line", **LAZY),
        **{kind: widgets.Checkbox(description=f"{kind} token", indent=False, **HALF) for kind in KINDS},
        "owner": widgets.Text(description="token owner", placeholder="another user's id", **LAZY),
        "left": widgets.Dropdown(description="model", options=list(bench.models), **WIDE),
        "right": widgets.Dropdown(description="beside it", options=[NOBODY, *bench.models], **WIDE),
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
    return side_by_side(left, w)
