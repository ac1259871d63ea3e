"""What can be said of every item: its title, its description, what it is like, and its index."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from sellarec_lab.data import Interactions

_NO_ATTRIBUTES = ("title", "external_id", "description", "year")
_TOKEN = re.compile(r"<[a-z]_\d+>")
_KINDS = re.compile(r"\s*[|,]\s*")


@dataclass(frozen=True)
class Catalogue:
    """By item id, 0 being padding: ``titles``, ``descriptions`` ("" where there is none), ``attributes`` (words for
    what an item is like, most general first) and ``words`` (its index, spelled with the tokens that stand for it; ""
    for an item that has none). ``reviews``: what people wrote of an item in train, where the data tells."""

    titles: Sequence[str]
    descriptions: Sequence[str]
    attributes: Sequence[tuple[str, ...]]
    words: Sequence[str]
    reviews: Mapping[int, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Interactions, words: Sequence[str], longest: int = 40) -> Catalogue:
        """From the tables of items: every column of text but title and description holds attributes, split at commas
        and bars; descriptions and reviews are cut after ``longest`` words."""
        items = data.items
        told = items["description"].fillna("") if "description" in items else pd.Series("", index=items.index)
        short = ["", *(_cut(text, longest) for text in told)]
        return cls(data.titles, short, [(), *attributes(items)], words, _reviews(data, longest))

    @property
    def items(self) -> list[int]:
        """Ids of the items that have an index."""
        return [item for item, word in enumerate(self.words) if word]

    def tokens(self, item: int) -> list[str]:
        """The tokens of an item's index."""
        return _TOKEN.findall(self.words[item])

    def intention(self, item: int) -> str:
        """What somebody might be looking for whom this item would suit: made by rule from its attributes, the most
        special first, or from its title where nothing else is known."""
        special = self.attributes[item][::-1][:3]
        return ", ".join(special).lower() if special else self.titles[item]

    def preference(self, history: Sequence[int], many: int = 4) -> str:
        """What somebody with this history prefers: made by rule, its most common attributes, more recent ones first
        among equals; "" where nothing is known."""
        recent = [word.lower() for item in reversed(history) for word in self.attributes[item]]
        return ", ".join(word for word, _ in Counter(recent).most_common(many))


def _cut(text: str, longest: int) -> str:
    return " ".join(text.split()[:longest])


def _reviews(data: Interactions, longest: int) -> dict[int, list[str]]:
    """Item -> what people wrote of it in rows of train; those of valid and test are not read."""
    if data.reviews is None:
        return {}
    told = data.reviews.merge(data.train[["user_id", "item_id"]], on=["user_id", "item_id"])
    return {int(item): [_cut(text, longest) for text in texts] for item, texts in told.groupby("item_id")["text"]}


def attributes(items: pd.DataFrame) -> list[tuple[str, ...]]:
    """Words for what each item is like, in the order of columns and of what stands in them."""
    columns = [c for c in items if c not in _NO_ATTRIBUTES and items[c].map(lambda v: isinstance(v, str)).all()]
    rows = items[columns].itertuples(index=False)
    return [tuple(dict.fromkeys(w for text in row for w in _KINDS.split(text.strip()) if w)) for row in rows]
