"""Tables, splits, loaders, leak report.

`load` gives a known data set by name, `from_frames` takes your own tables, `load_collm` reads the benchmark tables
as published, and `leave_one_out` turns any of them into sequences for next-item prediction. All return
`Interactions`.
"""

import os
from functools import partial
from pathlib import Path
from typing import Any

from sellarec_lab.data.amazon import load_amazon
from sellarec_lab.data.amazon_book import load_amazon_book
from sellarec_lab.data.asked import UnknownIdError
from sellarec_lab.data.build import from_frames
from sellarec_lab.data.checks import both_classes, validate
from sellarec_lab.data.collm import load_collm
from sellarec_lab.data.errors import DataError, UnsafePickleError
from sellarec_lab.data.interactions import SPLITS, Interactions
from sellarec_lab.data.judging import judging_rows
from sellarec_lab.data.lcrec import load_lcrec
from sellarec_lab.data.movielens import load_ml1m
from sellarec_lab.data.own import load_own
from sellarec_lab.data.own_ids import OwnIds
from sellarec_lab.data.profiles import NextItemRanker, Profiles, Ranker, best, liked_genres, next_items
from sellarec_lab.data.reports import cold, leak_report, statistics, warm, warmth
from sellarec_lab.data.sequences import as_sequences, leave_one_out
from sellarec_lab.data.shown import shown_titles
from sellarec_lab.data.tiny import load_tiny

LOADERS = {
    "tiny": load_tiny,
    "tiny-part": partial(load_tiny, users=125),
    "ml-1m": load_ml1m,
    "amazon-book": load_amazon_book,
    "amazon": load_amazon,
    "lc-rec": load_lcrec,
    "own": load_own,
}

__all__ = [
    "SPLITS", "DataError", "Interactions", "NextItemRanker", "OwnIds", "Profiles", "Ranker", "UnknownIdError",
    "UnsafePickleError", "as_sequences", "at_hand", "best", "both_classes", "cold", "from_frames", "judging_rows",
    "leak_report", "leave_one_out", "liked_genres", "load", "load_amazon", "load_amazon_book", "load_collm",
    "load_lcrec", "load_own", "next_items", "shown_titles", "statistics", "validate", "warm", "warmth",
]  # fmt: skip


def load(name: str, root: str | Path | None = None, **options: Any) -> Interactions:
    """Load a data set by name.

    Args:
        name: "tiny", the embedded simulated world, and "tiny-part", a quarter of its users; "ml-1m" and
            "amazon-book", MovieLens-1M and Amazon's books in the benchmark split; "lc-rec", sequences in LC-Rec's
            layout; "amazon", one category of Amazon's raw reviews, made into sequences; "own", a folder with
            interactions.csv and items.csv.
        root: where the files lie: a folder, a zip, or a folder that holds it. Without it they are sought in the folder
            ``name`` of the one that the environment's SELLAREC_DATA names; without that ml-1m is downloaded from
            GroupLens, while the Amazon data have no such address.
        options: of `load_amazon` (`category`, `k`, `reviews`, `titles_from_ids`) or `load_lcrec`
            (`titles_from_ids`).

    Raises:
        ValueError: unknown name; the message lists the known ones.
        TypeError: an option that the data set does not know.
        DataError: a file is missing or not as it should be.
    """
    if name not in LOADERS:
        raise ValueError(f"unknown data set {name!r}; known: {', '.join(LOADERS)}. For your own use from_frames.")
    return LOADERS[name](root or at_hand(name), **options)


def at_hand(name: str) -> Path | None:
    """A folder or file of that name in the folder that SELLAREC_DATA names; None where there is none."""
    place = Path(os.environ.get("SELLAREC_DATA", "")) / name
    return place if os.environ.get("SELLAREC_DATA") and place.exists() else None
