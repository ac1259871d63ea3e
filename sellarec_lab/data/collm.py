"""The benchmark tables as their authors publish them: CoLLM, arXiv 2310.19488, `collm-datasets`."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from sellarec_lab.data.checks import numbers, raise_at
from sellarec_lab.data.errors import problem
from sellarec_lab.data.interactions import SPLITS, Interactions
from sellarec_lab.data.plain_pickle import read_table

COLUMNS = ("uid", "iid", "label", "timestamp", "his", "title", "not_cold")
_AGAIN = "Download the published file again."
_SPREAD = 10  # so many times the rows is the highest id at most: tables of all ids are made


def load_collm(folder: str | Path, name: str = "ml-1m") -> Interactions:
    """Read train_ood2.pkl, valid_ood2.pkl and test_ood2.pkl exactly as published.

    Rows, order, ids and warm flags are taken over; only the leading padding 0 of each history is
    stripped. The tables hold no external ids, so `external_id` repeats the benchmark's own. A user
    with the same item twice is warned of and kept.

    Args:
        folder: where the three files lie.
        name: name of the data set.

    Raises:
        UnsafePickleError: a file is more than a plain table.
        DataError: a file is missing, damaged or empty, a column is missing or there twice, an id is no whole number
            from 1 or far beyond the number of rows, a history holds something else than such ids, an item has no
            title or two.
    """
    folder = Path(folder).expanduser()
    raw = {part: _checked(folder / f"{part}_ood2.pkl") for part in SPLITS}
    frames = {part: _frame(table) for part, table in raw.items()}
    n_users = int(max(frame["user_id"].max() for frame in frames.values()))
    users = pd.DataFrame({"external_id": np.arange(1, n_users + 1)}, index=_ids(n_users, "user_id"))
    return Interactions(name=name, **frames, items=_items(raw, frames, folder), users=users)


def _checked(path: Path) -> pd.DataFrame:
    table = read_table(path)
    _check_columns(path, table)
    for column in ("uid", "iid"):
        ids = numbers(str(path), table, column)
        _refuse(path, table, column, (ids < 1) | (ids != ids.round()), "a whole number from 1 (0 is padding)")
        far = _SPREAD * len(table) + 1000
        _refuse(path, table, column, ids > far, f"an id up to {far:,}, as {len(table):,} rows may have")
    for column in ("label", "not_cold"):
        _refuse(path, table, column, ~numbers(str(path), table, column).isin([0, 1]), "0 or 1")
    times = numbers(str(path), table, "timestamp")
    _refuse(path, table, "timestamp", (times != times.round()) | (times.abs() >= 2.0**62), "whole seconds")
    for column, fits, expected in (("his", _is_history, "a list of ids from 1"), ("title", _is_text, "text")):
        _refuse(path, table, column, ~pd.Series(map(fits, table[column]), dtype=bool), expected)
    if "his_title" in table.columns:
        fit = map(_are_titles, table["his"], table["his_title"])
        _refuse(path, table, "his_title", ~pd.Series(fit, dtype=bool), "a list of texts, one for each id of 'his'")
    _warn_of_repeats(path, table)
    return table


def _check_columns(path: Path, table: pd.DataFrame) -> None:
    names, do = list(table.columns), "Pass the published *_ood2.pkl files."
    missing = [column for column in COLUMNS if column not in names]
    if missing:
        raise problem(str(path), f"the column {missing[0]!r}", names, do)
    twice = [column for column in (*COLUMNS, "his_title") if names.count(column) > 1]
    if twice:
        raise problem(f"{path}, column {twice[0]!r}", "each column once", "it twice", do)
    if table.empty:
        raise problem(str(path), "at least one row", 0, _AGAIN)


def _is_history(told: object) -> bool:
    """Ids from 1; a 0 stands first or nowhere."""
    if not isinstance(told, (list, tuple, np.ndarray)):
        return False
    items = told.tolist() if isinstance(told, np.ndarray) else told
    whole = all(isinstance(item, (int, np.integer)) and not isinstance(item, bool) for item in items)
    return whole and all(item > 0 for item in items[1:]) and all(item >= 0 for item in items[:1])


def _are_titles(items: list | tuple | np.ndarray, told: object) -> bool:
    return isinstance(told, (list, tuple, np.ndarray)) and len(told) == len(items) and all(map(_is_text, told))


def _is_text(told: object) -> bool:
    return isinstance(told, str)


def _warn_of_repeats(path: Path, table: pd.DataFrame) -> None:
    repeated = table.duplicated(["uid", "iid"])
    if repeated.any():
        first = table.index[repeated.to_numpy()][0]
        warnings.warn(
            f"{path}: {int(repeated.sum())} rows repeat a user with an item, first row {first}: the item may stand in "
            f"its own history. They are kept as published.", stacklevel=3,
        )  # fmt: skip


def _refuse(path: Path, table: pd.DataFrame, column: str, bad: pd.Series, expected: str) -> None:
    if bad.any():
        raise_at(str(path), table, column, bad, expected, _AGAIN)


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
    titles = _titles(raw, folder)
    in_histories = max((max(h) for frame in frames.values() for h in frame["history"] if h), default=0)
    n_items = max(max(titles), in_histories)
    for table in raw.values():
        if len(titles) < n_items and "his_title" in table.columns:
            for ids, names in zip(table["his"], table["his_title"], strict=True):
                titles = dict(zip(map(int, ids), names, strict=True)) | titles
    titles.pop(0, None)
    if len(titles) < n_items:
        missing = next(item for item in range(1, n_items + 1) if item not in titles)
        do = "Use the whole published tables; a part of them leaves gaps."
        raise problem(str(folder), f"a title for each item from 1 to {n_items}", f"none for item {missing}", do)
    ids = _ids(n_items, "item_id")
    return pd.DataFrame({"external_id": ids.to_numpy(), "title": [titles[i] for i in ids]}, index=ids)


def _titles(raw: dict[str, pd.DataFrame], folder: Path) -> dict[int, str]:
    """Of the items that are targets, each by one title."""
    targets = pd.concat([table[["iid", "title"]] for table in raw.values()], ignore_index=True).drop_duplicates()
    twice = targets["iid"].duplicated(keep=False)
    if twice.any():
        item = targets.loc[twice, "iid"].iloc[0]
        found = targets.loc[targets["iid"] == item, "title"].tolist()
        raise problem(f"{folder}, item {item}", "one title", " and ".join(map(repr, found[:2])), _AGAIN)
    return dict(zip(targets["iid"].astype(int).tolist(), targets["title"], strict=True))


def _ids(count: int, name: str) -> pd.RangeIndex:
    return pd.RangeIndex(1, count + 1, name=name)
