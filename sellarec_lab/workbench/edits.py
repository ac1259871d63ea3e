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
from sellarec_lab.workbench.case import TOLD, Case


class Back(NamedTuple):
    """A title that was shown as liked ("history") or as "disliked", by its place from the newest there, which is 1."""

    place: int
    where: str = "history"


class End(NamedTuple):
    """What becomes of the newest titles of a list.

    ``reach`` says how many it is about; the older ones stay. ``newest`` stands in their place, oldest first: old ones
    by their place, and what was added.
    """

    reach: int
    newest: tuple[Back | int | str, ...]


@dataclass(frozen=True)
class Edit:
    """What was done to a case, told so that it can be done to anybody's.

    Args:
        history, disliked: what became of the two lists of titles.
        title, template, off, owner: as in `Case`.
    """

    history: End
    disliked: End
    title: str | None = None
    template: tuple[str, ...] | None = None
    off: tuple[str, ...] = ()
    owner: int | None = None

    @classmethod
    def between(cls, before: Case, after: Case) -> Edit:
        """What makes one case of a user out of another, untouched one."""
        ends = (_end(before, after, name) for name in TOLD)
        return cls(*ends, after.title, after.template, after.off, after.owner)

    def done_to(self, case: Case) -> Case:
        """The case after the same edit.

        Raises:
            ValueError: it can't be done: the history is too short, or shows the added title or asks about it.
        """
        changes = {name: getattr(self, name) for name in ("title", "template", "off")}
        told = {name: _ended(case, name, getattr(self, name)) for name in TOLD}
        return dataclasses.replace(case, **told, **changes).owned(self.owner)

    def told(self, titles: Sequence[str]) -> str:
        """The edit in words; "" for none."""
        said = [line for name in TOLD for line in self._told_of(name, titles)]
        said += [f"asked about “{self.title}”"] if self.title is not None else []
        said += ["other words"] if self.template is not None else []
        said += [f"{KINDS[kind].shown} off" for kind in self.off]
        return "; ".join([*said, *(["another user's token"] if self.owner is not None else [])])

    def _told_of(self, name: str, titles: Sequence[str]) -> Iterable[str]:
        """What became of one list, in words."""
        newest, kind = getattr(self, name).newest, "disliked title" if name == "disliked" else "title"
        if gone := self._gone(name):
            yield f"dropped, counted from the newest {kind}: {_listed(gone)}"
        backs = [i for i in newest if isinstance(i, Back)]
        if turned := [i.place for i in backs if i.where != name]:
            way = "liked shown as disliked" if name == "disliked" else "disliked shown as liked"
            yield f"{way}, counted from the newest: {_listed(turned)}"
        places = [i.place for i in backs if i.where == name]
        if places != sorted(places, reverse=True):
            yield f"{kind}s in another order"
        yield from (f"added “{i if isinstance(i, str) else titles[i]}”" for i in newest if not isinstance(i, Back))

    def _gone(self, name: str) -> list[int]:
        """Places in one list whose titles are shown nowhere any more."""
        kept = [i for i in (*self.history.newest, *self.disliked.newest) if isinstance(i, Back)]
        return [place for place in range(1, getattr(self, name).reach + 1) if Back(place, name) not in kept]


def _listed(places: Iterable[int]) -> str:
    return ", ".join(map(str, places))


def _end(before: Case, after: Case, name: str) -> End:
    """What became of one list between two cases."""
    old, new = getattr(before, name), getattr(after, name)
    same = next((i for i, (a, b) in enumerate(zip(old, new)) if a != b), min(len(old), len(new)))
    return End(len(old) - same, tuple(_back(before, entry) for entry in new[same:]))


def _back(case: Case, entry: int | str) -> Back | int | str:
    """A title by the place where a case shows it; itself where it does not."""
    for name, shown in zip(TOLD, case.told, strict=True):
        if entry in shown:
            return Back(len(shown) - shown.index(entry), name)
    return entry


def _ended(case: Case, name: str, end: End) -> tuple[int | str, ...]:
    """One list of a case after what an edit does to it."""
    shown = getattr(case, name)
    if len(shown) < end.reach:
        raise ValueError(f"{name}: {len(shown)} titles, and the edit is about the {end.reach} newest")
    newest = (getattr(case, i.where)[-i.place] if isinstance(i, Back) else i for i in end.newest)
    return (*shown[: len(shown) - end.reach], *newest)


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
