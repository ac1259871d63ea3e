"""Next-item prediction: sequences, leave-one-out, and the filters that the field applies before it.

Leave-one-out: the last item of each user is test, the one before it valid, the rest train (LC-Rec,
arXiv 2311.09049, as most of its field). It is no split by time: one user's train row may be later than
another's test row, and `leak_report` says so.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from sellarec_lab.data.build import frames, numbered
from sellarec_lab.data.errors import problem
from sellarec_lab.data.interactions import SPLITS, Interactions
from sellarec_lab.data.steps import Step, counted, steps_table

SHORTEST = 3  # one row each for train, valid and test


def as_sequences(data: Interactions) -> Interactions:
    """The data as they are, where they are sequences already (test holds likes alone); otherwise `leave_one_out`."""
    return data if data.test["label"].all() else leave_one_out(data)


def leave_one_out(data: Interactions) -> Interactions:
    """The likes of `data`, of all its splits, as sequences for next-item prediction; every label is 1.

    Of an item liked twice by one user the first like counts. Likes of items that would have no train row
    are left out, since no model of ids could rank them. That shortens sequences, so it is repeated, as is
    leaving out users with fewer than 3 likes, until all have a train row. The catalogue, the ids and the
    truth stay those of `data`, so that tables [n_items + 1, d] fit; `steps` says what was left out.

    Raises:
        DataError: no user is left.
    """
    rows = pd.concat([data.split(part) for part in SPLITS]).sort_index()
    likes = rows.loc[rows["label"] == 1, ["user_id", "item_id", "label", "timestamp"]]
    steps = [counted("all ratings", rows), counted("likes only", likes)]
    likes = first_of_each_pair(likes)
    steps.append(counted("first like of each (user, item)", likes))
    likes, known = _with_train_rows(likes, data.name)
    steps += known
    return replace(data, name=f"{data.name}-next", **frames(likes), steps=_appended(data.steps, steps))


def sequence_data(
    name: str,
    table: pd.DataFrame,
    items: pd.DataFrame,
    users: Iterable[str],
    steps: list[Step],
    reviews: pd.DataFrame | None = None,
) -> Interactions:
    """Interactions by leave-one-out, label 1 everywhere.

    Args:
        table: `user_id`, `item_id` (int64, from 1) and `timestamp`; each user's rows, at least 3, in time order.
        items: `item_id` and what else is known, in the order of the ids.
        users: external ids, in the order of the ids.
    """
    table = table.assign(label=1, split=last_two_out(table))
    entities = {"items": numbered(items, "item_id"), "users": numbered(pd.DataFrame({"user_id": users}), "user_id")}
    return Interactions(name=name, **frames(table), **entities, reviews=reviews, steps=steps_table(steps))


def last_two_out(table: pd.DataFrame) -> pd.Series:
    """The split of each row by leave-one-out. [rows]

    Args:
        table: each user's rows, at least 3, in time order; column `user_id`.
    """
    from_end = table.groupby("user_id").cumcount(ascending=False)
    return pd.Series(np.select([from_end == 0, from_end == 1], ["test", "valid"], "train"), table.index, dtype=object)


def first_of_each_pair(table: pd.DataFrame) -> pd.DataFrame:
    """Without the later rows of a repeated (user, item); the rows are in time order."""
    return table[~table.duplicated(["user_id", "item_id"])]


def long_enough(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """The rows of users with at least 3 rows; a DataError that names `where` if there are none."""
    kept = table[_sizes(table, "user_id") >= SHORTEST]
    if kept.empty:
        raise problem(where, f"a user with {SHORTEST} items", "none", "Check the source, or filter less.")
    return kept


def k_core(table: pd.DataFrame, k: int) -> pd.DataFrame:
    """The largest part of the rows in which every user and every item has at least `k` rows, order kept."""
    while True:
        enough = (_sizes(table, "user_id") >= k) & (_sizes(table, "item_id") >= k)
        if enough.all():
            return table
        table = table[enough]


def _sizes(table: pd.DataFrame, column: str) -> pd.Series:
    """How many rows share the row's value of the column. [rows]"""
    return table[column].map(table[column].value_counts())


def _with_train_rows(likes: pd.DataFrame, name: str) -> tuple[pd.DataFrame, list[Step]]:
    """Users of 3 likes and items of a train row, with the column `split`; and a step a round."""
    steps = []
    while True:
        likes = long_enough(likes, name)
        likes = likes.assign(split=last_two_out(likes))
        steps.append(counted(f"users with {SHORTEST} likes or more", likes))
        known = likes["item_id"].isin(likes.loc[likes["split"] == "train", "item_id"])
        if known.all():
            return likes, steps
        likes = likes[known]
        steps.append(counted("likes of items with a train row", likes))


def _appended(before: pd.DataFrame, steps: list[Step]) -> pd.DataFrame:
    return steps_table([*(Step(*row) for row in before.itertuples(index=False)), *steps])
