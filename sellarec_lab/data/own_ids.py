"""The verbs of a model with the ids of one's own tables, instead of the numbers from 1 that `Interactions` gives."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sellarec_lab.data.asked import UnknownIdError
from sellarec_lab.data.errors import problem
from sellarec_lab.data.interactions import Interactions


class OwnIds:
    """``recommend``, ``predict``, ``explain``, ``score_items``, ``rank`` and ``search`` of ``model``, each as far as
    the model has it, with users and items called as in the tables that `from_frames` was given.

    Every verb raises `UnknownIdError` for an id that those tables don't hold, with the nearest ones.

    Args:
        model: anything with these verbs that was trained on ``data``.
    """

    def __init__(self, model: Any, data: Interactions):
        self.model = model
        self._own = {kind: getattr(data, f"{kind}s")["external_id"].to_numpy() for kind in ("user", "item")}
        self._number = {kind: {own: row for row, own in enumerate(ids, 1)} for kind, ids in self._own.items()}

    def recommend(self, user_id: Any, k: int = 10) -> pd.DataFrame:
        """The k best items that the user has not rated: ``item_id, title, score``."""
        return self._named(self.model.recommend(self._numbered("user", user_id), k))

    def search(self, words: str, k: int = 10) -> pd.DataFrame:
        """The k items that a model which reads finds for an intention: ``item_id, title, score``."""
        return self._named(self.model.search(words, k))

    def explain(self, user_id: Any, item_id: Any, history: Sequence[Any] | None = None) -> Any:
        """One prediction taken apart; ``history`` defaults to all that the user liked."""
        known = None if history is None else self._items(history)
        return self.model.explain(self._numbered("user", user_id), self._numbered("item", item_id), known)

    def score_items(self, user_id: Any, items: Sequence[Any], history: Sequence[Any] | None = None) -> np.ndarray:
        """Scores of many items for one user [n]."""
        known = None if history is None else self._items(history)
        return self.model.score_items(self._numbered("user", user_id), self._items(items), known)

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame's rows (``user_id, item_id`` and, for models that read it, ``history``) with a float ``score``.

        Raises:
            DataError: a column is missing; an id is unknown, with its row.
        """
        asked = frame.assign(**{f"{kind}_id": self._column(frame, kind) for kind in ("user", "item")})
        for column in ("history", "disliked"):
            if column in frame:
                told = [self._items(_list(frame, row, column)) for row in range(len(frame))]
                asked[column] = pd.Series(map(tuple, told), index=frame.index, dtype=object)
        return frame.assign(score=self.model.predict(asked)["score"].to_numpy())

    def rank(self, queries: pd.DataFrame) -> pd.DataFrame:
        """`Ranks` of the targets; ``queries``, indexed by user id: ``history``, ``seen``, ``targets`` (item ids)."""
        users = [self._numbered("user", user) for user in queries.index]
        lists = {column: [self._items(ids) for ids in queries[column]] for column in ("history", "seen", "targets")}
        ranks = self.model.rank(pd.DataFrame(lists, index=pd.Index(users, name="user_id")))
        own = ranks["query"].map(lambda user: self._own["user"][user - 1])
        return ranks.assign(query=own, target=ranks["target"].map(lambda item: self._own["item"][item - 1]))

    def _numbered(self, kind: str, own: Any) -> int:
        number = self._number[kind].get(own) if pd.api.types.is_hashable(own) else None
        if number is None:
            raise UnknownIdError(f"{kind} {own!r} is not in the data; {self._near(kind, own)}")
        return number

    def _near(self, kind: str, own: Any) -> str:
        by_text = {str(known): known for known in self._own[kind]}
        near = difflib.get_close_matches(str(own), by_text, 3) or list(by_text)[:3]
        return f"did you mean {' or '.join(repr(by_text[text]) for text in near)}?"

    def _items(self, ids: Iterable[Any]) -> list[int]:
        return [self._numbered("item", own) for own in ids]

    def _column(self, frame: pd.DataFrame, kind: str) -> pd.Series:
        column = f"{kind}_id"
        if column not in frame:
            raise problem("frame", f"a column {column!r}", list(frame.columns), "Add it, with your own ids.")
        numbers = frame[column].map(self._number[kind])
        bad = numbers.isna().to_numpy()
        if bad.any():
            row = int(bad.argmax())
            own = frame[column].iloc[row]
            where = f"frame, row {frame.index[row]}, column {column}"
            raise problem(where, f"the id of a known {kind}", repr(own), self._near(kind, own).capitalize())
        return numbers.astype("int64")

    def _named(self, found: pd.DataFrame) -> pd.DataFrame:
        return found.assign(item_id=self._own["item"][found["item_id"].to_numpy() - 1])


def _list(frame: pd.DataFrame, row: int, column: str) -> Iterable[Any]:
    ids = frame[column].iloc[row]
    if isinstance(ids, str) or not isinstance(ids, Sequence | np.ndarray):
        where = f"frame, row {frame.index[row]}, column {column}"
        raise problem(where, "a tuple of item ids, oldest first", repr(ids), "Correct it.")
    return ids
