"""Where the tokens of an alignment stand on a map that does not move: of words, and of what is said of the items.

The map is fitted on the words and on the item semantics as they were distilled. Tokens are placed on it moment by
moment and have no say in it, so what walks is a token, and never the ground below it.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.neighbors import NearestNeighbors

from sellarec_lab import metrics
from sellarec_lab.alignment import Snapshots
from sellarec_lab.data import Interactions
from sellarec_lab.views.maps import CACHE, Map, alike_by_chance, coordinates
from sellarec_lab.views.style import matrices, need_one_each, units
from sellarec_lab.views.vectors import nearest

_WORDS = 300  # most words drawn; all that are given may be named as neighbours
_NEIGHBOURS = 10


class Tokens(NamedTuple):
    """Tokens of one kind: their ``ids`` [n], places ``xy`` [S, n, 2] at S moments (1 for what stands still), and the
    names of the three nearest words, [S][n]."""

    ids: np.ndarray
    xy: np.ndarray
    near: list[list[str]]


class WalkMap(NamedTuple):
    """The map and all that stands on it, at the moments ``steps`` [S].

    ``names`` and ``words`` [w, 2] are the words; ``shown`` the places of those that are written out, the nearest of
    most items first. ``partners`` [m] is the place, among the items, of a partner drawn at random. ``trust``
    (`neighbourhoods`) tells how far the picture can be believed.
    """

    made: Map
    method: str
    steps: list[int]
    names: list[str]
    words: np.ndarray
    shown: np.ndarray
    users: Tokens
    semantics: Tokens
    items: Tokens
    partners: np.ndarray
    trust: pd.DataFrame


def walk_map(
    walk: Snapshots, data: Interactions, words: ArrayLike, vocabulary: Sequence[str], most: int = 400,
    method: str = "umap", seed: int = 0, cache: Path | None = CACHE,
) -> WalkMap:  # fmt: skip
    """Place the tokens of a walk on a map of words and semantics; arguments as `alignment_over_time` takes them.

    Words that a column of the items tells (a genre, a mood, a name; titles do not count) are always drawn.

    Raises:
        ValueError: shapes that do not fit (both are named), or an unknown method.
    """
    words = matrices({"words": words, "items": walk.items[0], "users": walk.users[0]}, "walk")["words"]
    need_one_each("vocabulary", vocabulary, "words", words)
    users, items = _spread(len(walk.user_ids), most), _spread(len(walk.item_ids), most)
    names = [word.strip().lstrip("Ġ▁") for word in vocabulary]
    told = told_words(data)
    drawn = _drawn(names, told)
    said = walk.semantics[0, items].double().numpy()
    tokens = [part.double().numpy() for part in (walk.users[:, users], walk.items[:, items])]
    ground = units("words, semantics", np.concatenate([words[drawn], said]))
    moving = units("users, items", np.concatenate([part.reshape(-1, part.shape[-1]) for part in tokens]))
    made = coordinates(ground, method, seed, cache, moving)
    still, places = made.xy[: len(ground)].round(4), made.xy[len(ground) :].round(4)  # four decimals: a small page
    places = np.split(places, [len(walk.steps) * len(users)])
    users_xy, items_xy = (xy.reshape(*part.shape[:2], 2) for xy, part in zip(places, tokens, strict=True))
    item_ids = walk.item_ids[items].numpy()
    near = [_near(stack, words, names) for stack in (tokens[0], said[None], tokens[1])]
    kinds = data.genre.loc[item_ids].tolist()
    return WalkMap(
        made, method, walk.steps.tolist(), [names[i] for i in drawn], still[: len(drawn)],
        _written_out([names[i] for i in drawn], told, near[2][-1]),
        Tokens(walk.user_ids[users].numpy(), users_xy, near[0]),
        Tokens(item_ids, still[None, len(drawn) :], near[1]),
        Tokens(item_ids, items_xy, near[2]),
        metrics.shuffled(np.arange(len(items)), seed),
        neighbourhoods({"item semantics": (said, still[len(drawn) :]), "items": (tokens[1][-1], items_xy[-1])}, kinds),
    )  # fmt: skip


def neighbourhoods(groups: dict[str, tuple[np.ndarray, np.ndarray]], kinds: Sequence[str]) -> pd.DataFrame:
    """How far a picture can be believed: of each row's 10 nearest rows, the share of its own kind, in the full space
    (by cosine), in the picture, and by chance; a row a group. Empty where kinds are not known.

    Args:
        groups: name → vectors [n, d] and their places [n, 2].
        kinds: [n], for example genres; "" where none is known, which leaves the row out.
    """
    known = np.flatnonzero([bool(kind) for kind in kinds])
    kinds, k, rows = np.asarray(kinds)[known], min(_NEIGHBOURS, len(known) - 1), {}
    if k < 1:
        return pd.DataFrame(columns=["full space", "picture", "chance"])
    for name, (vectors, xy) in groups.items():
        flat = NearestNeighbors(n_neighbors=k).fit(xy[known]).kneighbors(return_distance=False)
        full = metrics.same_kind(metrics.neighbours(vectors[known], k), kinds)
        rows[name] = {"full space": full, "picture": metrics.same_kind(flat, kinds)}
    chance = alike_by_chance(np.unique(kinds, return_counts=True)[1])
    table = pd.DataFrame.from_dict(rows, orient="index").assign(chance=chance)
    return table.rename_axis("neighbours of the same genre")


def told_words(data: Interactions) -> set[str]:
    """The words that columns of the items tell: genres, moods, names. Titles and ids are none."""
    text = data.items.drop(columns=["title", "external_id"], errors="ignore").select_dtypes(exclude="number")
    cells = (cell for column in text for cell in text[column])
    parts = (part for cell in cells for part in (cell if isinstance(cell, (list, tuple)) else [cell]))
    return {word for part in parts for word in re.findall(r"\w+", str(part))}


def _spread(n: int, most: int) -> np.ndarray:
    """At most so many of n rows, evenly spread."""
    many = min(n, most)
    return np.arange(many) * n // many


def _drawn(names: list[str], told: set[str]) -> np.ndarray:
    """Places of the words that are drawn: those that items tell, then others, evenly spread; in their old order."""
    first = [i for i, name in enumerate(names) if name in told][:_WORDS]
    rest = np.setdiff1d(np.arange(len(names)), first)
    free = min(len(rest), _WORDS - len(first))
    return np.sort(np.concatenate([first, rest[_spread(len(rest), free)] if free else []]).astype(int))


def _written_out(names: list[str], told: set[str], near: list[str]) -> np.ndarray:
    """Places of the words to write out: those that items tell, and whatever is someone's nearest; the word that is
    nearest to most items first."""
    often = Counter(text.split(", ")[0] for text in near)
    some = [i for i, name in enumerate(names) if name in told or often[name]]
    return np.array(sorted(some, key=lambda i: -often[names[i]]), dtype=int)


def _near(stack: np.ndarray, words: np.ndarray, names: list[str]) -> list[list[str]]:
    """The three words nearest to each token of [S, n, d]: S lists of n texts."""
    unit, k = units("words", words), min(3, len(words))
    found = (nearest(units("tokens", tokens), unit, k)[0] for tokens in stack)
    return [[", ".join(names[i] for i in row) for row in rows] for rows in found]
