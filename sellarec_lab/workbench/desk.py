"""The controls at work: they call the workbench's methods and show its case."""

from __future__ import annotations

import functools
import re

from sellarec_lab.prompts import KINDS
from sellarec_lab.views.prompt import small
from sellarec_lab.workbench import controls, render
from sellarec_lab.workbench.case import TOLD, template_text
from sellarec_lab.workbench.controls import BUTTONS, DETAILS, NOBODY
from sellarec_lab.workbench.panel import Panel, if_any, offer, people


class Desk(Panel):
    """The controls of a `Workbench`."""

    def __init__(self, bench):
        super().__init__(bench, controls.made(bench))
        self._wire()
        self.box = controls.laid_out(self.widgets)

    # ------------------------------------------------------------------------------------------------- callbacks

    def _wire(self) -> None:
        bench, sides = self.bench, ("left", "right")
        changes = {
            "search": bench.search, "users": if_any(bench.pick), "rows": if_any(bench.target),
            "target": self._target, "add": if_any(self._add), "template": bench.rephrase, "owner": self._own,
            "steps": bench.go_to, **{side: functools.partial(self._choose, i) for i, side in enumerate(sides)},
            **{kind: functools.partial(self._switch, kind) for kind in KINDS}, **dict.fromkeys(DETAILS, self._detail),
        }  # fmt: skip
        for name, callback in changes.items():
            self.observe(name, callback)
        for name in BUTTONS:
            self.widgets[name].on_click(functools.partial(self.guarded, self._press, name))
        for name, take in (("target", bench.target), ("add", self._correct)):
            for place, button in enumerate(self.widgets[f"{name}_meant"].children[1:]):
                button.on_click(functools.partial(self.guarded, functools.partial(self._take, name, take), place))

    def _target(self, title: str) -> None:
        known = self.bench.lookup.titled(title)
        if known is not None:
            self.bench.target(known)
        else:
            self.bench.retitle(title or None)

    def _add(self, title: str) -> None:
        known = self.bench.lookup.titled(title)
        if known is not None:
            self.bench.add(known)
        else:
            self.bench.add_title(title)

    def _correct(self, item: int) -> None:
        self.bench.replace(self.bench.case.new_titles[-1], item)

    def _take(self, name: str, take, place: int) -> None:
        """A button with a title that may have been meant."""
        take(self._near(name)[place])

    def _near(self, name: str) -> tuple[int, ...]:
        """What may have been meant by the target's title, or by the newest new one of the history."""
        case = self.bench.case
        title = case.title if name == "target" else next(reversed(case.new_titles), None)
        return self.bench.lookup.close(title) if title else ()

    def _tick(self, name: str, place: int, on: bool) -> None:
        (self.bench.add if on else self.bench.drop)(self.bench.rolls[name][place])

    def _switch(self, kind: str, on: bool) -> None:
        (self.bench.switch_on if on else self.bench.switch_off)(kind)

    def _detail(self, _) -> None:
        self.bench.detail(*(name for name in DETAILS if self.widgets[name].value))

    def _own(self, text: str) -> None:
        """An id of the original data, or else an internal one."""
        user = text.strip()
        internal = user.isdecimal() and user not in self.bench.lookup.external
        self.bench.own(int(user) if internal else user or None)

    def _choose(self, place: int, name: str) -> None:
        """A model on one side; the one that stands on the other side changes places with it."""
        shown = list(self.bench.shown)
        if len(shown) == 2 and name in shown:
            self.bench.swap()
        else:
            shown[place : place + 1] = [name] if name != NOBODY else []
            self.bench.choose(*shown)

    def _press(self, name: str) -> None:
        bench = self.bench
        if name in ("html", "json"):
            self.widgets["status"].value = small(f"written: {bench.export(bench.folder / f'{self._named()}.{name}')}")
        elif name in ("earlier", "later", "turn"):
            shown = [*self._movable()]
            entry = shown[self.widgets["order"].index or 0] if shown else ""
            bench.turn(entry) if name == "turn" else bench.move(entry, -1 if name == "earlier" else 1)
        elif name == "pin":
            (bench.unpin if bench.pinned == bench.trail.here else bench.pin)()
        else:
            if name == "reset":
                self.forget()
            getattr(bench, name)()

    def _named(self) -> str:
        """A file's name for the case."""
        case = self.bench.case
        user = re.sub(r"[^\w.-]", "_", self.bench.lookup.name(case.user_id))  # what file systems dislike
        return f"case_user-{user}_{'free-title' if case.title is not None else f'item-{case.item_id}'}"

    # ------------------------------------------------------------------------------------------------- what they show

    def sync(self) -> None:
        self._sync_people()
        self._sync_prompt()
        self._sync_steps()

    def draw(self) -> None:
        self.widgets["strip"].value = render.strip(self.bench)
        self.widgets["panel"].value = render.body(self.bench)

    def _sync_people(self) -> None:
        bench, case, w = self.bench, self.bench.case, self.widgets
        lead, titles = bench.models[bench.shown[0]], bench.lookup.titles
        offer(w["users"], people(bench, lead.profiles.liked), case.user_id)
        w["found"].value = small(bench.found.note)
        rows = bench.lookup.rated(case.user_id).iloc[::-1]
        rated = [(f"{titles[r.item_id]} · {r.split} {'✔' if r.label else '✘'}", r.item_id) for r in rows.itertuples()]
        offer(w["rows"], [("choose ...", 0), *rated], 0 if case.title is not None else case.item_id, otherwise=0)
        w["left"].value, w["right"].value = bench.shown[0], bench.shown[1] if len(bench.shown) > 1 else NOBODY

    def _sync_prompt(self) -> None:
        bench, case, w = self.bench, self.bench.case, self.widgets
        self.put("target", case.title if case.title is not None else bench.lookup.titles[case.item_id])
        self.put("add", "")
        self.put("owner", "" if case.owner is None else bench.lookup.name(case.owner))
        own = bench.models[bench.shown[0]].writer.template.pieces
        self.put("template", template_text(case.template or own))
        for name in ("target", "add"):
            self.propose(name, self._near(name))
        for kind in KINDS:
            can = kind in bench.kinds and kind not in case.without_vector
            w[kind].value, w[kind].disabled = can and kind not in case.off, not can
        for name in TOLD:
            self.tick_boxes(name, bench.rolls[name], getattr(case, name), functools.partial(self._tick, name))
        self._sync_order()

    def _sync_order(self) -> None:
        """The titles that can be moved or turned; the chosen one stays chosen where it went."""
        box, shown = self.widgets["order"], self._movable()
        offer(box, [(called, entry) for entry, called in shown.items()], box.value, otherwise=next(iter(shown), None))
        for name in ("disliked", "disliked_above", "turn"):
            self.widgets[name].layout.display = None if self.bench.tells_dislikes else "none"

    def _movable(self) -> dict[int | str, str]:
        """The titles of the history, and where a model is told of them the disliked ones, with what they are called."""
        bench, called = self.bench, self.bench.lookup.called
        disliked = {entry: f"✘ {called(entry)}" for entry in bench.case.disliked if bench.tells_dislikes}
        return {entry: called(entry) for entry in bench.case.history} | disliked

    def _sync_steps(self) -> None:
        bench, w = self.bench, self.widgets
        pinned = {bench.pinned: " (pinned)"}
        steps = [(f"{i + 1} · {step.name}{pinned.get(step, '')}", i) for i, step in enumerate(bench.trail.steps)]
        offer(w["steps"], steps, bench.trail.at)
        w["pin"].description = "Unpin" if bench.pinned == bench.trail.here else "Pin"
        for name in DETAILS:
            w[name].value = name in bench.details
