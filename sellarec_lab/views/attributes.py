"""What is known of users and items beside their vectors, as colours and as text to hover over."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from sellarec_lab.data import Interactions
from sellarec_lab.views.style import BLUE, ORANGE, PALETTE, plain

_PALE, _INK = "#D0D0D0", "#555555"
_THIRDS = {"few train rows": "#A6CEE3", "some": "#3F8FC4", "many (by thirds of its kind)": "#08306B"}
_GENRES = 7  # so many get a colour, the rest share one


class Colouring(NamedTuple):
    """One way to colour words, users, semantics and items: a colour or one a row for each, and the legend as
    (label, colour, symbol)."""

    name: str
    colours: list[str | list[str]]
    legend: list[tuple[str, str, str]]


def counts(data: Interactions, column: str, ids: np.ndarray) -> np.ndarray:
    """Train rows of each id [n]; 0 for those that train never held."""
    return data.train[column].value_counts().reindex(ids, fill_value=0).to_numpy()


def describe_items(data: Interactions, item_ids: np.ndarray) -> list[str]:
    """Title, genre and number of train rows, as markup that plotly reads."""
    known = [f"{plain(genre)}, " if genre else "" for genre in data.genre.loc[item_ids]]
    known = zip(item_ids, known, counts(data, "item_id", item_ids), strict=True)
    return [f"<b>{plain(data.titles[i])}</b><br>{genre}{rows(n)}" for i, genre, n in known]


def describe_users(data: Interactions, user_ids: np.ndarray) -> list[str]:
    """Id and number of train rows, as markup that plotly reads."""
    return [f"<b>user {i}</b><br>{rows(n)}" for i, n in zip(user_ids, counts(data, "user_id", user_ids), strict=True)]


def rows(n: int) -> str:
    """How often train holds it, in words."""
    return f"{n:,} train rows" if n else "cold: not in train"


def colourings(
    data: Interactions, user_ids: np.ndarray, item_ids: np.ndarray, kinds: dict[str, tuple[str, str]]
) -> list[Colouring]:
    """By kind, genre (if the data know any), number of train rows, and warm or cold.

    Args:
        kinds: name → (colour, symbol) of words, users, semantics and items, in this order.
    """
    shapes = [(name, _INK, symbol) for name, (_, symbol) in kinds.items()]

    def way(name: str, users: str | list[str], items: list[str], key: dict[str, str]) -> Colouring:
        dots = [(label, colour, "circle") for label, colour in key.items()]
        return Colouring(name, [_PALE, users, items, items], shapes + dots)

    own = [(name, colour, symbol) for name, (colour, symbol) in kinds.items()]
    ways = [Colouring("kind", [colour for colour, _ in kinds.values()], own)]
    named = data.genre.loc[item_ids].tolist()
    if any(named):
        key = dict(zip(pd.Series([g for g in named if g]).value_counts().index[:_GENRES], PALETTE))
        ways.append(way("genre", _PALE, [key.get(g, _PALE) for g in named], key | {"other or none": _PALE}))
    known = [counts(data, c, ids) for c, ids in (("user_id", user_ids), ("item_id", item_ids))]
    ways.append(way("popularity", *map(_thirds, known), _THIRDS | {"none": _PALE}))
    warm = ([BLUE if n else ORANGE for n in many] for many in known)
    return [*ways, way("warm or cold", *warm, {"warm: in train": BLUE, "cold: not in train": ORANGE})]


def _thirds(n: np.ndarray) -> list[str]:
    """A colour a count: pale for none, else by thirds of those that have some."""
    edges = np.quantile(n[n > 0], [1 / 3, 2 / 3]) if (n > 0).any() else [0, 0]
    shades = list(_THIRDS.values())
    return [shades[int(np.searchsorted(edges, many))] if many else _PALE for many in n]
