"""The benchmark tables as their authors publish them: CoLLM, arXiv 2310.19488, `collm-datasets`."""

from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from sellarec_lab.data.checks import numbers, raise_at
from sellarec_lab.data.errors import problem
from sellarec_lab.data.interactions import SPLITS, Interactions
from sellarec_lab.data.plain_pickle import read_table

COLUMNS = ("uid", "iid", "label", "timestamp", "his", "title", "not_cold")


def load_collm(folder: str | Path, name: str = "ml-1m") -> Interactions:
    """Read train_ood2.pkl, valid_ood2.pkl and test_ood2.pkl exactly as published.

    Rows, order, ids and warm flags are taken over; only the leading padding 0 of each history is
    stripped. The tables hold no external ids, so `external_id` repeats the benchmark's own.

    Args:
        folder: where the three files lie.
        name: name of the data set.

    Raises:
        UnsafePickleError: a file is more than a plain table.
        DataError: a file is missing or damaged, a column is missing, an id is below 1, an item has no title.
    """
    folder = Path(folder).expanduser()
    raw = {part: _checked(folder / f"{part}_ood2.pkl") for part in SPLITS}
    frames = {part: _frame(table) for part, table in raw.items()}
    n_users = int(max(frame["user_id"].max() for frame in frames.values()))
    users = pd.DataFrame({"external_id": np.arange(1, n_users + 1)}, index=_ids(n_users, "user_id"))
    return Interactions(name=name, **frames, items=_items(raw, frames, folder), users=users)


def _checked(path: Path) -> pd.DataFrame:
    table = read_table(path)
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise problem(
            str(path), f"the column {missing[0]!r}", list(table.columns), "Pass the published *_ood2.pkl files."
        )
    for column in ("uid", "iid"):
        bad = numbers(str(path), table, column) < 1
        _refuse(path, table, column, bad, "an id from 1 (0 is padding)")
    for column in ("label", "not_cold"):
        _refuse(path, table, column, ~numbers(str(path), table, column).isin([0, 1]), "0 or 1")
    numbers(str(path), table, "timestamp")
    for column, kinds, expected in (("his", (list, tuple, np.ndarray), "a list of ids"), ("title", str, "text")):
        fits = [isinstance(value, kinds) for value in table[column]]
        _refuse(path, table, column, ~pd.Series(fits, dtype=bool), expected)
    return table


def _refuse(path: Path, table: pd.DataFrame, column: str, bad: pd.Series, expected: str) -> None:
    if bad.any():
        raise_at(str(path), table, column, bad, expected, "Download the published file again.")


def _frame(table: pd.DataFrame) -> pd.DataFrame:
    columns = {
        "user_id": table["uid"].to_numpy(dtype="int64"),
        "item_id": table["iid"].to_numpy(dtype="int64"),
        "label": table["label"].to_numpy(dtype="int64"),
        "timestamp": table["timestamp"].to_numpy(dtype="int64"),
        "history": pd.Series([_without_padding(his) for his in table["his"]], dtype=object).to_numpy(),
        "is_warm": table["not_cold"].to_numpy(dtype="int64") == 1,
    }
    return pd.DataFrame(columns, index=table.index)


def _without_padding(his: list | tuple | np.ndarray) -> tuple[int, ...]:
    items = tuple(int(item) for item in his)
    return items[1:] if items[:1] == (0,) else items


def _items(raw: dict[str, pd.DataFrame], frames: dict[str, pd.DataFrame], folder: Path) -> pd.DataFrame:
    """Titles by item id, from the targets and, for items that are only in histories, from his_title."""
    titles = dict(chain.from_iterable(zip(table["iid"], table["title"], strict=True) for table in raw.values()))
    in_histories = max((max(h) for frame in frames.values() for h in frame["history"] if h), default=0)
    n_items = int(max(max(titles), in_histories))
    for table in raw.values():
        if len(titles) < n_items and "his_title" in table.columns:
            for ids, names in zip(table["his"], table["his_title"], strict=True):
                titles = dict(zip(ids, names, strict=True)) | titles
    titles.pop(0, None)
    missing = sorted(set(range(1, n_items + 1)) - set(titles))
    if missing:
        do = "Use the whole published tables; a part of them leaves gaps."
        raise problem(str(folder), f"a title for each item from 1 to {n_items}", f"none for item {missing[0]}", do)
    ids = _ids(n_items, "item_id")
    return pd.DataFrame({"external_id": ids.to_numpy(), "title": [titles[i] for i in ids]}, index=ids)


def _ids(count: int, name: str) -> pd.RangeIndex:
    return pd.RangeIndex(1, count + 1, name=name)
