"""One prediction taken apart: what `Recommender.explain` and `Recommender.attention` hand to a reader or a view."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from sellarec_lab import prompts
from sellarec_lab.llm import Encoded
from sellarec_lab.prompts import Prompt, Slot


class LeftOut(NamedTuple):
    """A title of the history that the prompt shows, and the score of the same prompt without it."""

    item_id: int
    title: str
    score: float


class AnswerToken(NamedTuple):
    """An answer at the place that predicts it: its first token as text and id, that token's logit (float32), and its
    share of the probability over the whole vocabulary."""

    text: str
    id: int
    logit: float
    probability: float


@dataclass(frozen=True)
class Explanation:
    """One prediction taken apart.

    Args:
        prompt: what was asked.
        tokens: the tokens as text, soft tokens by name, position by position.
        slots: kind of soft token → its first position.
        score: logit(Yes) − logit(No).
        probability: P(like) = sigmoid(score): Yes against No alone.
        without: kind → score of the prompt without all its tokens of this kind; the words stay.
        ids: the token id at each position; at a soft token the padding id, which is never read.
        positions: kind → all its positions (a soft prompt has eight).
        without_titles: each title of the history that is shown, in order, with the score without it. A taste token
            then averages the titles that are left.
        answers: the two answers, first the one that means "like".
    """

    prompt: Prompt
    tokens: list[str]
    slots: dict[str, int]
    score: float
    probability: float
    without: dict[str, float]
    ids: list[int] = field(default_factory=list)
    positions: dict[str, tuple[int, ...]] = field(default_factory=dict)
    without_titles: list[LeftOut] = field(default_factory=list)
    answers: tuple[AnswerToken, ...] = ()

    def _repr_html_(self) -> str:
        left_out = [(prompts.KINDS[kind].shown, value) for kind, value in self.without.items()]
        left_out += [(title.title, title.score) for title in self.without_titles]
        rows = "".join(f"<tr><td>without {html.escape(n)}</td><td>{v:+.3f}</td></tr>" for n, v in left_out)
        table = f"<table><tr><td>score</td><td>{self.score:+.3f}</td></tr>{rows}</table>"
        return f"{self.prompt._repr_html_()}<p>P(like) = {self.probability:.3f}</p>{table}"


class Span(NamedTuple):
    """A segment of the prompt among its tokens: ``first`` to ``end`` − 1. ``kind`` is a soft token's kind, or
    "history", "title", "code" or "frame"."""

    name: str
    kind: str
    first: int
    end: int


class Attention(NamedTuple):
    """Where the place that predicts the answer looks: ``tokens`` (L texts), ``weights`` float32 [layers, heads, L],
    each head's summing to 1, and the prompt's segments as ``spans``."""

    tokens: list[str]
    weights: np.ndarray
    spans: list[Span]


def positions_of(encoded: Encoded) -> dict[str, tuple[int, ...]]:
    """Kind of soft token → all its positions, in the prompt's order."""
    found: dict[str, tuple[int, ...]] = {}
    for position, slot in encoded.slots:
        found[slot.kind] = (*found.get(slot.kind, ()), position)
    return found


def spans_of(prompt: Prompt, encoded: Encoded) -> list[Span]:
    """Every segment with the tokens that it became; ``encoded`` must come from `Encoder.encode`, which knows them."""
    return [
        Span(prompts.KINDS[s.kind].shown, s.kind, *span) if isinstance(s, Slot) else Span(s.text, s.role, *span)
        for s, span in zip(prompt.segments, encoded.spans, strict=True)
    ]
