"""Ranking the whole catalogue: HR@K and NDCG@K for the likes of the test split."""

from __future__ import annotations

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from sellarec_lab import metrics
from sellarec_lab.sella import Recommender


def questions(data, users: int, seed: int = 0) -> pd.DataFrame:
    """Whom to rank for: a fixed sample of users who like something in test, indexed by user_id.

    ``history``: what they liked in train and valid, oldest first. ``seen``: what they rated there, which is no
    candidate. ``relevant``: what they like in test. Everything else in the catalogue counts as not relevant, liked or
    not: the protocol knows no other answer.
    """
    before = pd.concat([data.train, data.valid]).sort_index()
    likes = data.test[data.test["label"] == 1].groupby("user_id")["item_id"].agg(set)
    chosen = np.sort(np.random.default_rng(seed).permutation(likes.index.to_numpy())[:users])
    nothing = pd.Series([[] for _ in chosen], index=chosen, dtype=object)
    liked = before[before["label"] == 1].groupby("user_id")["item_id"].agg(list)
    seen = before.groupby("user_id")["item_id"].agg(list)
    table = {"history": liked, "seen": seen}
    table = {name: column.reindex(chosen).where(lambda c: c.notna(), nothing) for name, column in table.items()}
    return pd.DataFrame(table | {"relevant": likes.loc[chosen]})


def score_catalogue(predict, asked: pd.DataFrame, n_items: int, label: str) -> np.ndarray:
    """Scores of every candidate for every user asked about, [U, n_items + 1]; -inf where an item is no candidate.

    ``predict`` is a `Recommender` (which shares the beginning of a user's prompts) or any function from frame to
    scored frame.
    """
    out = np.full((len(asked), n_items + 1), -np.inf)
    for row, (user, ask) in enumerate(tqdm(asked.iterrows(), label, len(asked), leave=False, unit="user", delay=2)):
        items = np.setdiff1d(np.arange(1, n_items + 1), ask["seen"])
        if isinstance(predict, Recommender):
            out[row, items] = predict.score_items(int(user), items.tolist(), ask["history"])
        else:
            frame = pd.DataFrame({"user_id": user, "item_id": items})
            frame["history"] = [tuple(ask["history"])] * len(items)
            out[row, items] = predict(frame)["score"]
    return out


def ranking(scores: np.ndarray, asked: pd.DataFrame) -> pd.DataFrame:
    """Per user ``hr@5, hr@10, ndcg@5, ndcg@10``, indexed by user_id."""
    table = metrics.full_ranking(scores, list(asked["relevant"]))
    return table.set_axis(asked.index[table.index])
