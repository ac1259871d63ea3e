"""Amazon-Book in the split of the CoLLM benchmark, from UCSD's raw files of 2018.

The rule is that of the published notebook (Zhang et al., CoLLM, arXiv 2310.19488, `processing_ood.ipynb`): only
2017 (UTC); users and items with more than 20 reviews; like = 5 stars; January to November train, December in the
order of time halved into valid and test. Its printed counts: 727,463 / 25,747 / 25,747 rows, 22,966 users, 34,153
items.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from sellarec_lab.data.amazon import find_files, read_metadata
from sellarec_lab.data.build import frames, numbered
from sellarec_lab.data.errors import problem
from sellarec_lab.data.files import given, number_field, read_lines, text_field
from sellarec_lab.data.interactions import SPLITS, Interactions
from sellarec_lab.data.steps import counted, steps_table
from sellarec_lab.data.texts import item_table, untitled

MORE_THAN = 20  # reviews in 2017 of a user and of an item
LIKE = 5  # stars
YEAR = (1483228800, 1514764800)  # first second of 2017 and of 2018, UTC
DECEMBER = 1512086400


def load_amazon_book(root: str | Path | None = None) -> Interactions:
    """Read Books_5.json.gz and meta_Books.json.gz by the benchmark's rule.

    Reviews of items without metadata are left out. Users and items are both counted before either is left
    out, and once: this is no k-core, and some users keep one row. Rows stand in the order of the metadata (of an
    ASIN listed twice the last row counts), those of an item in the order of the reviews; ids go by first
    appearance there. A history holds all earlier likes of the user.

    Times are whole days. The order within a day is the one above; the publisher's sort of December was not
    stable, so valid and test may differ from the published ones in rows of the day of the cut (`steps` counts
    them), and histories within a day. A (user, item) may repeat, so that a target can stand in its own history:
    `leak_report` counts them. Titles are cleaned of entities and tags, unlike the published ones.

    Args:
        root: the folder with both files.

    Raises:
        DataError: a file is missing, damaged, or mostly broken lines; a split is left without a row.
    """
    source, metadata, _ = find_files(given(root, "amazon-book", "the folder with Books_5.json.gz"), "Books")
    lines = read_lines(source, _review_of_the_year)
    rows = pd.DataFrame(lines.rows, columns=["user_id", "item_id", "rating", "timestamp"])
    records, note = read_metadata(metadata, set(rows["item_id"]))
    steps = [counted("reviews of 2017", rows, lines.note)]
    rows = _in_order_of(list(records), rows)
    steps.append(counted("items with metadata", rows, note))
    rows = _active(rows)
    users, asins = rows["user_id"].unique().tolist(), rows["item_id"].unique().tolist()
    table = _table(rows, source)
    items = item_table(asins, [records[asin] for asin in asins])
    steps.append(counted(f"more than {MORE_THAN} reviews", table, untitled(items)))
    steps.append(counted("split", table, _cut(table)))
    entities = {"items": numbered(items, "item_id"), "users": numbered(pd.DataFrame({"user_id": users}), "user_id")}
    return Interactions(name="amazon-book", **frames(table), **entities, steps=steps_table(steps))


def _review_of_the_year(record: dict) -> tuple | None:
    review = (text_field(record, "reviewerID"), text_field(record, "asin"))
    rating, second = number_field(record, "overall", (int, float)), number_field(record, "unixReviewTime", int)
    return (*review, rating, second) if YEAR[0] <= second < YEAR[1] else None


def _in_order_of(asins: list[str], rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of these items, item by item."""
    place = pd.Index(asins).get_indexer(rows["item_id"])
    order = np.argsort(place, kind="stable")
    return rows.iloc[order[place[order] >= 0]].reset_index(drop=True)


def _active(rows: pd.DataFrame) -> pd.DataFrame:
    counts = [rows[column].map(rows[column].value_counts()) for column in ("user_id", "item_id")]
    return rows[(counts[0] > MORE_THAN) & (counts[1] > MORE_THAN)]


def _table(rows: pd.DataFrame, source: Path) -> pd.DataFrame:
    """`user_id`, `item_id`, `label`, `timestamp`, `split`, with ids by first appearance."""
    codes = {column: pd.factorize(rows[column])[0] + 1 for column in ("user_id", "item_id")}
    label = (rows["rating"] >= LIKE).astype("int64")
    table = rows.assign(**codes, label=label, split=_splits(rows["timestamp"].to_numpy()))
    for part in SPLITS:
        if not (table["split"] == part).any():
            do = "Pass the whole file of reviews."
            raise problem(str(source), f"a {part} row of active users and items", "none", do)
    return table.drop(columns="rating")


def _splits(seconds: np.ndarray) -> np.ndarray:
    """The name of each row's split: December's rows in the order of time, the first half valid. [rows]"""
    parts = np.full(len(seconds), "train", dtype=object)
    late = np.flatnonzero(seconds >= DECEMBER)
    late = late[np.argsort(seconds[late], kind="stable")]
    parts[late[: len(late) // 2]], parts[late[len(late) // 2 :]] = "valid", "test"
    return parts


def _cut(table: pd.DataFrame) -> str:
    """How many rows of valid and test are of the day at which the two were cut."""
    day = table.loc[table["split"] == "test", "timestamp"].min()
    counts = table.loc[table["timestamp"] == day, "split"].value_counts()
    return f"the day of the cut has {counts.get('valid', 0)} rows in valid, {counts.get('test', 0)} in test"
