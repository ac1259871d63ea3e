"""The widgets of a `Workbench`, and where they stand."""

from __future__ import annotations

import ipywidgets as widgets

from sellarec_lab.prompts import KINDS
from sellarec_lab.workbench.panel import COLUMN, HALF, LAZY, WIDE, meant, proposed, says, side_by_side

NOBODY = "(none)"
DETAILS = {"ids": "token ids", "logits": "logits", "attention": "attention"}
BUTTONS = {"undo": "Undo", "redo": "Redo", "pin": "Pin", "swap": "Swap models", "reset": "Reset"}
BUTTONS |= {"earlier": "Earlier", "later": "Later", "turn": "Liked ⇄ disliked"}
BUTTONS |= {"rank": "Rank the catalogue", "spread": "Do it to 50 users"}
BUTTONS |= {"html": "Export HTML", "json": "Export JSON"}
BOXES = ("search", "target", "add", "owner", "template")  # texts that may be refused
_BAR = ("undo", "redo", "pin", "swap", "reset")
_LONG = {"layout": {"flex": "1 1 160px", "width": "auto"}, "style": {"description_width": "34px"}}
_HIGH = "max(440px, calc(100vh - 370px))"  # with the strip above, the bench fits into a window


def made(bench) -> dict[str, widgets.Widget]:
    """Every control by its name."""
    titles = proposed(bench)
    buttons = {name: widgets.Button(description=text, **HALF) for name, text in BUTTONS.items()}
    for name in _BAR:
        buttons[name].layout.width = "auto"
    return {
        "search": widgets.Text(description="find users", placeholder="id, part of a title, cold, worst", **LAZY),
        "users": widgets.Select(description="user", rows=6, **WIDE),
        "rows": widgets.Dropdown(description="their films", **WIDE),
        "target": widgets.Combobox(description="target title", options=titles, placeholder="any title", **LAZY),
        "history": widgets.VBox(layout={"max_height": "300px", "overflow": "auto"}),
        "disliked": widgets.VBox(layout={"max_height": "300px", "overflow": "auto"}),
        "disliked_above": widgets.Label("Shown as disliked:"), "order": widgets.Dropdown(description="move", **WIDE),
        "add": widgets.Combobox(description="add a title", options=titles, placeholder="any title", **LAZY),
        "template": widgets.Textarea(rows=8, placeholder="template, one field a line; empty: the own one", **LAZY),
        **{kind: widgets.Checkbox(description=f"{kind} token", indent=False, **HALF) for kind in KINDS},
        "owner": widgets.Text(description="token owner", placeholder="another user's id", **LAZY),
        "left": widgets.Dropdown(description="model", options=list(bench.models), **WIDE),
        "right": widgets.Dropdown(description="beside it", options=[NOBODY, *bench.models], **WIDE),
        "steps": widgets.Dropdown(description="step", **_LONG),
        **{name: widgets.Checkbox(description=text, indent=False, **HALF) for name, text in DETAILS.items()},
        **buttons, **{f"{box}_says": says() for box in BOXES}, "target_meant": meant(), "add_meant": meant(),
        **{name: widgets.HTML() for name in ("found", "busy", "error", "status", "strip", "panel")},
    }  # fmt: skip


def laid_out(w: dict[str, widgets.Widget]) -> widgets.VBox:
    """The strip with the answers and the steps above; below it controls and page, which scroll each for itself."""
    left = [
        w["left"], w["right"], *_box(w, "search"), w["users"], w["found"], w["rows"], *_box(w, "target"),
        w["target_meant"], widgets.Label("History shown (untick a title to drop it):"), w["history"],
        w["disliked_above"], w["disliked"], w["order"], widgets.HBox([w["earlier"], w["later"]]), w["turn"],
        *_box(w, "add"), w["add_meant"],
        widgets.Label("Soft tokens:"), *_pairs([w[kind] for kind in KINDS]), *_box(w, "owner"),
        widgets.Label("Template, a field a line (leave it to apply):"), *_box(w, "template"),
        widgets.Label("Show as well:"), *_pairs([w[name] for name in DETAILS]),
        *_pairs([w[name] for name in ("rank", "spread", "html", "json")]), w["status"],
    ]  # fmt: skip
    for name in ("found", "status"):
        w[name].layout.width = f"{COLUMN - 30}px"
    bar = widgets.HBox([w["steps"], w["busy"], *(w[name] for name in _BAR)], layout={"width": "auto"})
    return side_by_side(left, [w["panel"]], [w["strip"], bar, w["error"]], _HIGH)


def _box(w: dict[str, widgets.Widget], name: str) -> list[widgets.Widget]:
    """A text box, and below it why its text was not taken."""
    return [w[name], w[f"{name}_says"]]


def _pairs(boxes: list[widgets.Widget]) -> list[widgets.HBox]:
    return [widgets.HBox(boxes[place : place + 2]) for place in range(0, len(boxes), 2)]
