"""One edit, done to many people: what does it change on average, and how sure is that?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit

from sellarec_lab.metrics.means import mean_interval
from sellarec_lab.prompts import KINDS
from sellarec_lab.workbench.case import Case


class Back(NamedTuple):
    """A title of a history, by its place from the newest, which is 1."""

    place: int


@dataclass(frozen=True)
class Edit:
    """What was done to a case, told so that it can be done to anybody's.

    Args:
        reach: how many of the newest titles of the history it is about; the older ones stay.
        newest: what stands in their place, oldest first: old ones by their place, and what was added.
        title, template, off, owner: as in `Case`.
    """

    reach: int = 0
    newest: tuple[Back | int | str, ...] = ()
    title: str | None = None
    template: tuple[str, ...] | None = None
    off: tuple[str, ...] = ()
    owner: int | None = None

    @classmethod
    def between(cls, before: Case, after: Case) -> Edit:
        """What makes one case of a user out of another, untouched one."""
        old, new = before.history, after.history
        same = next((i for i, (a, b) in enumerate(zip(old, new)) if a != b), min(len(old), len(new)))
        newest = tuple(Back(len(old) - old.index(i)) if i in old else i for i in new[same:])
        return cls(len(old) - same, newest, after.title, after.template, after.off, after.owner)

    def done_to(self, case: Case) -> Case:
        """The case after the same edit.

        Raises:
            ValueError: it can't be done: the history is too short, or shows the added title or asks about it.
        """
        history = case.history
        if len(history) < self.reach:
            raise ValueError(f"history: {len(history)} titles, and the edit is about the {self.reach} newest")
        newest = tuple(history[-i.place] if isinstance(i, Back) else i for i in self.newest)
        changes = {name: getattr(self, name) for name in ("title", "template", "off")}
        changed = dataclasses.replace(case, history=(*history[: len(history) - self.reach], *newest), **changes)
        return changed.owned(self.owner)

    def told(self, titles: Sequence[str]) -> str:
        """The edit in words; "" for none."""
        places = [i.place for i in self.newest if isinstance(i, Back)]
        gone = [str(place) for place in range(1, self.reach + 1) if place not in places]
        added = [i if isinstance(i, str) else titles[i] for i in self.newest if not isinstance(i, Back)]
        said = [f"dropped, counted from the newest title: {', '.join(gone)}"] if gone else []
        said += ["titles in another order"] if places != sorted(places, reverse=True) else []
        said += [f"added “{title}”" for title in added]
        said += [f"asked about “{self.title}”"] if self.title is not None else []
        said += ["other words"] if self.template is not None else []
        said += [f"{KINDS[kind].shown} off" for kind in self.off]
        return "; ".join([*said, *(["another user's token"] if self.owner is not None else [])])


class Spread(NamedTuple):
    """An edit done to many: what was done, how many of those who were ``asked`` it could be done to, and a row a
    model."""

    told: str
    asked: int
    table: pd.DataFrame


def spread(models: Mapping, cases: Sequence[Case], edit: Edit, seed: int = 0) -> Spread:
    """What an edit changes in the answers to many untouched cases, by model: ``users, p_before, p_after`` (mean
    P(like)), ``change`` (mean change of the score) with its bootstrap interval over users, ``low, high``, and
    ``turned`` (answers that changed sides). Cases that the edit can't be done to are left out.

    Raises:
        ValueError: nothing was edited, or it can be done to fewer than two.
    """
    titles = next(iter(models.values())).profiles.titles
    if not (told := edit.told(titles)):
        raise ValueError("nothing was edited in this case: make an edit first, then do it to others")
    pairs = list(_possible(cases, edit))
    if len(pairs) < 2:
        raise ValueError(f"{told}: it can be done to {len(pairs)} of {len(cases)} users; search for others first")
    rows = {name: _row(model, pairs, seed) for name, model in models.items()}
    return Spread(told, len(cases), pd.DataFrame.from_dict(rows, orient="index").rename_axis("model"))


def _possible(cases: Iterable[Case], edit: Edit) -> Iterable[tuple[Case, Case]]:
    for case in cases:
        try:
            yield case, edit.done_to(case)
        except ValueError:  # not with this history or target: `Spread` says how many were asked
            continue


def _row(model, pairs: Sequence[tuple[Case, Case]], seed: int) -> dict[str, float]:
    asked = [case.prompt(model) for pair in pairs for case in pair]
    before, after = model.score_prompts(asked).reshape(-1, 2).T.astype(float)  # [users] each
    change = mean_interval(after - before, seed=seed)
    return {
        "users": len(pairs), "p_before": float(expit(before).mean()), "p_after": float(expit(after).mean()),
        "change": change.value, "low": change.low, "high": change.high,
        "turned": int(np.sum((before > 0) != (after > 0))),
    }  # fmt: skip
