"""Small tables with known answers, and where the real data would be."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from sellarec_lab import data as D

SHARED = Path(os.environ.get("SELLAREC_DATA", Path(__file__).parents[3] / "shared" / "data"))
ML1M = SHARED / "ml-1m" / "ml-1m.zip"


def needs(path: Path) -> pytest.MarkDecorator:
    """Skips a test on real data where they are not."""
    return pytest.mark.skipif(not path.exists(), reason=f"{path.name} is not at {path}; set SELLAREC_DATA")


needs_ml1m = needs(ML1M)


def small() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two users, four films; rows out of order on purpose; one tie (bob, second 30)."""
    interactions = pd.DataFrame(
        [
            ("bob", "d", 5, 50, "test"),
            ("ann", "a", 5, 10, "train"),
            ("ann", "b", 2, 20, "train"),
            ("ann", "c", 4, 40, "valid"),
            ("bob", "b", 5, 30, "train"),
            ("bob", "a", 4, 30, "train"),
            ("ann", "d", 1, 60, "test"),
        ],
        columns=["user_id", "item_id", "rating", "timestamp", "split"],
    )
    items = pd.DataFrame({"item_id": list("abcd"), "title": ["Alpha", "Beta: 2", "Gamma", "Delta"], "year": range(4)})
    return interactions, items


def counts(data: D.Interactions) -> dict[str, int]:
    return D.leak_report(data).set_index("check")["count"].to_dict()


def frame(rows: list[tuple], first: int = 0) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "label", "timestamp", "history", "is_warm"])
    return table.set_axis(range(first, first + len(rows)), axis=0)


def leaky() -> D.Interactions:
    return D.Interactions(
        "leaky",
        train=frame([(1, 1, 1, 10, (), True), (1, 2, 1, 20, (1, 3), True), (1, 0, 1, 20, (2,), True)]),
        valid=frame([(1, 3, 1, 30, (1, 2, 3), True), (2, 4, 0, 31, (4, 0), False)], 3),
        test=frame([(1, 1, 1, 40, (1, 2), True), (1, 4, 0, 15, (4,), True)], 5),
        items=pd.DataFrame({"external_id": range(4), "title": ["a", "b", " ", ""]}, index=range(1, 5)),
        users=pd.DataFrame({"external_id": range(2)}, index=range(1, 3)),
    )
