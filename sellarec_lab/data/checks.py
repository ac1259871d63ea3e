"""Checks on tables that come from outside, before anything is computed from them.

Every failure is one `DataError` that names table, row (the frame's own index label), column, what
was expected, what was found, and what to do.
"""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sellarec_lab.data.errors import problem

if TYPE_CHECKING:
    from sellarec_lab.data.interactions import Interactions

RATING_RANGE = (1.0, 5.0)
_NO_SHAPE = "\u200b\u200c\u200d\u2060\ufeff\u00ad"  # characters that take no room
_TIMES = " Times in words: pd.to_datetime(...) first."
LONGEST_TITLE = 2000  # characters; the longest in published data has some 500


def validate(interactions: pd.DataFrame, items: pd.DataFrame, users: pd.DataFrame | None = None) -> None:
    """Raise on the first thing that `from_frames` could not use; return nothing if all is well.

    Args:
        interactions: `user_id`, `item_id`, `timestamp`, and `label` (0 or 1) or `rating` (1 to 5).
            Any row order; a (user, item) pair at most once.
        items: `item_id`, `title`, and anything else. Lists every item of `interactions`.
        users: optional; `user_id` and anything else. Lists every user of `interactions`.

    Raises:
        DataError: naming table, row, column, expectation, finding and remedy.
    """
    _check_columns("interactions", interactions, ("user_id", "item_id", "timestamp"))
    if "label" not in interactions.columns and "rating" not in interactions.columns:
        raise problem(
            "table interactions",
            "a column 'label' (0 or 1) or 'rating' (1 to 5)",
            list(interactions.columns),
            "Add one of the two, or rename yours.",
        )
    if interactions.empty:
        raise problem("table interactions", "at least one row", 0, "Check the source.")
    _check_catalogue("items", items, "item_id")
    _check_titles(items)
    if users is not None:
        _check_catalogue("users", users, "user_id")
    for column, catalogue, table in (("item_id", items, "items"), ("user_id", users, "users")):
        _check_ids("interactions", interactions, column)
        if catalogue is not None:
            _check_known(interactions, column, catalogue, table)
    timestamps(interactions)
    _check_values(interactions)
    _check_pairs(interactions)


def look_over(interactions: pd.DataFrame, items: pd.DataFrame, threshold: float) -> None:
    """Warn of what can be used and is seldom meant: titles that show nothing, times in milliseconds, ratings and labels
    that disagree. Both tables are valid."""
    blank = items["title"].map(lambda title: not title.strip(f" \t\r\n{_NO_SHAPE}")).astype(bool)
    _warn_at("table items", items, blank, "have a title that shows nothing: prompts would name nothing")
    if {"label", "rating"} <= set(interactions.columns):
        liked = pd.to_numeric(interactions["rating"], errors="coerce") >= threshold
        differ = liked != (pd.to_numeric(interactions["label"]) == 1)
        denied = f"have a label that their rating denies (like: {threshold:g})"
        _warn_at("table interactions", interactions, differ, denied)
    if not pd.api.types.is_datetime64_any_dtype(interactions["timestamp"]):
        finer = pd.to_numeric(interactions["timestamp"]) > 1e11
        _warn_at("table interactions", interactions, finer, "have times like milliseconds; pass seconds or datetimes")


def look_over_splits(table: pd.DataFrame) -> None:
    """Warn of train rows at or after the first test row; ``table`` has ``timestamp`` and ``split``."""
    test = table.loc[table["split"] == "test", "timestamp"]
    late = (table["split"] == "train") & (table["timestamp"] >= test.min())
    _warn_at("table interactions", table, late, "are of train and not older than the first test row: a leak in time")


def _warn_at(table: str, frame: pd.DataFrame, bad: pd.Series, what: str) -> None:
    if bad.any():
        first = frame.index[bad.to_numpy()][0]
        warnings.warn(f"{table}: {int(bad.sum())} rows {what}; the first is row {first}", stacklevel=4)


def both_classes(data: Interactions) -> None:
    """Raise where the labels of train or of valid are all alike: nothing can be learned from the one or judged by the
    other.

    Raises:
        DataError: naming the split.
    """
    for part, frame in (("train", data.train), ("valid", data.valid)):
        if frame["label"].nunique() < 2:
            found = f"{len(frame):,} rows with label {frame['label'].iloc[0]}" if len(frame) else "no row"
            do = "Cut the splits elsewhere, or label what was not liked; for likes alone take lab.lcrec."
            raise problem(f"split {part} of {data.name!r}", "likes and dislikes", found, do)


def numbers(table: str, frame: pd.DataFrame, column: str) -> pd.Series:
    """The column as finite numbers, or a DataError that names the first row that is none.

    Args:
        table: how the message names the table, e.g. "table interactions" or a path.
    """
    values = pd.to_numeric(frame[column], errors="coerce")
    bad = values.isna() | np.isinf(values.astype("float64"))
    if bad.any():
        do = "Repair, convert or drop the row."
        raise_at(table, frame, column, bad, "a number", do + _TIMES * (column == "timestamp"))
    return values


def timestamps(frame: pd.DataFrame) -> np.ndarray:
    """The column `timestamp` as int64 seconds since 1970 UTC; datetimes are converted. [rows]"""
    column = frame["timestamp"]
    if pd.api.types.is_datetime64_any_dtype(column):
        if column.isna().any():
            raise_at("table interactions", frame, "timestamp", column.isna(), "a time", "Repair or drop the row.")
        utc = column.dt.tz_convert("UTC").dt.tz_localize(None) if column.dt.tz is not None else column
        return utc.to_numpy().astype("datetime64[s]").astype("int64")
    values = numbers("table interactions", frame, "timestamp")
    fractional = values != values.round()
    if fractional.any():
        remedy = "Round it, or pass datetimes."
        raise_at("table interactions", frame, "timestamp", fractional, "whole seconds since 1970", remedy)
    beyond = values.astype(float).abs() >= 2.0**62  # an int64 would wrap, and the last row become the first
    if beyond.any():
        raise_at("table interactions", frame, "timestamp", beyond, "a number from -2^62 to 2^62", "Repair the row.")
    in_seconds, finer = values.between(1e8, 1e11), values > 1e11  # 1973 to 5138; in milliseconds from 1973 on
    if in_seconds.any() and finer.any():
        remedy = "Some look like seconds, others like milliseconds or finer: divide those."
        raise_at("table interactions", frame, "timestamp", in_seconds, "times of one unit", remedy)
    return values.to_numpy(dtype="int64")


def _check_columns(table: str, frame: pd.DataFrame, columns: Sequence[str]) -> None:
    if not isinstance(frame, pd.DataFrame):
        raise problem(f"table {table}", "a pandas DataFrame", type(frame).__name__, "Read the file with pandas first.")
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise problem(f"table {table}", f"the column {missing[0]!r}", list(frame.columns), "Add or rename the column.")
    if frame.columns.has_duplicates:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise problem(f"table {table}, column {twice!r}", "each column once", "it twice", "Drop one.")


def _check_catalogue(table: str, frame: pd.DataFrame, key: str) -> None:
    _check_columns(table, frame, (key, "title") if table == "items" else (key,))
    _check_ids(table, frame, key)
    if "external_id" in frame.columns:
        do = f"The name is taken by your own {key}; rename the column."
        raise problem(f"table {table}, column 'external_id'", "no such column", "one", do)
    repeated = frame[key].duplicated()
    if repeated.any():
        raise_at(f"table {table}", frame, key, repeated, "each id once", "Drop the repeated row.")


def _check_titles(items: pd.DataFrame) -> None:
    no_text = ~items["title"].map(lambda title: isinstance(title, str)).astype(bool)
    if no_text.any():
        raise_at("table items", items, "title", no_text, "text", "Fill in the title, or drop the item and its rows.")
    long = items["title"].map(len) > LONGEST_TITLE
    if long.any():
        raise_at(
            "table items", items.assign(title=items["title"].map(len)), "title", long,
            f"at most {LONGEST_TITLE} characters", "Shorten it: every prompt that shows it would be as long.",
        )  # fmt: skip
    broken = ~items["title"].map(_encodes).astype(bool)
    if broken.any():
        raise_at("table items", items, "title", broken, "text that UTF-8 can hold", "Remove the lone surrogates.")


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_ids(table: str, frame: pd.DataFrame, column: str) -> None:
    if frame[column].isna().any():
        raise_at(f"table {table}", frame, column, frame[column].isna(), "an id", "Repair or drop the row.")
    if frame[column].dtype == object:
        unhashable = ~frame[column].map(pd.api.types.is_hashable).astype(bool)
        if unhashable.any():
            raise_at(f"table {table}", frame, column, unhashable, "a number or text", "Use hashable ids.")
    ids = frame[column].drop_duplicates()
    written = ids.map(_written)
    if (written == "").any():
        where = frame.loc[ids.index[written == ""][:1]]
        raise_at(f"table {table}", where, column, pd.Series([True]), "an id", "Repair or drop the row.")
    infinite = ids.map(lambda value: isinstance(value, float) and np.isinf(value)).astype(bool)
    if infinite.any():
        raise_at(f"table {table}", frame.loc[ids.index], column, infinite, "a finite id", "Repair or drop the row.")
    twins = written.duplicated()
    if twins.any():
        do = "Another id differs from it by kind, spaces or Unicode form alone: make one of the two."
        raise_at(f"table {table}", frame.loc[ids.index], column, twins, "ids that can be told apart", do)


def _written(value: object) -> str:
    """An id as people read it."""
    return unicodedata.normalize("NFC", str(value)).strip()


def _check_known(interactions: pd.DataFrame, column: str, catalogue: pd.DataFrame, table: str) -> None:
    unknown = pd.Series(pd.Index(catalogue[column]).get_indexer(interactions[column]) < 0)
    if unknown.any():
        kinds = f"{interactions[column].dtype} here, {catalogue[column].dtype} in {table}"
        remedy = f"Add it to {table} or drop the row; the ids must also be of one type ({kinds})."
        raise_at("table interactions", interactions, column, unknown, f"an id listed in {table}", remedy)


def _check_values(interactions: pd.DataFrame) -> None:
    if "label" in interactions.columns:
        bad = ~numbers("table interactions", interactions, "label").isin([0, 1])
        expected, remedy = "0 or 1", "For stars, name the column 'rating'."
        column = "label"
    else:
        low, high = RATING_RANGE
        bad = ~numbers("table interactions", interactions, "rating").between(low, high)
        expected = f"a rating from {low:g} to {high:g}"
        remedy = "Rescale it, or give a 'label' column of 0 and 1 instead."
        column = "rating"
    if bad.any():
        raise_at("table interactions", interactions, column, bad, expected, remedy)


def _check_pairs(interactions: pd.DataFrame) -> None:
    repeated = interactions.duplicated(["user_id", "item_id"])
    if repeated.any():
        remedy = (
            "A repeated pair puts the target into its own history; keep one row of each, e.g. "
            "interactions.drop_duplicates(['user_id', 'item_id'], keep='last')."
        )
        expected = f"each (user_id, item_id) once; {int(repeated.sum())} repeated"
        raise_at("table interactions", interactions, ["user_id", "item_id"], repeated, expected, remedy)


def raise_at(table: str, frame: pd.DataFrame, column: str | list[str], bad: pd.Series, expected: str, do: str) -> None:
    """Raise the DataError for the first row where `bad` [rows, bool] holds; `table` says whose row it is."""
    first = int(np.flatnonzero(bad.to_numpy())[0])
    found = frame[column].iloc[first]
    shown = tuple(found) if isinstance(column, list) else found
    where = f"{table}, row {frame.index[first]}, column {column!r}"
    raise problem(where, expected, repr(shown), do)
