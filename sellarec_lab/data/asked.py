"""What a model's verbs are asked with, checked in one place: users, items, histories, frames of rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sellarec_lab.data.errors import DataError, problem

if TYPE_CHECKING:
    from sellarec_lab.data.profiles import Profiles

_HISTORY = "histories are what was liked before each row: data.valid and data.test have them"


class UnknownIdError(DataError, KeyError):
    """An id that the data does not hold."""

    __str__ = DataError.__str__  # not KeyError's, which would quote it


def user(profiles: Profiles, user_id: int) -> int:
    """The user's id, if the data holds such a user.

    Raises:
        UnknownIdError: it does not.
    """
    if not _whole(user_id) or user_id not in profiles.seen:
        known = f"known ids run from {min(profiles.seen)} to {max(profiles.seen)}"
        raise UnknownIdError(f"user {user_id!r} is not in the data; {known}, as whole numbers")
    return int(user_id)


def items(profiles: Profiles, ids: Iterable[int], what: str = "item") -> tuple[int, ...]:
    """Ids of items, if the catalogue holds them all.

    Raises:
        UnknownIdError: it does not hold one; ``what`` names it.
    """
    found = tuple(ids)
    for item in found:
        if not _whole(item) or not 1 <= item <= profiles.n_items:
            known = f"known ids run from 1 to {profiles.n_items}"
            raise UnknownIdError(f"{what} {item!r} is not in the catalogue; {known}, as whole numbers")
    return found


def count(k: int) -> int:
    """How many are asked for.

    Raises:
        ValueError: no whole number of at least 1.
    """
    if not _whole(k) or k < 1:
        raise ValueError(f"k must be a whole number of at least 1, got {k!r}")
    return int(k)


def rows(profiles: Profiles, frame: pd.DataFrame) -> pd.DataFrame:
    """The frame, if it has ``user_id``, ``item_id`` and ``history``, all of them known, and ``disliked`` where it has
    that.

    Raises:
        DataError: it does not; names row and column.
    """
    if missing := [name for name in ("user_id", "item_id", "history") if name not in frame]:
        raise problem("frame", f"a column {missing[0]!r}", list(frame.columns), f"Add it; {_HISTORY}.")
    known = {"user_id": list(profiles.seen), "item_id": range(1, profiles.n_items + 1)}
    for column, ids in known.items():
        _refuse(frame, column, ~frame[column].isin(ids), f"an id from {min(ids)} to {max(ids)} that the data holds")
    for column in ("history", "disliked"):
        if column in frame:
            _check_lists(profiles, frame, column)
    return frame


def _check_lists(profiles: Profiles, frame: pd.DataFrame, column: str) -> None:
    listed = frame[column].map(lambda ids: isinstance(ids, Sequence | np.ndarray) and not isinstance(ids, str))
    _refuse(frame, column, ~listed.astype(bool), "a tuple of item ids, oldest first")
    strange = set(chain.from_iterable(frame[column])) - set(range(1, profiles.n_items + 1))
    if strange:
        odd = frame[column].map(lambda ids: not strange.isdisjoint(ids)).astype(bool)
        _refuse(frame, column, odd, f"item ids from 1 to {profiles.n_items}")


def _refuse(frame: pd.DataFrame, column: str, bad: pd.Series, expected: str) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        where = f"frame, row {frame.index[row]}, column {column}"
        raise problem(where, expected, repr(frame[column].iloc[row]), f"Correct it; {_HISTORY}.")


def _whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
