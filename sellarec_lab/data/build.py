"""From plain tables to `Interactions`: ids, labels, splits, histories, warmth.

One path for every data set: MovieLens and the embedded world go through `from_frames` as well.
"""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from sellarec_lab.data.checks import look_over, look_over_splits, numbers, timestamps, validate
from sellarec_lab.data.errors import problem
from sellarec_lab.data.interactions import FRAME_COLUMNS, SPLITS, Interactions

DEFAULT_SPLIT = (0.8, 0.1, 0.1)


def from_frames(
    interactions: pd.DataFrame,
    items: pd.DataFrame,
    users: pd.DataFrame | None = None,
    *,
    name: str = "own",
    split: str | Sequence[float] | None = None,
    threshold: float = 4.0,
    truth: np.ndarray | None = None,
) -> Interactions:
    """Turn your own tables into `Interactions`.

    The rows are sorted by (user, timestamp); rows of one user and one second keep the order given, or that of their
    datetimes. What can be used but is seldom meant is warned of: titles that show nothing, train rows after test rows.
    Items are numbered 1, 2, ... in the order of `items`; users in the order of `users`, or of first
    appearance if that table is not given. Your own ids stay in the column `external_id`.

    Args:
        interactions: `user_id` and `item_id` (any hashable type), `timestamp` (seconds or datetime),
            `label` (0 or 1) or else `rating` (1 to 5), and optionally `split` (train, valid, test).
        items: `item_id`, `title`, and anything else.
        users: optional; `user_id` and anything else.
        name: name of the data set.
        split: a column that says train, valid or test; or the shares of train, valid and test, cut at
            two moments in time that hold for all users. None: the column `split` if there is one, else
            0.8, 0.1, 0.1.
        threshold: a rating of at least this is a like (label 1).
        truth: float32 [n_users + 1, n_items + 1], true P(like), for simulated worlds.

    Raises:
        DataError: see `validate`; also if a split has no row.
    """
    validate(interactions, items, users)
    labels = _labels(interactions, threshold)
    look_over(interactions, items, threshold)
    if users is None:
        users = pd.DataFrame({"user_id": interactions["user_id"].drop_duplicates()})
    table = pd.DataFrame(
        {
            "user_id": pd.Index(users["user_id"]).get_indexer(interactions["user_id"]).astype("int64") + 1,
            "item_id": pd.Index(items["item_id"]).get_indexer(interactions["item_id"]).astype("int64") + 1,
            "label": labels,
            "timestamp": timestamps(interactions),
        }
    )
    table["split"] = _splits(interactions, table["timestamp"].to_numpy(), split)
    look_over_splits(table)
    if pd.api.types.is_datetime64_any_dtype(interactions["timestamp"]):  # rows of one second in their true order
        table = table.iloc[interactions["timestamp"].argsort(kind="stable")]
    entities = {"items": numbered(items, "item_id"), "users": numbered(users, "user_id")}
    return Interactions(name=name, **frames(table), **entities, truth=truth)


def frames(table: pd.DataFrame) -> dict[str, Any]:
    """Train, valid and test as `Interactions` wants them, by name: sorted, with histories and warmth.

    Args:
        table: `user_id`, `item_id`, `label`, `timestamp` (all int64) and `split`; rows of one user and one
            timestamp keep the order given.
    """
    # lexsort is documented as stable; sort_values over two columns is not.
    order = np.lexsort((table["timestamp"], table["user_id"]))
    table = table.iloc[order].reset_index(drop=True)
    table["history"] = pd.Series(histories(table), dtype=object)
    table["is_warm"] = seen_often(table[table["split"] == "train"], table, at_least=1)
    return {part: table.loc[table["split"] == part, list(FRAME_COLUMNS)] for part in SPLITS}


def histories(table: pd.DataFrame) -> list[tuple[int, ...]]:
    """For each row the items that its user liked in earlier rows, oldest first.

    Args:
        table: sorted by `user_id`, then by time, with `item_id` and `label`.
    """
    users = table["user_id"].to_numpy()
    liked = table["label"].to_numpy() == 1
    liked_items = tuple(table["item_id"].to_numpy()[liked].tolist())
    liked_before = np.cumsum(liked) - liked  # [rows], over all users
    first_row = np.searchsorted(users, users)  # [rows], where the row's user begins
    starts = liked_before[first_row]
    return [liked_items[a:b] for a, b in zip(starts.tolist(), liked_before.tolist(), strict=True)]


def seen_often(train: pd.DataFrame, frame: pd.DataFrame, *, at_least: int) -> pd.Series:
    """True where both the row's user and its item have at least `at_least` rows in train. [rows]"""
    counts = {column: frame[column].map(train[column].value_counts()) for column in ("user_id", "item_id")}
    return (counts["user_id"] >= at_least) & (counts["item_id"] >= at_least)


def _labels(interactions: pd.DataFrame, threshold: float) -> np.ndarray:
    if "label" in interactions.columns:
        return numbers("table interactions", interactions, "label").to_numpy(dtype="int64")
    if not isinstance(threshold, Real) or not np.isfinite(threshold):
        raise problem("threshold", "a number that a rating can reach", repr(threshold), "Likes are ratings from it on.")
    ratings = numbers("table interactions", interactions, "rating").to_numpy(dtype="float64")
    return (ratings >= threshold).astype("int64")


def _splits(interactions: pd.DataFrame, seconds: np.ndarray, split: str | Sequence[float] | None) -> np.ndarray:
    """The name of each row's split. [rows]"""
    if split is None:
        split = "split" if "split" in interactions.columns else DEFAULT_SPLIT
    if not isinstance(split, str) and (not isinstance(split, Sequence) or not all(isinstance(s, Real) for s in split)):
        raise problem("split", "a column's name, or three shares as (0.8, 0.1, 0.1)", repr(split), "Change it.")
    parts = _named_splits(interactions, split) if isinstance(split, str) else _timed_splits(seconds, split)
    for part in SPLITS:
        if not (parts == part).any():
            do = "Give a column 'split' or other shares (rows of one second stay together)."
            raise problem("table interactions, split", f"at least one {part} row", "none", do)
    return parts


def _named_splits(interactions: pd.DataFrame, column: str) -> np.ndarray:
    if column not in interactions.columns:
        do = "Add it, or pass three shares."
        raise problem("table interactions", f"the split column {column!r}", list(interactions.columns), do)
    parts = interactions[column]
    bad = ~parts.isin(SPLITS).to_numpy()
    if bad.any():
        raise problem(
            f"table interactions, row {interactions.index[bad][0]}, column {column!r}",
            "train, valid or test",
            repr(parts[bad].iloc[0]),
            "Rename the split.",
        )
    return parts.to_numpy(dtype=object)


def _timed_splits(seconds: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Cut at two moments; rows of one moment stay together, so no row is trained on after a test row."""
    if len(shares) != 3 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise problem("split", "three positive shares that add up to 1", tuple(shares), "Change them.")
    ordered = np.sort(seconds)
    ends = np.rint(np.cumsum(shares)[:2] * len(ordered)).astype(int)
    valid_from, test_from = ordered[np.minimum(ends, len(ordered) - 1)]
    return np.select([seconds < valid_from, seconds < test_from], ["train", "valid"], "test").astype(object)


def numbered(table: pd.DataFrame, key: str) -> pd.DataFrame:
    """The table with its own ids as `external_id` and the row numbers from 1 as index."""
    ids = pd.RangeIndex(1, len(table) + 1, name=key)
    entities = table.rename(columns={key: "external_id"}).set_axis(ids, axis=0)
    first = [column for column in ("external_id", "title") if column in entities.columns]
    return entities[first + [column for column in entities.columns if column not in first]]
