"""What a model says to a case: its tokens, its score, and the score without each part; all in one batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from scipy.special import expit

from sellarec_lab import prompts
from sellarec_lab.prompts import Prompt, Text
from sellarec_lab.workbench.case import Case


class Token(NamedTuple):
    """A token as text. ``role`` is a kind of soft token (one of `prompts.KINDS`) where ``soft``, else the role of the
    text it belongs to ("frame", "history", "title", "code")."""

    text: str
    role: str
    soft: bool


@dataclass(frozen=True)
class Answer:
    """A model's answer. ``without_slot`` and ``without_title`` hold the scores of the same prompt with one kind of
    soft token, or one title of the history, taken out; scores are logit(Yes) - logit(No)."""

    prompt: Prompt
    tokens: tuple[Token, ...]
    score: float
    without_slot: dict[str, float]
    without_title: dict[int, float]

    @property
    def probability(self) -> float:
        return float(expit(self.score))


class Ranked(NamedTuple):
    """A place in the ranking of the catalogue; ``seen`` says that the user has rated the item."""

    item_id: int
    score: float
    seen: bool


def answer(model, case: Case) -> Answer:
    """Score a case and everything that it is compared with: one call of the model."""
    prompt = case.prompt(model)
    slots = {slot.kind: prompts.without_slot(prompt, slot.kind) for slot in prompt.slots}
    titles = {item: case.dropped(item).prompt(model) for item in case.history}
    scores = [float(s) for s in model.score_prompts([prompt, *slots.values(), *titles.values()])]
    rest = scores[1 + len(slots) :]
    return Answer(prompt, tokens(model, prompt), scores[0], dict(zip(slots, scores[1:])), dict(zip(titles, rest)))


def tokens(model, prompt: Prompt) -> tuple[Token, ...]:
    """Every position of the prompt as the model gets it, in order.

    Positions decide what is soft: a title that spells ``<Item_ID>`` is text.
    """
    encoded = model.encoder.encode(prompt)
    roles = ["frame"] * len(encoded.ids)
    for segment, (start, end) in zip(prompt.segments, encoded.spans, strict=True):
        if isinstance(segment, Text):
            roles[start:end] = [segment.role] * (end - start)
    soft = {position: slot.kind for position, slot in encoded.slots}
    words = model.encoder.shown(encoded)
    return tuple(Token(word, soft.get(i, roles[i]), i in soft) for i, word in enumerate(words))


def ranking(model, case: Case) -> list[Ranked]:
    """Every item of the catalogue in the target's place, best first; what the prompts share runs once.

    A free title plays no part: the catalogue takes its place.
    """
    items = range(1, len(model.memory.titles))
    fixed = [i for i in items if i not in case.history]  # the others leave the history when they are asked about
    many = [case.retargeted(i).prompt(model) for i in fixed]
    scores = dict(zip(fixed, model.score_prompts(many, shared=True).tolist()))
    if case.history:
        moved = [case.retargeted(i).prompt(model) for i in case.history]
        scores |= dict(zip(case.history, model.score_prompts(moved).tolist()))
    seen = set(model.memory.seen[case.user_id])
    order = sorted(items, key=lambda i: (-scores[i], i))
    return [Ranked(i, float(scores[i]), i in seen) for i in order]
