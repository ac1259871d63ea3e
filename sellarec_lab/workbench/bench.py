"""The workbench: a case, the models that answer it, the way back, and the page that shows it all."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from sellarec_lab import runtime
from sellarec_lab.config import Preset
from sellarec_lab.data import Interactions
from sellarec_lab.prompts import KINDS
from sellarec_lab.workbench import edits, files, render
from sellarec_lab.workbench.answers import Answers, Ranked
from sellarec_lab.workbench.case import TOLD, Case, template_pieces
from sellarec_lab.workbench.controls import DETAILS
from sellarec_lab.workbench.desk import Desk
from sellarec_lab.workbench.edits import Edit, Spread
from sellarec_lab.workbench.lookup import Lookup
from sellarec_lab.workbench.panel import Page
from sellarec_lab.workbench.trail import Step, Trail, put_back, roll


class Workbench(Page):
    """One or two models beside each other on one case; made by `open`.

    Everything that a control does is a method here, so a notebook can drive the bench by code. A method that can't do
    what it was asked to raises, and leaves the case as it was; a control shows the same error in the panel.

    Attributes: ``case``, ``explanations`` (model name -> `Explanation`), ``shown`` (model names), ``trail`` (the steps
    that were taken), ``pinned`` (the step that all others are measured against, or None), ``details`` (what the page
    shows besides), ``controls`` (name -> widget), ``last_seconds`` (how long the last change took, rendering included),
    ``error`` (the last one shown), ``folder`` (where the buttons' exports go).
    """

    def __init__(
        self, models: Mapping, data: Interactions, predictions: pd.DataFrame | None = None, cfg: Preset | None = None
    ):
        self.models, self.data = dict(models), data
        root, preset = (cfg.artifacts, cfg.name) if cfg is not None else ("artifacts", "")
        self.folder = runtime.artifacts_folder(root) / preset / "cases"
        self.lookup = Lookup(data, predictions)
        self.shown: tuple[str, ...] = tuple(self.models)[:2]
        self.found = self.lookup.search("")
        self.error: Exception | None = None
        self.last_seconds = 0.0
        self.pinned: Step | None = None
        self.details: tuple[str, ...] = ()
        self.answers = Answers(self.models)
        self._before: Case | None = None
        self._spread: dict[tuple, Spread] = {}
        self.step = "as it is"
        self.trail = Trail(Step(self.step, self._untouched(self.found.users[0])))
        self.explanations = {name: self.answers.explained(name, self.case) for name in self.shown}
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
        if case.told == self.untouched.told:
            then = self._untouched(case.user_id, item_id)
            moved = dataclasses.replace(moved, history=then.history, disliked=then.disliked)
        self._go(moved, f"target: {self.lookup.titles[item_id]}")

    def retitle(self, title: str | None) -> None:
        """Ask about a title that need not exist; None asks about the item again."""
        self._go(self.case.retitled(title), f"retitled: {title}" if title else "the item's own title")

    # ------------------------------------------------------------------------------------------- what the prompt says

    def drop(self, item: int | str) -> None:
        """Take a title out of the history."""
        entry = self._entry(item)
        self._go(self.case.dropped(entry), f"dropped: {self.lookup.called(entry)}")

    def add(self, item: int | str) -> None:
        """Put an item into the history: back to its place if it was dropped, else as the most recent that was liked."""
        item_id = self.lookup.item(item)
        self._go(put_back(self.case, self.untouched, item_id), f"added: {self.lookup.titles[item_id]}")

    def add_title(self, title: str) -> None:
        """Put a title that need not exist into the history, as the most recent: text alone, without a vector."""
        self._go(self.case.added(title), f"added: {title}")

    def replace(self, item: int | str, by: int | str) -> None:
        """Put an item in the place of a title of the history, as of one that was misspelled."""
        entry, other = self._entry(item), self.lookup.item(by)
        self._go(self.case.replaced(entry, other), f"{self.lookup.called(entry)} is {self.lookup.titles[other]}")

    def move(self, item: int | str, by: int) -> None:
        """Show a title of the history ``by`` places later, or earlier where that is negative."""
        entry = self._entry(item)
        self._go(self.case.moved(entry, by), f"{'earlier' if by < 0 else 'later'}: {self.lookup.called(entry)}")

    def turn(self, item: int | str) -> None:
        """Show a liked title as disliked, or a disliked one as liked, as the most recent of those."""
        entry = self._entry(item)
        turned = "liked" if entry in self.case.disliked else "disliked"
        self._go(self.case.turned(entry), f"now {turned}: {self.lookup.called(entry)}")

    def rephrase(self, text: str | None) -> None:
        """Ask in other words, one piece a line (see `case.template_pieces`); None or "": in each model's own."""
        pieces = None if not text or not text.strip() else template_pieces(text)
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

    def swap(self) -> None:
        """Exchange the two models' places.

        Raises:
            ValueError: only one is shown.
        """
        if len(self.shown) < 2:
            raise ValueError("nothing to swap: one model is shown; choose another one beside it")
        self.choose(*reversed(self.shown))

    def restore(self, case: Case, names: Iterable[str] = (), step: str = "restored") -> None:
        """Go to a case of your own making, with the models of these names (default: those shown now)."""
        for model in self.models.values():
            case.check(model)
        self._go(case, step, tuple(names)[:2])

    def undo(self) -> None:
        """One step back, as often as there were steps; ValueError if there was none."""
        self._walk(self.trail.place(-1), f"undone: {self.trail.here.name}")

    def redo(self) -> None:
        """One step on again, until a new one is taken; ValueError if none was undone."""
        place = self.trail.place(1)
        self._walk(place, f"redone: {self.trail.steps[place].name}")

    def go_to(self, place: int) -> None:
        """To one of the steps of the ``trail``, the first of which is 0."""
        place = self.trail.place(place - self.trail.at)
        self._walk(place, f"back at: {self.trail.steps[place].name}")

    def pin(self) -> None:
        """Measure all other steps against this one, until another is pinned."""
        self.pinned = self.trail.here
        self._desk.show()

    def unpin(self) -> None:
        """Measure against the case before alone."""
        self.pinned = None
        self._desk.show()

    def reset(self) -> None:
        """Take all edits of this user and item back; this can be undone as well."""
        self._go(self.untouched, "reset")

    def rank(self) -> dict[str, list[Ranked]]:
        """Every item in the target's place, with this history, these words and tokens: model name -> best first."""
        with self._desk.busy("ranking the catalogue ..."):
            ranked = {name: self.answers.rank(name, self.case) for name in self.shown}
        self._desk.show()
        return ranked

    def spread(self, users: int = 50, seed: int = 0) -> Spread:
        """Do this case's edits to others: each of so many users, drawn by the seed out of those that `search` found, is
        asked about the row rated last, untouched and edited. See `edits.spread`."""
        drawn = np.random.default_rng(seed).permutation(self.found.users)[:users]
        with self._desk.busy(f"asking {len(drawn)} users ..."):
            cases = [self._untouched(int(user)) for user in drawn]
            shown = {name: self.models[name] for name in self.shown}
            found = edits.spread(shown, cases, Edit.between(self.untouched, self.case), seed)
        self._spread[self.case, self.shown] = found
        self._desk.show()
        return found

    def detail(self, *names: str) -> None:
        """Show these on the page besides: "ids" of tokens, "logits" of answers, "attention" by layer.

        Raises:
            ValueError: a name that is none of them.
        """
        if unknown := [name for name in names if name not in DETAILS]:
            raise ValueError(f"unknown detail {unknown[0]!r}; known: {', '.join(DETAILS)}")
        self.details = tuple(name for name in DETAILS if name in names)
        self._desk.show()

    def export(self, path: str | Path) -> Path:
        """Write what is shown: ``.html`` (a page that needs no network, script or kernel) or ``.json`` (`open_case`
        restores it). A file that is there stays, and this one gets a number; returns where it lies."""
        return files.write(path, self)

    @property
    def case(self) -> Case:
        """The one that is asked about."""
        return self.trail.here.case

    @property
    def untouched(self) -> Case:
        """The case of this user and item before any edit."""
        return self._untouched(self.case.user_id, self.case.item_id)

    @property
    def kinds(self) -> set[str]:
        """Kinds of soft tokens that a model which is shown has."""
        return {kind for name in self.shown for kind in self.models[name].recipe.slots}

    @property
    def rolls(self) -> dict[str, tuple[int | str, ...]]:
        """The titles that can be ticked, of "history" and "disliked" (see `trail.roll`)."""
        return {name: roll(self.case, self.untouched, name) for name in TOLD}

    @property
    def tells_dislikes(self) -> bool:
        """Whether a model that is shown is told what was disliked."""
        return any(self.models[name].prompt_config.disliked for name in self.shown)

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
        telling = max(self.models.values(), key=lambda model: model.prompt_config.disliked)  # others show none of them
        return Case.of(telling, user_id, item_id, self.lookup.moment(user_id, item_id))

    def _entry(self, wanted: int | str) -> int | str:
        """A title of the history: a new one as it is spelled there, else an item."""
        return wanted if wanted in self.case.new_titles else self.lookup.item(wanted)

    def _go(self, case: Case, step: str, names: Iterable[str] = ()) -> None:
        """To another case, with a way back; if it can't be scored, nothing has changed."""
        self._settle(case, step, names, functools.partial(self.trail.go, step, case))

    def _walk(self, place: int, said: str) -> None:
        """To a step that was taken."""
        self._settle(self.trail.steps[place].case, said, (), lambda: setattr(self.trail, "at", place))

    def _settle(self, case: Case, said: str, names: Iterable[str] = (), arrive: Callable = lambda: None) -> None:
        """One batch a model; nothing for a case that was asked before."""
        started = time.perf_counter()
        names = tuple(dict.fromkeys(names)) or self.shown
        before = self.case if case != self.case else self._before
        with self._desk.busy("scoring ..."):
            answers = {name: self.answers.explained(name, case) for name in names}
        self._before, self.explanations, self.shown, self.step, self.error = before, answers, names, said, None
        arrive()
        self._desk.show()
        self.last_seconds = time.perf_counter() - started

    # ---------------------------------------------------------------------------------------------- what `render` reads

    @property
    def marks(self) -> dict[str, Case]:
        """What answers are measured against: the pinned step, and the case before; not this case itself."""
        marks = {} if self.pinned is None else {f"“{self.pinned.name}” (pinned)": self.pinned.case}
        if self._before not in (None, *marks.values()):
            marks["the case before"] = self._before
        return {name: case for name, case in marks.items() if case != self.case}

    def done_to_others(self) -> Spread | None:
        """What this case's edits change for others, if `spread` was asked."""
        return self._spread.get((self.case, self.shown))
