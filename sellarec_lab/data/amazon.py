"""Amazon reviews as UCSD publishes them, 2014 and 2018: from raw files to sequences for next-item prediction.

McAuley et al., SIGIR 2015; He & McAuley, WWW 2016 (2014: `reviews_NAME_5.json.gz`); Ni, Li & McAuley, EMNLP 2019
(2018: `NAME_5.json.gz`); metadata in `meta_NAME.json.gz`. The filters are those of LC-Rec (arXiv 2311.09049).
"""

import re
from pathlib import Path

import pandas as pd

from sellarec_lab.data.errors import problem
from sellarec_lab.data.files import given, number_field, read_lines, text_field
from sellarec_lab.data.interactions import Interactions
from sellarec_lab.data.sequences import first_of_each_pair, k_core, long_enough, sequence_data
from sellarec_lab.data.steps import Step, counted
from sellarec_lab.data.texts import clean, item_table, untitled

_REVIEWS = re.compile(r"(?!meta_)(?:reviews_)?(?P<category>.+?)(?:_5)?\.json(?:\.gz)?")
_TEXTS = ("title", "description", "brand", "categories", "category")


def load_amazon(
    root: str | Path | None = None,
    *,
    category: str | None = None,
    k: int = 5,
    reviews: bool = False,
    titles_from_ids: bool = False,
) -> Interactions:
    """Read the reviews and the metadata of one category, filter, and split by leave-one-out; label 1 everywhere.

    In order, each step counted in `steps`: reviews of items without metadata are left out; of a (user, item)
    reviewed twice the first in time stays; users and items with fewer than `k` reviews are left out until all
    have them. A user's rows are in time order, those of one day (`timestamp` is in seconds, but at midnight)
    in the order of the file. Users are numbered by their first row in time, items by the first appearance in
    the users' sequences. The data set is called by the category in lower case.

    Lines that are no review or item are left out and named in `steps`; more than 1 % of a file are an error.

    Args:
        root: a folder with `NAME_5.json.gz` or `reviews_NAME_5.json.gz` and `meta_NAME.json.gz` (the `_5` and the
            `.gz` may be missing), or the file of reviews, with the metadata beside it.
        category: NAME, such as "Gift_Cards"; not needed if the folder holds only one.
        k: fewest reviews of a user and of an item.
        reviews: keep the words: a table `reviews` with `user_id`, `item_id`, `text`, which takes memory.
        titles_from_ids: without a file of metadata, call items by their ASIN; otherwise this is an error.

    Raises:
        DataError: a file is missing, ambiguous, damaged, or mostly broken lines; no review is left.
    """
    source, metadata, category = find_files(given(root, "amazon", "a folder with reviews and metadata"), category)
    rows, note = _read_reviews(source, words=reviews)
    steps = [counted("reviews", rows, note)]
    records: dict[str, dict] = {}
    if not metadata.is_file() and not titles_from_ids:
        do = "Download it, or pass titles_from_ids=True to call the items by their ASIN."
        raise problem(str(metadata), "the metadata of the items", "nothing", do)
    if metadata.is_file():
        records, note = read_metadata(metadata, set(rows["item_id"]))
        rows = rows[rows["item_id"].isin(records.keys())]
        steps.append(counted("items with metadata", rows, note))
    rows, filtered = _filtered(rows, k, source.name)
    rows, users, asins = _numbered(rows)
    items = item_table(asins, [records.get(asin, {}) for asin in asins])
    words = rows.loc[rows["text"] != "", ["user_id", "item_id", "text"]].reset_index(drop=True) if reviews else None
    steps += [*filtered, counted("catalogue", rows, untitled(items))]
    return sequence_data(category.lower(), rows, items, users, steps, words)


def find_files(root: Path, category: str | None) -> tuple[Path, Path, str]:
    """The file of reviews, the path where its metadata should lie, and the category.

    Raises:
        DataError: no file of reviews, or more than one.
    """
    paths = [root] if root.is_file() else sorted(root.iterdir())
    named = {path: match["category"] for path in paths if (match := _REVIEWS.fullmatch(path.name))}
    fitting = [path for path, name in named.items() if category in (None, name)]
    if len(fitting) != 1:
        there = ", ".join(path.name for path in fitting or named) or "none"
        do = f"{'Check the folder' if category else 'Pass category=NAME'}, or pass as root the file that you mean."
        raise problem(str(root), f"one file of reviews, {category or 'NAME'}_5.json.gz or the like", there, do)
    plain = fitting[0].with_name(f"meta_{named[fitting[0]]}.json")
    return fitting[0], plain if plain.is_file() else plain.with_name(f"{plain.name}.gz"), named[fitting[0]]


def read_metadata(path: Path, wanted: set[str]) -> tuple[dict[str, dict], str]:
    """What the shop says of the `wanted` items by ASIN, in the order of the file; and a note on broken lines.

    Of an ASIN listed twice the last row counts, and so does its place.
    """
    lines = read_lines(path, lambda record: _about(record) if text_field(record, "asin") in wanted else None)
    records: dict[str, dict] = {}
    for asin, record in lines.rows:
        records.pop(asin, None)
        records[asin] = record
    return records, lines.note


def _about(record: dict) -> tuple[str, dict]:
    return record["asin"], {key: record[key] for key in _TEXTS if key in record}


def _read_reviews(path: Path, words: bool) -> tuple[pd.DataFrame, str]:
    def pick(record: dict) -> tuple:
        fields = (text_field(record, "reviewerID"), text_field(record, "asin"))
        return *fields, number_field(record, "unixReviewTime", int), clean(record.get("reviewText")) if words else ""

    lines = read_lines(path, pick)
    return pd.DataFrame(lines.rows, columns=["user_id", "item_id", "timestamp", "text"]), lines.note


def _filtered(rows: pd.DataFrame, k: int, file: str) -> tuple[pd.DataFrame, list[Step]]:
    once = first_of_each_pair(rows.sort_values("timestamp", kind="stable"))
    core = long_enough(k_core(once, k), f"{file}, {k}-core")
    return core, [counted("first of each (user, item)", once), counted(f"{k}-core", core)]


def _numbered(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str], list[str]]:
    """The rows by user and time with ids from 1, and the ids as they were: of users, of items."""
    user_codes, users = pd.factorize(rows["user_id"])
    rows = rows.assign(user_id=user_codes + 1).sort_values("user_id", kind="stable")
    item_codes, items = pd.factorize(rows["item_id"])
    return rows.assign(item_id=item_codes + 1), users.tolist(), items.tolist()
