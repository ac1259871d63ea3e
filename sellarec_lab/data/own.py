"""A folder with tables of your own: interactions, items and perhaps users, each as csv or parquet."""

from pathlib import Path

import pandas as pd

from sellarec_lab.data.build import from_frames
from sellarec_lab.data.checks import raise_at
from sellarec_lab.data.errors import problem
from sellarec_lab.data.files import given
from sellarec_lab.data.interactions import Interactions

NUMBERS = ("rating", "label", "timestamp")


def load_own(root: str | Path | None = None) -> Interactions:
    """`from_frames` on ``interactions``, ``items`` and, if there, ``users`` in a folder: .csv (UTF-8) or .parquet.

    In a csv ids stay the text that they are ("007" and "7" are two), dates become moments in UTC, and an empty cell is
    a missing value. The data set is called after the folder.

    Raises:
        DataError: a file is missing or unreadable, or not what `from_frames` takes.
    """
    folder = given(root, "own", "a folder with interactions.csv and items.csv (or .parquet)")
    tables = {name: _read(folder, name) for name in ("interactions", "items", "users")}
    for name in ("interactions", "items"):
        if tables[name] is None:
            do = "Name the files so; the columns are those of lab.data.from_frames."
            raise problem(
                str(folder), f"{name}.csv or {name}.parquet", sorted(p.name for p in folder.iterdir())[:9], do
            )
    return from_frames(tables["interactions"], tables["items"], tables["users"], name=folder.resolve().name)


def _read(folder: Path, name: str) -> pd.DataFrame | None:
    for path, reader in ((folder / f"{name}.parquet", pd.read_parquet), (folder / f"{name}.csv", _read_csv)):
        if path.is_file():
            try:
                return reader(path)
            except (ValueError, OSError, ImportError) as error:  # pandas' and pyarrow's own are ValueErrors
                do = "Save it anew as UTF-8 with a header line, or as parquet."
                raise problem(str(path), "a readable table", f"{type(error).__name__}: {error}", do) from error
    return None


def _read_csv(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    for column in set(NUMBERS) & set(table.columns):
        numbers = pd.to_numeric(table[column], errors="coerce")
        wrong = numbers.isna() & table[column].notna()
        if column == "timestamp" and wrong.any():
            numbers = _moments(path, table)
        elif wrong.any():
            raise_at(str(path), table, column, wrong, "a number", "Repair, convert or drop the row.")
        table[column] = numbers
    return table


def _moments(path: Path, table: pd.DataFrame) -> pd.Series:
    moments = pd.to_datetime(table["timestamp"], errors="coerce", utc=True, format="ISO8601")
    wrong = moments.isna() & table["timestamp"].notna()
    if wrong.any():
        expected = "seconds since 1970, or a date like 2024-05-31 or 2024-05-31 18:20"
        raise_at(str(path), table, "timestamp", wrong, expected, "Write all times in one of these ways.")
    return moments
