"""What a shop says of its items, made readable: a table of titles, descriptions, brands and categories."""

import html
import re
from collections.abc import Iterable, Sequence

import pandas as pd

COLUMNS = ("title", "description", "brand", "categories")
# A tag starts with a letter: "< 40 mA" and "<=14ns" are no tags.
_TAG = re.compile(r"<!--.*?-->|<[/!?]?[A-Za-z\[][^<>]*>", re.DOTALL)


def clean(text: object, between: str = " ") -> str:
    """Text or (nested) lists of texts as one line: entities unescaped, tags stripped, white space single.

    Anything else, e.g. None, is the empty text.
    """
    if isinstance(text, list):
        return between.join(part for part in (clean(entry, between) for entry in text) if part)
    return " ".join(_TAG.sub(" ", html.unescape(text)).split()) if isinstance(text, str) else ""


def item_table(ids: Sequence[str], records: Iterable[dict]) -> pd.DataFrame:
    """One row an item, in order: `item_id`, `title`, `description`, `brand`, `categories` (comma-joined), all text.

    What a record does not say is empty, but for the title: there the id stands, since a prompt needs some name.
    """
    rows = [(item, *_texts(record)) for item, record in zip(ids, records, strict=True)]
    table = pd.DataFrame(rows, columns=["item_id", *COLUMNS])
    return table.assign(title=table["title"].where(table["title"] != "", table["item_id"]))


def untitled(items: pd.DataFrame) -> str:
    """For the table of steps: how many items of an `item_table` are called by their id."""
    count = int((items["title"] == items["item_id"]).sum())
    return f"{count} without a title are called by their id" if count else ""


def _texts(record: dict) -> tuple[str, ...]:
    names = clean(record.get("categories") or record.get("category"), ",").split(",")  # some write "A,B", some "A, B"
    categories = ", ".join(name.strip() for name in names if name.strip())
    return *(clean(record.get(key)) for key in COLUMNS[:3]), categories
