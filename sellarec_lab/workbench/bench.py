"""The workbench: a case, the models that answer it, the way back, and the page that shows it all."""

import dataclasses
import functools
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from sellarec_lab.data import Interactions
from sellarec_lab.prompts import KINDS
from sellarec_lab.sella import Explanation
from sellarec_lab.workbench import files, render
from sellarec_lab.workbench.case import Case, Ranked, ranking, template_pieces
from sellarec_lab.workbench.desk import Desk
from sellarec_lab.workbench.lookup import Lookup
from sellarec_lab.workbench.panel import Page

_KEPT = 500  # answers in the cache


class Workbench(Page):
    """One or two models beside each other on one case; made by `open`.

    Everything that a control does is a method here, so a notebook can drive the bench by code. A method that can't do
    what it was asked to raises, and leaves the case as it was; a control shows the same error in the panel.

    Attributes: ``case``, ``explanations`` (model name -> `Explanation`), ``shown`` (model names), ``controls`` (name ->
    widget), ``last_seconds`` (how long the last change took, rendering included), ``error`` (the last one shown).
    """

    def __init__(self, models: Mapping, data: Interactions, predictions: pd.DataFrame | None = None):
        self.models, self.data = dict(models), data
        self.lookup = Lookup(data, predictions)
        self.shown: tuple[str, ...] = tuple(self.models)[:2]
        self.found = self.lookup.search("")
        self.error: Exception | None = None
        self.last_seconds = 0.0
        self._past: list[Case] = []
        self._before: dict[str, Explanation] = {}
        self._ranked: dict[tuple, list[Ranked]] = {}
        self._ask = functools.lru_cache(_KEPT)(lambda name, case: case.explain(self.models[name]))
        self.case, self.step = self._untouched(self.found.users[0]), "as it is"
        self.explanations = {name: self._ask(name, self.case) for name in self.shown}
        self._desk = Desk(self)
        self.controls = self._desk.widgets
        self._desk.show()

    # ------------------------------------------------------------------------------------- who is asked about what

    def pick(self, user: int | str, item: int | str | None = None) -> None:
        """Ask about a user (internal id, or text: the original one) and an item (default: the row rated last)."""
        user_id = self.lookup.user(user)
        case = self._untouched(user_id, None if item is None else self.lookup.item(item))
        self._go(case, f"picked user {self.lookup.name(user_id)}")

    def target(self, item: int | str) -> None:
        """Ask about another item (id or title). A history that was not edited becomes that of the item's moment."""
        item_id, case = self.lookup.item(item), self.case
        moved = case.retargeted(item_id)
        moved.check(self._lead)
        if case.history == self._untouched(case.user_id, case.item_id).history:
            moved = dataclasses.replace(moved, history=self._untouched(case.user_id, item_id).history)
        self._go(moved, f"target: {self.lookup.titles[item_id]}")

    def retitle(self, title: str | None) -> None:
        """Ask about a title that need not exist; None asks about the item again."""
        self._go(self.case.retitled(title), f"retitled: {title}" if title else "the item's own title")

    # ------------------------------------------------------------------------------------------- what the prompt says

    def drop(self, item: int | str) -> None:
        """Take a title out of the history."""
        item_id = self.lookup.item(item)
        self._go(self.case.dropped(item_id), f"dropped: {self.lookup.titles[item_id]}")

    def add(self, item: int | str) -> None:
        """Put a title into the history: back to its place if it was dropped, else as the most recent."""
        item_id = self.lookup.item(item)
        case = self.case.added(item_id)
        if item_id in self.roll:
            case = dataclasses.replace(case, history=tuple(i for i in self.roll if i in case.history))
        self._go(case, f"added: {self.lookup.titles[item_id]}")

    def rephrase(self, text: str | None) -> None:
        """Ask in other words, one piece a line (see `case.template_pieces`); None: in each model's own."""
        pieces = None if text is None else template_pieces(text)
        own = {self.models[name].writer.template.pieces for name in self.shown}
        self._go(self.case.rephrased(None if own == {pieces} else pieces), "rephrased")

    def switch_off(self, kind: str) -> None:
        """Leave a kind of soft token out ("user", "item", "warm", "taste", "prompt")."""
        self._go(self.case.switched(kind, False), f"switched off: {KINDS[kind].shown}")

    def switch_on(self, kind: str) -> None:
        """Bring a kind of soft token back, where the recipe has it."""
        self._go(self.case.switched(kind, True), f"switched on: {KINDS[kind].shown}")

    def own(self, user: int | str | None) -> None:
        """Put another user's `<User_ID>` token into the prompt; None brings the own one back."""
        owner = None if user is None else self.lookup.user(user)
        self._go(self.case.owned(owner), "own user token" if owner is None else f"token of user {user}")

    # ------------------------------------------------------------------------------------------------- and the rest

    def choose(self, *names: str) -> None:
        """Show one model, or two beside each other.

        Raises:
            ValueError: no, or more than two names, or one that the bench does not have.
        """
        unknown = [name for name in names if name not in self.models]
        if unknown or len(set(names)) not in (1, 2):
            raise ValueError(f"choose one or two of {', '.join(self.models)}; got {', '.join(names) or 'nothing'}")
        self._settle(self.case, self.step, names)

    def restore(self, case: Case, names: Iterable[str] = (), step: str = "restored") -> None:
        """Go to a case of your own making, with the models of these names (default: those shown now)."""
        for model in self.models.values():
            case.check(model)
        self._go(case, step, tuple(names)[:2])

    def undo(self) -> None:
        """One step back, as often as there were steps.

        Raises:
            ValueError: there was none.
        """
        if not self._past:
            raise ValueError("nothing to undo: this is the first case")
        self._settle(self._past[-1], f"undone: {self.step}")
        self._past.pop()

    def reset(self) -> None:
        """Take all edits of this user and item back; this can be undone as well."""
        self._go(self._untouched(self.case.user_id, self.case.item_id), "reset")

    def rank(self) -> dict[str, list[Ranked]]:
        """Every item in the target's place, with this history, these words and tokens: model name -> best first."""
        with self._desk.busy("ranking the catalogue ..."):
            for name in self.shown:
                if self.ranked(name) is None:
                    self._ranked[self._ranking_key(name)] = ranking(self.models[name], self.case)
        self._desk.show()
        return {name: self.ranked(name) for name in self.shown}

    def export(self, path: str | Path) -> Path:
        """Write what is shown: ``.html`` (a page that needs no network, script or kernel) or ``.json`` (`open_case`
        restores it)."""
        return files.write(path, self)

    @property
    def roll(self) -> tuple[int, ...]:
        """The titles that can be ticked: the history as it was, and what was added."""
        own = self._untouched(self.case.user_id, self.case.item_id).history
        return (*own, *(i for i in self.case.history if i not in own))

    def to_html(self) -> str:
        """The page as a fragment of html."""
        return render.page(self)

    def __repr__(self) -> str:
        return f"Workbench(user {self.case.user_id}, item {self.case.item_id}, {', '.join(self.shown)})"

    # ------------------------------------------------------------------------------------------------------- inside

    @property
    def _lead(self):
        return self.models[self.shown[0]]

    def _untouched(self, user_id: int, item_id: int | None = None) -> Case:
        """The user's question as it was asked; by default the last one."""
        if item_id is None:
            Case(user_id, 1).check(self._lead)
            item_id = int(self.lookup.rated(user_id)["item_id"].iloc[-1])
        return Case.of(self._lead, user_id, item_id, self.lookup.moment(user_id, item_id))

    def _go(self, case: Case, step: str, names: Iterable[str] = ()) -> None:
        """To another case, with a way back; if it can't be scored, nothing has changed."""
        past = self.case
        self._settle(case, step, names)
        if case != past:
            self._past.append(past)

    def _settle(self, case: Case, step: str, names: Iterable[str] = ()) -> None:
        """One batch a model; nothing for a case that was asked before."""
        started = time.perf_counter()
        names = tuple(dict.fromkeys(names)) or self.shown
        with self._desk.busy("scoring ..."):
            answers = {name: self._ask(name, case) for name in names}
        self._before = self.explanations if case != self.case else self._before
        self.case, self.explanations, self.shown, self.step, self.error = case, answers, names, step, None
        self._desk.show()
        self.last_seconds = time.perf_counter() - started

    def _ranking_key(self, name: str) -> tuple:
        """All that a ranking depends on: everything but the target."""
        case = self.case
        return name, case.user_id, case.history, case.template, case.off, case.owner

    # ---------------------------------------------------------------------------------------------- what `render` reads

    def ranked(self, name: str) -> list[Ranked] | None:
        """A model's ranking in this case, if `rank` was asked for it."""
        return self._ranked.get(self._ranking_key(name))

    def change(self, name: str) -> float | None:
        """A model's score minus its score in the case before."""
        before = self._before.get(name)
        return self.explanations[name].score - before.score if before else None

    def truth(self) -> float | None:
        """The true P(like), where the data knows it and no title or token is borrowed."""
        known = self.data.truth is not None and self.case.title is None and self.case.owner is None
        return float(self.data.truth[self.case.user_id, self.case.item_id]) if known else None

    def notes(self) -> list[str]:
        """What a reader of the page should know about this case."""
        case, notes = self.case, []
        kinds = {kind for name in self.shown for kind in self.models[name].recipe.slots}
        if case.title is not None:
            gone = " and ".join(KINDS[k].shown for k in ("item", "warm") if k in kinds)
            notes.append(f"a free title: no vector belongs to it{f', so {gone} are left out' if gone else ''}")
        elif case.item_id not in self.lookup.trained_items:
            notes.append("the film has no row in train: <Item_ID> was never trained")
        if case.user_id not in self.lookup.trained_users:
            notes.append("the user has no row in train: <User_ID> was never trained")
        if off := [KINDS[k].shown for k in case.off if k in kinds]:
            notes.append(f"switched off: {', '.join(off)}")
        if case.owner is not None:
            notes.append(f"<User_ID> is that of user {self.lookup.name(case.owner)} (id {case.owner})")
        if case.history != self._untouched(case.user_id, case.item_id).history:
            notes.append("the history was edited")
        elif self.lookup.moment(case.user_id, case.item_id) is not None:
            notes.append("history as of the moment when the user rated this film; later likes are not in it")
        return notes
