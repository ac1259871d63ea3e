"""What an LC-Rec model writes: a history goes in, beams come out level by level, and words find items.

Everything that a control does is a method, as in `Workbench`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import pandas as pd

from sellarec_lab import views
from sellarec_lab.data import Interactions
from sellarec_lab.lcrec import LCRec
from sellarec_lab.views.indices import share
from sellarec_lab.views.prompt import FONT, head, safe, small
from sellarec_lab.workbench import files
from sellarec_lab.workbench.lookup import Lookup
from sellarec_lab.workbench.panel import (
    HALF,
    LAZY,
    WIDE,
    Page,
    Panel,
    if_any,
    offer,
    people,
    proposed,
    says,
    side_by_side,
)

_BUTTONS = {"step": "One step", "finish": "To the end", "restart": "Start over", "reset": "Own history"}
_MOST = 20  # beams


class Generation(Page):
    """The bench of one LC-Rec model; made by `open`.

    A method that can't do what it was asked to raises, and leaves everything as it was.

    Attributes: ``user_id``, ``history`` (item ids, oldest first), ``beams`` (how many), ``steps`` (a frame a level that
    has grown, as `LCRec.beams` gives them), ``found_items`` (what the words in ``wish`` found), ``controls`` (name ->
    widget), ``error`` (the last one shown).
    """

    def __init__(self, model: LCRec, data: Interactions):
        self.model, self.data, self.lookup = model, data, Lookup(data)
        self.found = self.lookup.search("")
        self.error: Exception | None = None
        self.beams, self.wish, self.found_items = 8, "", pd.DataFrame()
        self.user_id, self.history = 0, ()
        self._taken(self.found.users[0])
        self._desk = Controls(self)
        self.controls = self._desk.widgets
        self._desk.show()

    # --------------------------------------------------------------------------------------------- what the model reads

    def pick(self, user: int | str) -> None:
        """A user's history before the last thing they took (internal id, or text: the original one)."""
        self._taken(self.lookup.user(user))
        self._show()

    def reset(self) -> None:
        """The user's own history again."""
        self.pick(self.user_id)

    def drop(self, item: int | str) -> None:
        """Take an item out of the history."""
        item_id = self.lookup.item(item)
        if item_id not in self.history:
            raise ValueError(f"{self.lookup.titles[item_id]!r} is not in the history; nothing to drop")
        self._read(tuple(i for i in self.history if i != item_id))

    def add(self, item: int | str) -> None:
        """Put an item into the history: back to its place if it was dropped, else as the most recent."""
        item_id = self.lookup.item(item)
        if item_id in self.history:
            raise ValueError(f"{self.lookup.titles[item_id]!r} is in the history already")
        if not self.model.catalogue.words[item_id]:
            raise ValueError(f"{self.lookup.titles[item_id]!r} has no index: the model can neither read nor write it")
        roll = self.roll
        kept = (*self.history, item_id)
        self._read(tuple(i for i in roll if i in kept) if item_id in roll else kept)

    def widen(self, beams: int) -> None:
        """Search with another number of beams, from the start.

        Raises:
            ValueError: fewer than 1 or more than 20.
        """
        if not 1 <= beams <= _MOST:
            raise ValueError(f"beams: {beams}, expected 1 to {_MOST}")
        self.beams = beams
        self._read(self.history)

    # -------------------------------------------------------------------------------------------- what the model writes

    def step(self) -> pd.DataFrame:
        """Let the beams write one more token; the new level.

        Raises:
            ValueError: all tokens are written.
        """
        if self.finished:
            raise ValueError("the indices are complete: there is no further step; start over")
        with self._desk.busy("writing ..."):
            self.steps.append(next(self._writing))
        self._show()
        return self.steps[-1]

    def finish(self) -> list[pd.DataFrame]:
        """Let the beams write to the end; all levels."""
        while not self.finished:
            self.step()
        return self.steps

    def restart(self) -> None:
        """Back to where nothing is written."""
        self._read(self.history)

    def find(self, words: str) -> pd.DataFrame:
        """Items for an intention in words: ``item_id, title, score``; nothing for no words."""
        with self._desk.busy("searching ..."):
            found = self.model.search(words, k=10) if words.strip() else pd.DataFrame()
        self.wish, self.found_items = words, found
        self._show()
        return found

    @property
    def finished(self) -> bool:
        """Whether all levels are written."""
        return len(self.steps) == self.model.tree.depth

    @property
    def roll(self) -> tuple[int, ...]:
        """What can be ticked: the user's own history, and what was added."""
        return (*self._own, *(i for i in self.history if i not in self._own))

    @functools.cached_property
    def _scores(self) -> np.ndarray:
        """Exact log-probabilities of all items after the history, [n_items + 1]."""
        return self.model.score_prompts([self.model.prompt(self.history)], exact=True)[0]

    def _taken(self, user_id: int) -> None:
        rows = self.lookup.rated(user_id)
        rows = rows[rows["label"] == 1]
        if rows.empty:
            raise ValueError(f"user {user_id} has liked nothing in the data {self.data.name!r}; search for another one")
        *own, self.truth = rows["item_id"].tolist()
        self.user_id, self._own = user_id, tuple(i for i in own if self.model.catalogue.words[i])
        self._begin(self._own)

    def _read(self, history: tuple[int, ...]) -> None:
        self._begin(history)
        self._show()

    def _show(self) -> None:
        self.error = None
        self._desk.show()

    def _begin(self, history: tuple[int, ...]) -> None:
        self.history, self.steps = history, []
        self._writing: Iterator[pd.DataFrame] = self.model.beams(history, self.beams)
        self.__dict__.pop("_scores", None)

    # -------------------------------------------------------------------------------------------------------- on screen

    def export(self, path: str | Path) -> Path:
        """Write the page as ``.html``, which needs no network, script or kernel; a file that is there stays, and this
        one gets a number. Returns where it lies.

        Raises:
            ValueError: another ending.
        """
        path = Path(path)
        if path.suffix != ".html":
            raise ValueError(f"{path}: this page is written as .html, not as {path.suffix or 'a file without ending'}")
        path = files.free(path)
        views.to_html(self, path)
        return path

    def to_html(self) -> str:
        who = (
            f"<div style='font-size:17px'>after the history of <b>user {safe(self.lookup.name(self.user_id))}</b></div>"
        )
        edited = small("the history was edited") if self.history != self._own else ""
        shown = self.history[-self.model.settings.history :]
        read = "".join(map(self._named, shown))
        said = head(f"what the model reads: the last {len(shown)} of {len(self.history)} items, oldest first")
        box = "font-size:13px;columns:3 280px"
        tree = f"<div style='margin:10px 0'>{self._tree()}</div>{self._outcome()}"
        body = f"{who}{edited}{said}<div style='{box}'>{read}</div>{tree}{self._wishes()}"
        return f'<div style="{FONT};padding:4px 12px">{body}</div>'

    def _named(self, item: int) -> str:
        words = safe(self.model.catalogue.words[item])
        return f"<div>{safe(self.lookup.titles[item])} <code style='color:#666666'>{words}</code></div>"

    def _tree(self) -> str:
        depth = self.model.tree.depth
        if not self.steps:
            return small(f"nothing is written yet: {depth} tokens to go, {self.beams} beams")
        names = [self.lookup.titles[i] for i in self.steps[-1]["item_id"]] if self.finished else None
        return views.beam_tree(self.steps, names, f"{len(self.steps)} of {depth} tokens", depth)

    def _outcome(self) -> str:
        """Once all is written: where the item stands that the user really took."""
        if not self.finished or not self.model.catalogue.words[self.truth]:
            return ""
        rank = 1 + int((self._scores > self._scores[self.truth]).sum())
        many, title = len(self.model.catalogue.items), safe(self.lookup.titles[self.truth])
        kept = "among the beams" if self.truth in set(self.steps[-1]["item_id"]) else "not among the beams"
        return f"<div>what really came next: <b>{title}</b>, {kept}; of all {many} items it has rank {rank}</div>"

    def _wishes(self) -> str:
        if self.found_items.empty:
            return ""
        rows = "".join(
            f"<div>{place}. {safe(row.title)} <small>{share(np.exp(row.score))}</small></div>"
            for place, row in enumerate(self.found_items.itertuples(), start=1)
        )
        return f"{head(f'items for “{self.wish}”, with their probability')}<div style='font-size:13px'>{rows}</div>"

    def __repr__(self) -> str:
        return f"Generation(user {self.user_id}, {len(self.steps)} of {self.model.tree.depth} tokens)"


class Controls(Panel):
    """The controls of a `Generation`."""

    def __init__(self, bench: Generation):
        super().__init__(bench, _widgets(bench))
        changes = {"search": bench.search, "users": if_any(bench.pick), "add": if_any(bench.add),
                   "beams": bench.widen, "wish": bench.find}  # fmt: skip
        for name, callback in changes.items():
            self.observe(name, callback)
        for name in _BUTTONS:
            self.widgets[name].on_click(functools.partial(self.guarded, self._press, name))
        w = self.widgets
        left = [
            w["search"], w["search_says"], w["users"], w["found"], widgets.Label("History (untick to drop):"),
            w["history"], w["add"], w["add_says"], w["reset"], w["beams"], widgets.HBox([w["step"], w["finish"]]),
            w["restart"], w["wish"],
        ]  # fmt: skip
        self.box = side_by_side(left, [w["busy"], w["error"], w["panel"]])

    def _press(self, name: str) -> None:
        getattr(self.bench, name)()

    def _tick(self, place: int, on: bool) -> None:
        (self.bench.add if on else self.bench.drop)(self.bench.roll[place])

    def sync(self) -> None:
        bench, w = self.bench, self.widgets
        offer(w["users"], people(bench, bench.model.profiles.liked), bench.user_id)
        w["found"].value = small(bench.found.note)
        self.put("add", "")
        w["beams"].value, w["wish"].value = bench.beams, bench.wish
        w["step"].disabled = w["finish"].disabled = bench.finished
        self.tick_boxes("history", bench.roll, bench.history, self._tick)


def _widgets(bench: Generation) -> dict[str, widgets.Widget]:
    wish = {"description": "find items", "placeholder": "what you are looking for", "continuous_update": True}
    return {
        "search": widgets.Text(description="find users", placeholder="id or part of a title", **LAZY),
        "users": widgets.Select(description="user", rows=6, **WIDE),
        "history": widgets.VBox(layout={"max_height": "300px", "overflow": "auto"}),
        "add": widgets.Combobox(description="add a title", options=proposed(bench), **LAZY),
        "beams": widgets.IntSlider(description="beams", min=1, max=_MOST, **LAZY),
        "wish": widgets.Text(**wish, **WIDE),
        **{name: widgets.Button(description=text, **HALF) for name, text in _BUTTONS.items()},
        **{name: widgets.HTML() for name in ("found", "busy", "error", "panel")},
        **{f"{box}_says": says() for box in ("search", "add")},
    }
