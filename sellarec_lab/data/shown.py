"""What stands for an item in a prompt: its title, less, more, or on purpose something that tells nothing of it."""

import numpy as np

from sellarec_lab.data.interactions import Interactions

_YEAR = r"\s*\(\d{4}\)$"


def shown_titles(data: Interactions, how: str = "own") -> list[str]:
    """Titles as prompts show them, by item id; the first is the empty one of the padding. [n_items + 1]

    "own"; "undated", without a year in brackets at the end; "genres", with the genres in brackets instead. Two controls
    take away what a language model has read about an item: "numbers" ("item 123", drawn at random so that no order
    speaks), and "shuffled", where every item bears another's title.

    Raises:
        ValueError: no such way.
    """
    if how not in _WAYS:
        raise ValueError(f"prompt__titles: unknown way {how!r}; known: {', '.join(_WAYS)}")
    return ["", *_WAYS[how](data)]


def _undated(data: Interactions) -> list[str]:
    bare = data.items["title"].str.replace(_YEAR, "", regex=True)
    return bare.where(bare != "", data.items["title"]).tolist()


def _genres(data: Interactions) -> list[str]:
    return [f"{title} ({', '.join(names)})" if names else title for title, names in zip(_undated(data), data.genres)]


def _numbers(data: Interactions) -> list[str]:
    return [f"item {number}" for number in _another(data.n_items) + 1]


def _shuffled(data: Interactions) -> list[str]:
    return data.items["title"].to_numpy()[_another(data.n_items)].tolist()


def _another(count: int) -> np.ndarray:
    """For each of ``count`` things another one, the same whoever asks: no thing gets itself. [count]"""
    order = np.random.default_rng(0).permutation(count)
    chosen = np.empty(count, dtype=np.int64)
    chosen[order] = np.roll(order, 1)  # one circle through all
    return chosen


_WAYS = {
    "own": lambda data: data.items["title"].tolist(),
    "undated": _undated,
    "genres": _genres,
    "numbers": _numbers,
    "shuffled": _shuffled,
}
