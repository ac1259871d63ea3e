"""Tables, splits, loaders, leak report.

`load("tiny")` and `load("ml-1m")` give a known data set, `from_frames` takes your own tables, and
`load_collm` reads the benchmark tables as published. All return `Interactions`.
"""

from pathlib import Path

from sellarec_lab.data.build import from_frames
from sellarec_lab.data.checks import validate
from sellarec_lab.data.collm import load_collm
from sellarec_lab.data.errors import DataError, UnsafePickleError
from sellarec_lab.data.interactions import SPLITS, Interactions
from sellarec_lab.data.movielens import load_ml1m
from sellarec_lab.data.profiles import NextItemRanker, Profiles, Ranker, best, next_items
from sellarec_lab.data.reports import cold, leak_report, statistics, warm, warmth
from sellarec_lab.data.tiny import load_tiny

LOADERS = {"tiny": load_tiny, "ml-1m": load_ml1m}

__all__ = [
    "SPLITS", "DataError", "Interactions", "NextItemRanker", "Profiles", "Ranker", "UnsafePickleError", "best", "cold",
    "from_frames", "leak_report", "load", "load_collm", "next_items", "statistics", "validate", "warm", "warmth",
]  # fmt: skip


def load(name: str, root: str | Path | None = None) -> Interactions:
    """Load a data set by name.

    Args:
        name: "tiny", the embedded simulated world; or "ml-1m", MovieLens-1M in the benchmark split.
        root: where the files lie. For ml-1m: the official zip, a folder that holds it, or the unpacked
            folder; without it the zip is downloaded from GroupLens.

    Raises:
        ValueError: unknown name; the message lists the known ones.
        DataError: a file is missing or not as it should be.
    """
    if name not in LOADERS:
        raise ValueError(f"unknown data set {name!r}; known: {', '.join(LOADERS)}. For your own use from_frames.")
    return LOADERS[name](root)
