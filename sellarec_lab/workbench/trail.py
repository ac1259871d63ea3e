"""Steps with names, and the way back and on again; titles that were dropped, and their way back."""

import dataclasses
from typing import NamedTuple

from sellarec_lab.workbench.case import TOLD, Case


class Step(NamedTuple):
    """A case, and what was done to come to it."""

    name: str
    case: Case


class Trail:
    """The steps that were taken, ``steps``, of which the one at ``at`` is where we are; a new one forgets those that
    lay ahead."""

    def __init__(self, first: Step):
        self.steps, self.at = [first], 0

    @property
    def here(self) -> Step:
        """Where we are."""
        return self.steps[self.at]

    def go(self, name: str, case: Case) -> None:
        """One step on; none to the case where we are."""
        if case != self.here.case:
            self.steps[self.at + 1 :] = [Step(name, case)]
            self.at += 1

    def place(self, by: int) -> int:
        """The place so many steps on, or back where that is negative.

        Raises:
            ValueError: there are fewer.
        """
        if self.at + by < 0:
            raise ValueError("nothing to undo: this is the first case")
        if self.at + by >= len(self.steps):
            raise ValueError("nothing to redo: this is the last step")
        return self.at + by


def roll(case: Case, before: Case, name: str) -> tuple[int | str, ...]:
    """What can be ticked of one list of titles: what a case shows there, and what was dropped since a case ``before``,
    behind what it followed."""
    (other,) = set(TOLD) - {name}
    titles, place = list(getattr(case, name)), 0
    for item in (i for i in getattr(before, name) if i not in getattr(case, other)):
        if item not in titles:
            titles.insert(place, item)
        place = titles.index(item) + 1
    return tuple(titles)


def put_back(case: Case, before: Case, item: int) -> Case:
    """A case with one title more: in its place where it was dropped since a case ``before``, else as the most recent
    that was liked.

    Raises:
        ValueError: the case shows it.
    """
    added = case.added(item)
    for name in TOLD:
        if item in (titles := roll(case, before, name)):
            shown = (*getattr(case, name), item)
            return dataclasses.replace(case, **{name: tuple(i for i in titles if i in shown)})
    return added
