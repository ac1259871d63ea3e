"""What is known of people and things at the end of the data, and the verbs of every model that can score candidates."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from sellarec_lab import metrics
from sellarec_lab.data import asked
from sellarec_lab.data.interactions import SPLITS, Interactions

_QUERIES = 512  # rankings at a time: a matrix of queries x items


@dataclass(frozen=True)
class Profiles:
    """Title and external id by item id (0 is padding: ""); liked and rated items by user id, in time order."""

    titles: list[str]
    external: list[str]
    liked: dict[int, list[int]]
    seen: dict[int, list[int]]

    @classmethod
    def of(cls, data: Interactions, titles: Sequence[str] | None = None) -> Profiles:
        """From all splits, since asking for a recommendation happens after the last row; ``titles`` in the place of the
        data's own."""
        rows = pd.concat([data.train, data.valid, data.test]).sort_index()
        liked = rows[rows["label"] == 1].groupby("user_id")["item_id"].agg(list).to_dict()
        seen = rows.groupby("user_id")["item_id"].agg(list).to_dict()
        return cls(list(titles or data.titles), ["", *data.items["external_id"].astype(str)], liked, seen)

    @classmethod
    def from_json(cls, raw: dict) -> Profiles:
        """What ``dataclasses.asdict`` and json made of it.

        Raises:
            ValueError: ids that are no whole numbers, or items that the catalogue does not hold.
            KeyError, TypeError, AttributeError: other fields, or other kinds of values.
        """
        people = {name: {int(user): list(ids) for user, ids in raw[name].items()} for name in ("liked", "seen")}
        made = cls(list(raw["titles"]), list(raw["external"]), **people)
        if len(made.titles) != len(made.external) or not made.seen or not all(isinstance(t, str) for t in made.titles):
            raise ValueError("titles and external ids must be texts, as many of each, and somebody must have seen some")
        for ids in (*made.liked.values(), *made.seen.values()):
            asked.items(made, ids)
        return made

    @property
    def n_items(self) -> int:
        return len(self.titles) - 1

    def disliked(self, user_id: int, before: int | None = None, likes: int | None = None) -> tuple[int, ...]:
        """What a user rated and did not like, oldest first.

        Args:
            before: only what came before this item, where the user rated that.
            likes: only what came since the oldest of so many of the last likes: how often a user dislikes shows in how
                many there are beside the likes. As many of each would tell nothing of it.
        """
        seen, liked = self.seen[user_id], set(self.liked.get(user_id, ()))
        told = seen[: seen.index(before)] if before in seen else seen
        places = [place for place, item in enumerate(told) if item in liked]
        start = places[-likes] if likes and likes <= len(places) else 0
        return tuple(item for item in told[start:] if item not in liked)

    def with_disliked(self, frame: pd.DataFrame, likes: int | None = None) -> pd.DataFrame:
        """Rows (``user_id, item_id``) with a column ``disliked``: items that the user had rated and not liked before
        the row, as `disliked` tells them. A column that is there stays."""
        if "disliked" in frame:
            return frame
        told = [self.disliked(user, item, likes) for user, item in zip(frame["user_id"], frame["item_id"])]
        return frame.assign(disliked=pd.Series(told, index=frame.index, dtype=object))


def liked_genres(data: Interactions) -> pd.DataFrame:
    """Share of each user's likes in train that have a genre, from 0 to 1: a row for each of the ids 0 .. n_users, zeros
    for who likes nothing there, and a column a genre."""
    likes = data.train.loc[data.train["label"] == 1, ["user_id", "item_id"]]
    named = data.genres.map(set)  # a table may name one twice
    told = likes.assign(genre=named.reindex(likes["item_id"]).to_numpy()).explode("genre")
    shares = pd.crosstab(told["user_id"], told["genre"]).div(likes.groupby("user_id").size(), axis=0)
    return shares.reindex(range(data.n_users + 1)).fillna(0.0)


class Recommends:
    """``recommend`` for whatever has ``profiles`` and can score items for one user."""

    profiles: Profiles

    def score_items(self, user_id: int, items: Sequence[int], history: Sequence[int] | None = None) -> np.ndarray:
        """Scores of many items for one user [n]; ``history`` defaults to all that the user has liked."""
        raise NotImplementedError

    def recommend(self, user_id: int, k: int = 10) -> pd.DataFrame:
        """The k best items of the whole catalogue that the user has not rated: ``item_id, title, score``.

        Raises:
            UnknownIdError: a user that the data does not hold.
            ValueError: ``k`` is no whole number of at least 1.
        """
        user_id, k = asked.user(self.profiles, user_id), asked.count(k)
        items = np.setdiff1d(np.arange(1, self.profiles.n_items + 1), self.profiles.seen[user_id])
        return best(self.profiles, items, self.score_items(user_id, items.tolist()), k)


def best(profiles: Profiles, items: np.ndarray, scores: np.ndarray, k: int) -> pd.DataFrame:
    """The k best of some items by score, without those of score -inf: ``item_id, title, score``."""
    order = np.argsort(-scores, kind="stable")[:k]
    order = order[scores[order] > -np.inf]
    titles = [profiles.titles[i] for i in items[order]]
    return pd.DataFrame({"item_id": items[order], "title": titles, "score": scores[order].astype(float)})


class Ranker(Recommends):
    """``recommend`` and ``rank`` for whatever can score rows and has ``profiles``, or ``data`` that they come from."""

    @functools.cached_property
    def profiles(self) -> Profiles:
        """Known when a recommendation is asked for: training never looks at test."""
        return Profiles.of(self.data)

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame's rows (``user_id, item_id, history``) with a float ``score``."""
        raise NotImplementedError

    def score_items(self, user_id: int, items: Sequence[int], history: Sequence[int] | None = None) -> np.ndarray:
        known = self.profiles.liked.get(user_id, []) if history is None else history
        frame = pd.DataFrame({"user_id": user_id, "item_id": list(items)})
        return self.predict(frame.assign(history=[tuple(known)] * len(frame)))["score"].to_numpy()

    def rank(self, queries: pd.DataFrame) -> pd.DataFrame:
        """`Ranks` of the targets among the whole catalogue without what each user has seen; a tie counts against the
        target, so equal scores for all items find nothing.

        ``queries``, indexed by user_id: ``history`` and ``seen`` (item ids, oldest first), ``targets`` (item ids).
        """
        scores = np.full((len(queries), self.profiles.n_items + 1), -np.inf)
        for row, ask in enumerate(tqdm(queries.itertuples(), "ranking", len(queries), leave=False, delay=2)):
            items = np.setdiff1d(np.arange(1, self.profiles.n_items + 1), ask.seen)
            scores[row, items] = self.score_items(int(ask.Index), items.tolist(), ask.history)
        return metrics.rank_targets(scores, list(queries["targets"]), ties="worst", queries=queries.index)


class NextItemRanker(Recommends):
    """``recommend`` and ``rank`` for whatever has ``profiles`` and scores the whole catalogue after a history."""

    def score_catalogue(self, histories: Sequence[Sequence[int]]) -> np.ndarray:
        """Scores of all items after each history (item ids, oldest first), [Q, n_items + 1]; -inf for what is no
        candidate, padding included."""
        raise NotImplementedError

    def score_items(self, user_id: int, items: Sequence[int], history: Sequence[int] | None = None) -> np.ndarray:
        known = self.profiles.liked.get(user_id, []) if history is None else history
        return self.score_catalogue([known])[0][list(items)]

    def rank(self, queries: pd.DataFrame) -> pd.DataFrame:
        """`Ranks` of the targets among the whole catalogue without what is ``seen``. Equal scores share the mean of the
        ranks that they hold together: items that a model can't tell apart share their credit. One column more,
        ``best``, has the best of those ranks: what a table shows that counts an index as an item.

        ``queries``, indexed by user_id: ``history`` and ``seen`` (item ids, oldest first), ``targets`` (item ids).
        """
        parts = []
        for start in range(0, len(queries), _QUERIES):
            some = queries.iloc[start : start + _QUERIES]
            asked = {"targets": list(some["targets"]), "queries": some.index, "excluded": list(some["seen"])}
            scores = self.score_catalogue(list(some["history"]))
            mean, best = (metrics.rank_targets(scores, ties=ties, **asked) for ties in ("mean", "best"))
            parts.append(mean.assign(best=best["rank"]))
        return pd.concat(parts, ignore_index=True)


def next_items(data: Interactions, split: str) -> pd.DataFrame:
    """What is asked of a `NextItemRanker`: one query a row of the split, indexed by user_id, with ``history``,
    ``seen`` (what the user met may come again; an item that no sequence holds may not, for any model) and
    ``targets``."""
    rows = data.split(split).set_index("user_id")
    occur = pd.concat([data.split(part)["item_id"] for part in SPLITS])
    absent = tuple(np.setdiff1d(np.arange(1, data.n_items + 1), occur).tolist())
    told = {"history": rows["history"], "seen": [absent] * len(rows), "targets": [(item,) for item in rows["item_id"]]}
    return pd.DataFrame(told, index=rows.index)
