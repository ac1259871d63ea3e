"""What models say to a case, each asked once."""

import functools
from collections.abc import Mapping
from typing import NamedTuple

from sellarec_lab.sella import Attention, Explanation
from sellarec_lab.workbench.case import Case

_KEPT = 500  # answers, and looks


class Ranked(NamedTuple):
    """A place in the ranking of the catalogue; ``seen`` says that the user has rated the item."""

    item_id: int
    score: float
    seen: bool


def ranking(model, case: Case) -> list[Ranked]:
    """Every item of the catalogue in the target's place, best first; what the prompts share runs once.

    A free title plays no part: the catalogue takes its place.
    """
    items = range(1, len(model.profiles.titles))
    many = [case.retargeted(i).prompt(model) for i in items]  # an item of the history leaves it when it is asked about
    scores = dict(zip(items, model.score_prompts(many, shared=True).tolist()))
    seen = set(model.profiles.seen[case.user_id])
    return [Ranked(i, scores[i], i in seen) for i in sorted(items, key=lambda i: (-scores[i], i))]


class Answers:
    """The answers of ``models`` (name -> `Recommender`), remembered by model and case."""

    def __init__(self, models: Mapping):
        self.models = models
        self._rankings: dict[tuple, list[Ranked]] = {}
        self.explained = functools.lru_cache(_KEPT)(self._explained)
        self.looked = functools.lru_cache(_KEPT)(self._looked)
        self.items = functools.lru_cache(_KEPT)(self._items)

    def _explained(self, name: str, case: Case) -> Explanation:
        """What a model answers, and what each part was worth to it."""
        return case.explain(self.models[name])

    def _looked(self, name: str, case: Case) -> Attention:
        """Where a model looks."""
        return self.models[name].attention(case.prompt(self.models[name]))

    def _items(self, name: str, case: Case) -> list[int]:
        """The item whose title a token belongs to, position by position; 0 for none."""
        prompt = self.explained(name, case).prompt
        encoded = self.models[name].encoder.encode(prompt)
        items = [0] * len(encoded.ids)
        for segment, (first, end) in zip(prompt.segments, encoded.spans, strict=True):
            items[first:end] = [getattr(segment, "item_id", 0)] * (end - first)
        return items

    def rank(self, name: str, case: Case) -> list[Ranked]:
        """The whole catalogue in the target's place, best first."""
        key = _all_but_the_target(name, case)
        if key not in self._rankings:
            self._rankings[key] = ranking(self.models[name], case)
        return self._rankings[key]

    def ranked(self, name: str, case: Case) -> list[Ranked] | None:
        """What `rank` gave, if it was asked."""
        return self._rankings.get(_all_but_the_target(name, case))


def _all_but_the_target(name: str, case: Case) -> tuple:
    return name, case.user_id, case.told, case.template, case.off, case.owner
