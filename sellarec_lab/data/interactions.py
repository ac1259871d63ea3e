"""`Interactions`: the one form in which every other room receives data."""

import functools
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import pandas as pd

from sellarec_lab.data.errors import DataError, problem
from sellarec_lab.data.steps import steps_table

SPLITS = ("train", "valid", "test")
FRAME_COLUMNS = ("user_id", "item_id", "label", "timestamp", "history", "is_warm")
SECONDS_A_DAY = 86400
_DTYPES = {"user_id": "int64", "item_id": "int64", "label": "int64", "timestamp": "int64", "is_warm": "bool"}


@dataclass(frozen=True, eq=False, repr=False)
class Interactions:
    """Who met which item, whether they liked it, and what they had liked before.

    Args:
        name: what the data set is called in tables and file names.
        train, valid, test: one row an interaction, with the columns `user_id` and `item_id` (int64,
            from 1; 0 is padding and never occurs), `label` (int64, 0 or 1), `timestamp` (int64,
            seconds since 1970 UTC, or positions in a sequence), `history` (tuple of the item ids that the
            user liked before this row, oldest first, no padding) and `is_warm` (bool). The row index is
            the row's position in the whole table, ordered by user and time.
        items: indexed by item_id 1..n_items: `external_id`, `title`, and whatever else is known.
        users: indexed by user_id 1..n_users: `external_id`, and whatever else is known.
        truth: only for simulated worlds: float32 [n_users + 1, n_items + 1], the true P(like).
        reviews: only where asked for: `user_id`, `item_id`, `text`, one row an interaction that has words.
        steps: what was left out on the way here: `step`, `users`, `items`, `interactions` (what remained
            after it), `note`. Empty if nothing was done.

    Raises:
        DataError: a column, dtype, index or shape is not as described.
    """

    name: str
    train: pd.DataFrame
    valid: pd.DataFrame
    test: pd.DataFrame
    items: pd.DataFrame
    users: pd.DataFrame
    truth: np.ndarray | None = None
    reviews: pd.DataFrame | None = None
    steps: pd.DataFrame = field(default_factory=steps_table)

    def __post_init__(self) -> None:
        for part in SPLITS:
            _check_frame(part, self.split(part), self.n_users, self.n_items)
        for table, column in (("items", "title"), ("items", "external_id"), ("users", "external_id")):
            _check_entities(table, getattr(self, table), column)
        if self.truth is not None:
            _check_truth(self.truth, (self.n_users + 1, self.n_items + 1))

    @property
    def n_users(self) -> int:
        """Number of users, padding not counted."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """Number of items, padding not counted."""
        return len(self.items)

    @property
    def genre(self) -> pd.Series:
        """The first genre of each item by item_id, "" where none is known."""
        return self.genres.map(lambda names: names[0] if names else "").rename("genre")

    @property
    def genres(self) -> pd.Series:
        """Lists of names by item_id: from a column `genre` or `genres`, whose values are names, lists of them, or
        "A|B"; else from a shop's `categories`, "A, B, C" from the general to the special, without the first, which
        tells little within one department."""
        column = next((name for name in ("genre", "genres", "categories") if name in self.items), None)
        known = self.items[column] if column else pd.Series("", index=self.items.index)
        mark, first = (",", 1) if column == "categories" else ("|", 0)
        many = known.map(lambda v: v if isinstance(v, list | tuple) else str("" if pd.isna(v) else v).split(mark))
        return many.map(lambda names: [str(name).strip() for name in names[first:] if name]).rename("genres")

    @property
    def titles(self) -> list[str]:
        """Titles by item_id: length n_items + 1, and `titles[0]` is the empty string of the padding."""
        return ["", *self.items["title"].tolist()]

    def split(self, name: str) -> pd.DataFrame:
        """The frame called `name`. Raises ValueError unless it is train, valid or test."""
        if name not in SPLITS:
            raise ValueError(f"unknown split {name!r}; choose one of {', '.join(SPLITS)}")
        return getattr(self, name)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over everything but the name and the steps; equal content gives equal hex on any machine.
        Taken once: tables are not meant to change in place."""
        digest = hashlib.sha256()
        for piece in self._content():
            digest.update(hashlib.sha256(piece).digest())
        return digest.hexdigest()

    def _content(self) -> Iterator[bytes]:
        for part in SPLITS:
            frame = self.split(part)
            yield frame.index.to_numpy(dtype="<i8").tobytes()
            for column in ("user_id", "item_id", "label", "timestamp", "is_warm"):
                yield frame[column].to_numpy(dtype="<i8").tobytes()
            yield frame["history"].map(len).to_numpy(dtype="<i8").tobytes()
            yield np.fromiter(chain.from_iterable(frame["history"]), dtype="<i8").tobytes()
        for table in (self.items, self.users, *([] if self.reviews is None else [self.reviews])):
            for column in sorted(table.columns, key=str):
                yield json.dumps([str(column), table[column].tolist()], default=str).encode()
        if self.truth is not None:
            yield self.truth.astype("<f4").tobytes()

    def __repr__(self) -> str:
        rows = ", ".join(f"{part} {len(self.split(part)):,}" for part in SPLITS)
        return f"Interactions({self.name!r}: {self.n_users:,} users, {self.n_items:,} items; rows: {rows})"

    def _repr_html_(self) -> str:
        summary = pd.DataFrame({part: _summary(self.split(part)) for part in SPLITS}).T
        caption = f"<b>{self.name}</b>: {self.n_users:,} users, {self.n_items:,} items"
        return f"<p>{caption}</p>{summary.to_html(border=0)}"


def _summary(frame: pd.DataFrame) -> dict[str, str]:
    moments = _moments(frame["timestamp"])
    return {
        "rows": f"{len(frame):,}",
        "users": f"{frame['user_id'].nunique():,}",
        "items": f"{frame['item_id'].nunique():,}",
        "liked": f"{frame['label'].mean():.1%}" if len(frame) else "-",
        "warm": f"{frame['is_warm'].mean():.1%}" if len(frame) else "-",
        "from": moments.iloc[0] if len(frame) else "-",
        "to": moments.iloc[-1] if len(frame) else "-",
    }


def _moments(timestamps: pd.Series) -> pd.Series:
    """In order: days, or the bare numbers where they are positions in a sequence. [rows]"""
    ordered = timestamps.sort_values()
    positions = len(ordered) > 0 and ordered.iloc[-1] < SECONDS_A_DAY
    return ordered.astype(str) if positions else pd.to_datetime(ordered, unit="s").dt.strftime("%Y-%m-%d")


def _check_frame(part: str, frame: pd.DataFrame, n_users: int, n_items: int) -> None:
    if tuple(frame.columns) != FRAME_COLUMNS:
        do = "Build the tables with from_frames."
        raise problem(f"table {part}", f"the columns {list(FRAME_COLUMNS)}", list(frame.columns), do)
    for column, dtype in _DTYPES.items():
        if frame[column].dtype != dtype:
            raise problem(
                f"table {part}, column {column!r}", dtype, frame[column].dtype, f"Convert it with .astype({dtype!r})."
            )
    for column, largest in (("user_id", n_users), ("item_id", n_items)):
        outside = ~frame[column].between(0, largest).to_numpy()
        if outside.any():
            raise problem(
                f"table {part}, row {frame.index[outside][0]}, column {column!r}",
                f"an id from 1 to {largest}",
                frame[column].to_numpy()[outside][0],
                "List every id in the users and items tables.",
            )


def _check_entities(table: str, frame: pd.DataFrame, column: str) -> None:
    if not np.array_equal(frame.index.to_numpy(), np.arange(1, len(frame) + 1)):
        do = "Number the rows from 1; 0 is padding and has no row."
        raise problem(f"table {table}, index", f"the ids 1 to {len(frame)} without gaps", list(frame.index[:5]), do)
    if column not in frame.columns:
        raise problem(f"table {table}", f"a column {column!r}", list(frame.columns), "Add it.")


def _check_truth(truth: np.ndarray, shape: tuple[int, int]) -> None:
    if truth.shape != shape or truth.dtype != np.float32:
        do = "Rebuild the world that this table belongs to."
        raise problem("truth", f"float32 {list(shape)}, padding included", f"{truth.dtype} {list(truth.shape)}", do)
    if not (np.isfinite(truth).all() and truth.min() >= 0 and truth.max() <= 1):
        raise DataError("truth: expected probabilities from 0 to 1, found values outside. Rebuild the world.")
