"""Steps with names, and the way back and on again."""

from typing import NamedTuple

from sellarec_lab.workbench.case import Case


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
