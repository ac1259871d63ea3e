"""Tasks: what is asked, by which verb a model answers, and what is measured. Nothing here knows a model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from sellarec_lab import kg
from sellarec_lab.data import Interactions, next_items


@dataclass(frozen=True)
class Task:
    """One kind of question.

    Args:
        name: "rating", "next-item", "link" ...
        verb: the model's method that answers: "predict" (rows to `Predictions`) or "rank" (queries to `Ranks`).
        ask: (data, split, **options) -> the rows or queries.
        keeps: columns of the answer that are kept.
        metrics: what is measured, by the names that `metrics.interval` knows.
        options: plain data that decides the questions.
    """

    name: str
    verb: str
    ask: Callable[..., pd.DataFrame]
    keeps: tuple[str, ...]
    metrics: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


def likers(data: Interactions, split: str, users: int = 100, seed: int = 0) -> pd.DataFrame:
    """Whom to rank for: a fixed sample of users who like something in the split, indexed by user_id.

    ``history``: what they liked before it, oldest first. ``seen``: what they rated there, which is no candidate.
    ``targets``: what they like in the split. Everything else in the catalogue counts as not relevant, liked or not:
    the protocol knows no other answer.
    """
    before = pd.concat([data.train, data.valid] if split == "test" else [data.train]).sort_index()
    rows = data.split(split)
    likes = rows[rows["label"] == 1].groupby("user_id")["item_id"].agg(set)
    chosen = np.sort(np.random.default_rng(seed).permutation(likes.index.to_numpy())[:users])
    nothing = pd.Series([[] for _ in chosen], index=chosen, dtype=object)
    liked = before[before["label"] == 1].groupby("user_id")["item_id"].agg(list)
    seen = before.groupby("user_id")["item_id"].agg(list)
    table = {"history": liked, "seen": seen}
    table = {name: column.reindex(chosen).where(lambda c: c.notna(), nothing) for name, column in table.items()}
    return pd.DataFrame(table | {"targets": likes.loc[chosen]})


def rows(data: Interactions, split: str) -> pd.DataFrame:
    """The rows of a split, to be judged one by one."""
    return data.split(split)


_RANKS = ("query", "target", "rank", "candidates", "ties")
RATING = Task(
    "rating", "predict", rows, ("user_id", "item_id", "label", "is_warm", "score"),
    ("auc", "uauc"),
)  # fmt: skip


LAST_ITEM = Task(
    "next-item", "rank", next_items, (*_RANKS, "best"), ("hr@1", "hr@5", "hr@10", "hr@50", "ndcg@5", "ndcg@10"),
)  # fmt: skip


def links(graphs: kg.Graphs, split: str) -> pd.DataFrame:
    """Both ends of every triple of the target in a split."""
    return kg.queries(graphs[graphs.target], split)


LINK = Task(
    "link", "rank", links, (*_RANKS, "best", "worst", "side"), ("mrr", "hits@1", "hits@3", "hits@10"),
)  # fmt: skip


def chains(graphs: kg.Graphs, split: str, hops: int) -> pd.DataFrame:
    """Multi-hop questions over the target (`kg.questions`), those to learn from as well."""
    return kg.questions(graphs[graphs.target], hops)


QUESTION = Task("question", "answer", chains, _RANKS, ("mrr", "hits@1"), {"hops": 3})


def some_next(data: Interactions, split: str, users: int, seed: int = 0) -> pd.DataFrame:
    """A fixed sample of what `next_items` asks, in its order."""
    asked = next_items(data, split)
    return asked.iloc[np.sort(np.random.default_rng(seed).permutation(len(asked))[:users])]


def some_next_items(users: int) -> Task:
    """`LAST_ITEM` for so many users."""
    return replace(LAST_ITEM, ask=some_next, options={"users": users})


DECODING = Task("decoding", "inspect", some_next, ("query", "survived", "exists"), (), {"users": 200})


def next_item(users: int = 100) -> Task:
    """The whole catalogue is ranked for so many users of a split."""
    metrics = ("hr@5", "hr@10", "ndcg@5", "ndcg@10", "mrr")
    return Task("next-item", "rank", likers, _RANKS, metrics, {"users": users})
