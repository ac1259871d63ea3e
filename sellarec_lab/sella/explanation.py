"""One prediction taken apart: what `explain` and `Recommender.attention` hand to a reader or a view."""

import html
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from sellarec_lab import prompts
from sellarec_lab.llm import Encoded
from sellarec_lab.prompts import Prompt, Slot, Text


class LeftOut(NamedTuple):
    """A title that the prompt shows, liked or disliked, and the score of the same prompt without it."""

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
    """One prediction taken apart; ``tokens``, ``roles`` and ``ids`` go position by position.

    Args:
        prompt: what was asked.
        tokens: the tokens as text, soft tokens by name.
        roles: at a soft token its kind (one of `prompts.KINDS`), else the role of its text ("frame", "history",
            "disliked", "title", "code"). Nothing else says what is soft: a title that spells ``<Item_ID>`` is a title.
        ids: the token ids; at a soft token the padding id, which is never read.
        score: logit(Yes) − logit(No).
        without: kind → score of the prompt without all its tokens of this kind; the words stay.
        without_titles: each title of the history that is shown, in order, with the score without it.
        answers: the two answers, first the one that means "like".

    Raises:
        ValueError: tokens, roles and ids of different numbers; all three are named.
    """

    prompt: Prompt
    tokens: list[str]
    roles: list[str]
    ids: list[int]
    score: float
    without: dict[str, float]
    without_titles: list[LeftOut]
    answers: tuple[AnswerToken, ...]

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in ("tokens", "roles", "ids")}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"one of each is needed at every position, found {lengths}")

    @property
    def probability(self) -> float:
        """P(like) = sigmoid(score): Yes against No alone."""
        return float(expit(self.score))

    @property
    def positions(self) -> dict[str, tuple[int, ...]]:
        """Kind of soft token → all its positions (a soft prompt has eight), in the prompt's order."""
        found: dict[str, tuple[int, ...]] = {}
        for position, role in enumerate(self.roles):
            if role in prompts.KINDS:
                found[role] = (*found.get(role, ()), position)
        return found

    @property
    def slots(self) -> dict[str, int]:
        """Kind of soft token → its first position."""
        return {kind: first for kind, (first, *_) in self.positions.items()}

    def _repr_html_(self) -> str:
        left_out = [(prompts.KINDS[kind].shown, value) for kind, value in self.without.items()]
        left_out += [(title.title, title.score) for title in self.without_titles]
        rows = "".join(f"<tr><td>without {html.escape(n)}</td><td>{v:+.3f}</td></tr>" for n, v in left_out)
        table = f"<table><tr><td>score</td><td>{self.score:+.3f}</td></tr>{rows}</table>"
        return f"{self.prompt._repr_html_()}<p>P(like) = {self.probability:.3f}</p>{table}"


class Span(NamedTuple):
    """A segment of the prompt among its tokens: ``first`` to ``end`` − 1. ``kind`` is a soft token's kind, or
    "history", "disliked", "title", "code" or "frame"."""

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


def explain(model, prompt: Prompt, drop: Callable[[int], Prompt] | None = None) -> Explanation:
    """Take the answer to any prompt apart. All variants are scored in one call, each with one part alone taken out.

    Args:
        model: a `Recommender`.
        prompt: one of its own, or an edited one.
        drop: item id → the question without that title of the history; None leaves no title out. Whoever made the
            prompt makes it anew, since joiners, the words around the history and a taste token's mean change too.
    """
    encoded = model.encoder.encode(prompt)
    kinds = list(dict.fromkeys(slot.kind for slot in prompt.slots))
    titles = shown_titles(prompt) | shown_titles(prompt, "disliked") if drop else {}
    variants = [*(prompts.without_slot(prompt, kind) for kind in kinds), *map(drop, titles)]
    score, *rest = model.score_prompts([prompt, *variants]).tolist()
    left_out = [LeftOut(*title, s) for title, s in zip(titles.items(), rest[len(kinds) :], strict=True)]
    return Explanation(
        prompt, model.encoder.shown(encoded), _roles(prompt, encoded), encoded.ids, score, dict(zip(kinds, rest)),
        left_out, _answers(model, prompt),
    )  # fmt: skip


def shown_titles(prompt: Prompt, role: str = "history") -> dict[int, str]:
    """Item id → title of the history that a prompt shows, oldest first: of what was liked, or "disliked"."""
    return {s.item_id: s.text for s in prompt.segments if isinstance(s, Text) and s.role == role}


def spans_of(prompt: Prompt, encoded: Encoded) -> list[Span]:
    """Every segment with the tokens that it became; ``encoded`` must come from `Encoder.encode`, which knows them."""
    return [
        Span(prompts.KINDS[s.kind].shown, s.kind, *span) if isinstance(s, Slot) else Span(s.text, s.role, *span)
        for s, span in zip(prompt.segments, encoded.spans, strict=True)
    ]


def _roles(prompt: Prompt, encoded: Encoded) -> list[str]:
    roles = ["frame"] * len(encoded.ids)  # what stands around the segments is the chat template's
    for span in spans_of(prompt, encoded):
        roles[span.first : span.end] = [span.kind] * (span.end - span.first)
    return roles


def _answers(model, prompt: Prompt) -> tuple[AnswerToken, ...]:
    logits = model.logits(prompt)  # [V]
    share, text = logits.softmax(0), model.lm.tokenizer.decode
    return tuple(AnswerToken(text([i]), i, float(logits[i]), float(share[i])) for i in model.answer_ids)
