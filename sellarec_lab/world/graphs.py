"""Two linked graphs about the films: what a shop's catalogue states, and an archive that knows more.

The catalogue has genre, era and director of its films, not of all of them. The archive numbers films its own way; it
has most directors, moods and verdicts, what kind of film they are, and the *scene* of nine in ten, which no text and no
catalogue mentions. Most films are linked, late ones too, so an archive can tell of a film that nobody has rated yet.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

LINKED, TOLD = 0.85, 0.9  # shares of films that are linked, and of what could be said of each beside its first fact
HELD_OUT = (0.1, 0.2)  # of the catalogue's triples: valid, test; at most one a film
_CATALOGUE = {"genre": "has genre", "era": "from", "director": "directed by"}
_ARCHIVE = {"director": "made by", "genre": "kind", "mood": "feels", "verdict": "was", "scene": "belongs to"}


def make_graphs(rng: np.random.Generator, films: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """``catalogue`` and ``archive``: ``head, relation, tail, split``; ``links``: ``catalogue, archive``."""
    numbers = pd.Series(rng.permutation(len(films)) + 1000, index=films.index)
    catalogue = _told(rng, films, _CATALOGUE, "film " + films.index.astype(str), "")
    archive = _told(rng, films, _ARCHIVE, "record " + numbers.astype(str), "a:")
    split = _held_out(rng, catalogue)
    linked = films.index[np.sort(rng.permutation(len(films))[: round(LINKED * len(films))])]
    links = [(f"film {film}", f"record {numbers[film]}") for film in linked]
    links += [(name, f"a:{name}") for name in sorted(films["director"].unique())]
    return {
        "catalogue": catalogue.assign(split=split),
        "archive": archive.assign(split="train"),
        "links": pd.DataFrame(links, columns=["catalogue", "archive"]),
    }


def _held_out(rng: np.random.Generator, triples: pd.DataFrame) -> np.ndarray:
    """Split of each triple; of a film that has but one fact nothing is held out."""
    drawn = triples.assign(row=np.arange(len(triples))).sample(frac=1, random_state=rng)
    spare = drawn[drawn.groupby("head")["head"].transform("size") > 1].drop_duplicates("head")["row"].to_numpy()
    valid, test = (round(share * len(triples)) for share in HELD_OUT)
    split = np.full(len(triples), "train", dtype=object)
    split[spare[:valid]], split[spare[valid : valid + test]] = "valid", "test"
    return split


def _told(
    rng: np.random.Generator, films: pd.DataFrame, relations: dict[str, str], names: Iterable[str], mark: str
) -> pd.DataFrame:
    """The first fact of every film and a share of the others, in order of films."""
    rows = [
        (name, relation, f"{mark}scene {film[column]}" if column == "scene" else f"{mark}{film[column]}")
        for name, (_, film) in zip(names, films.iterrows(), strict=True)
        for column, relation in relations.items()
    ]
    first = np.arange(len(rows)) % len(relations) == 0
    return pd.DataFrame(rows, columns=["head", "relation", "tail"])[first | (rng.random(len(rows)) < TOLD)]
