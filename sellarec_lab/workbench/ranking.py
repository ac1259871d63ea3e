"""The whole catalogue in a case's place."""

from typing import NamedTuple

from sellarec_lab.workbench.case import Case


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
