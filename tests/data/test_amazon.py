"""From Amazon's raw files to sequences: answers by hand, broken files, and the real ones."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from by_hand import SHARED, counts, needs
from raw import review, write

from sellarec_lab import data as D
from sellarec_lab.data.sequences import k_core

RAW = SHARED / "amazon-raw"
REVIEWS = [
    review("zoe", "C", 30, reviewText="late <b>C</b>"),
    review("zoe", "A", 10, reviewText="first A"),
    review("ann", "B", 20, reviewText=""),
    review("ann", "A", 20),  # a tie with the line above: the order of the file decides
    review("ann", "C", 15, 1.0, reviewText="C &amp; co"),
    review("zoe", "B", 20, reviewText="B"),
    review("zoe", "A", 40, reviewText="A again"),  # a repeated pair: the first in time stays
    review("ann", "X", 5),  # no metadata
    review("joe", "C", 1),  # one review only
]
META = [
    {"asin": "A", "title": "old", "category": ["Toys"]},
    {"asin": "B", "title": "", "description": ["one", "two<br>three"], "brand": "B&amp;B"},
    {"asin": "C", "title": " C&#39;s ", "category": ["Toys", "Red <i>Toys</i>"]},
    {"asin": "D", "title": "nobody reviews it"},
    {"asin": "A", "title": "Ann's", "category": ["Toys"], "also_buy": ["B"]},  # the last row counts
]


def folder(path: Path, reviews: list = REVIEWS, meta: list | None = META) -> Path:
    write(path / "Toys_5.json.gz", reviews)
    if meta is not None:
        write(path / "meta_Toys.json.gz", meta)
    return path


def rows(frame: pd.DataFrame) -> list[list[int]]:
    return frame[["user_id", "item_id", "label", "timestamp"]].to_numpy().tolist()


def test_by_hand(tmp_path: Path) -> None:
    data = D.load("amazon", folder(tmp_path), category="Toys", k=2)
    # Users by their first row in time, zoe at 10; items by her sequence A B C.
    assert data.name == "toys" and data.users["external_id"].tolist() == ["zoe", "ann"]
    assert data.items["external_id"].tolist() == ["A", "B", "C"]
    assert rows(data.train) == [[1, 1, 1, 10], [2, 3, 1, 15]]
    assert rows(data.valid) == [[1, 2, 1, 20], [2, 2, 1, 20]]
    assert rows(data.test) == [[1, 3, 1, 30], [2, 1, 1, 20]]
    assert data.test["history"].tolist() == [(1, 2), (3, 2)] and data.reviews is None
    assert data.titles == ["", "Ann's", "B", "C's"]
    assert data.items["description"].tolist() == ["", "one two three", ""]
    assert data.items["brand"].tolist() == ["", "B&B", ""]
    assert data.items["categories"].tolist() == ["Toys", "", "Toys, Red Toys"]
    kept = data.steps[["users", "items", "interactions"]].to_numpy().tolist()
    assert kept == [[3, 4, 9], [3, 3, 8], [3, 3, 7], [2, 3, 6], [2, 3, 6]]
    assert data.steps["note"].tolist() == ["", "", "", "", "1 without a title are called by their id"]


def test_reviews_are_kept_if_asked_for(tmp_path: Path) -> None:
    data = D.load("amazon", folder(tmp_path), k=2, reviews=True)
    assert data.reviews.to_numpy().tolist() == [[1, 1, "first A"], [1, 2, "B"], [1, 3, "late C"], [2, 3, "C & co"]]
    silent = D.load("amazon", folder(tmp_path), k=2)
    assert silent.fingerprint != data.fingerprint and silent.test.equals(data.test)


def test_2014_layout_with_python_dicts_and_plain_files(tmp_path: Path) -> None:
    nested = [m | {"categories": [m["category"]]} if "category" in m else m for m in META]
    write(tmp_path / "reviews_Toys_5.json", REVIEWS)
    write(tmp_path / "meta_Toys.json.gz", [{k: v for k, v in m.items() if k != "category"} for m in nested], repr)
    data = D.load("amazon", tmp_path, k=2)
    assert data.fingerprint == D.load("amazon", folder(tmp_path / "2018"), k=2).fingerprint
    assert D.load("amazon", tmp_path / "reviews_Toys_5.json", k=2).name == "toys"  # the file itself as root
    (tmp_path / "meta_Toys.json").write_bytes(gzip.decompress((tmp_path / "meta_Toys.json.gz").read_bytes()))
    assert D.load("amazon", tmp_path, k=2).fingerprint == data.fingerprint
    (tmp_path / "meta_Toys.json").rename(tmp_path / "meta_Toys.json.gz")  # unpacked, but still called .gz
    assert D.load("amazon", tmp_path, k=2).fingerprint == data.fingerprint


def test_titles_from_ids(tmp_path: Path) -> None:
    path = folder(tmp_path, meta=None)
    with pytest.raises(D.DataError, match=r"meta_Toys\.json.*metadata.*nothing.*titles_from_ids=True"):
        D.load("amazon", path, k=2)
    data = D.load("amazon", path, k=1, titles_from_ids=True)
    assert sorted(data.titles[1:]) == ["A", "B", "C", "X"]
    assert data.steps["step"].tolist() == ["reviews", "first of each (user, item)", "1-core", "catalogue"]
    folder(tmp_path)  # with metadata the items that it lacks are left out all the same
    assert D.load("amazon", path, k=2, titles_from_ids=True).n_items == 3


def test_k_core_against_the_slow_way() -> None:
    rng = np.random.default_rng(0)
    for k in (1, 2, 3, 5):
        pairs = rng.integers(0, 20, (120, 2))
        table = pd.DataFrame(pairs, columns=["user_id", "item_id"]).drop_duplicates()
        slow = {(u, i) for u, i in table.itertuples(index=False)}
        while True:
            poor = {p for p in slow if any(sum(q[side] == p[side] for q in slow) < k for side in (0, 1))}
            if not poor:
                break
            slow -= poor
        core = k_core(table, k)
        assert set(core.itertuples(index=False, name=None)) == slow and core.index.is_monotonic_increasing


def test_k_core_needs_more_than_one_round() -> None:
    chain = pd.DataFrame([(1, 1), (1, 2), (2, 2), (2, 3), (3, 3)], columns=["user_id", "item_id"])
    assert k_core(chain, 2).empty
    square = pd.concat([chain, pd.DataFrame({"user_id": [8, 8, 9, 9], "item_id": [8, 9, 8, 9]})])
    assert k_core(square, 2)["user_id"].tolist() == [8, 8, 9, 9]


# ------------------------------------------------------------------------------------- broken files

BROKEN = {
    "cut": '{"reviewerID": "a", "asin": "B"',
    "no object": "[1, 2]",
    "blank": "",
    "no user": {"asin": "B", "unixReviewTime": 1},
    "empty item": review("a", "", 1),
    "item a number": review("a", "B", 1) | {"asin": 7},
    "time a text": review("a", "B", 1) | {"unixReviewTime": "1"},
    "time a fraction": review("a", "B", 1) | {"unixReviewTime": 1.5},
    "time true": review("a", "B", 1) | {"unixReviewTime": True},
    "no UTF-8": b'{"reviewerID": "\xff", "asin": "B", "unixReviewTime": 1}',
    "code": "{'reviewerID': __import__('os').getcwd(), 'asin': 'B', 'unixReviewTime': 1}",
    "unhashable": "{'a': {[]: 1}}",
    "deep": "[" * 100_000,
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_line_is_left_out_and_named(case: str, tmp_path: Path) -> None:
    many = [review(f"u{i // 3}", "ABC"[i % 3], i) for i in range(300)]
    path = folder(tmp_path, [*many[:6], BROKEN[case], *many[6:]], [*META * 20, "{"])
    data = D.load("amazon", path, k=3)
    assert data.n_users == 100 and data.steps["note"].iloc[0] == "broken lines: 1 (7), left out"
    assert data.fingerprint == D.load("amazon", folder(tmp_path / "whole", many), k=3).fingerprint


def test_too_many_broken_lines_are_an_error(tmp_path: Path) -> None:
    path = folder(tmp_path, [*REVIEWS, *["x"] * 7])
    message = r"Toys_5\.json\.gz.*at most 1% of 16 lines.*broken lines: 7 \(10, 11, 12, 13, 14, \.\.\.\)"
    with pytest.raises(D.DataError, match=message):
        D.load("amazon", path)
    with pytest.raises(D.DataError, match=r"meta_Toys\.json\.gz.*broken lines: 1 \(6\)"):
        D.load("amazon", folder(tmp_path, meta=[*META, "x"]))


def test_bad_files_and_roots(tmp_path: Path) -> None:
    def refused(message: str, root: Path | None = tmp_path, **options: object) -> None:
        with pytest.raises(D.DataError, match=message):
            D.load("amazon", root, **options)

    refused(r"root, a folder.*None", None)
    refused(r"nowhere.*nothing", tmp_path / "nowhere")
    refused(r"one file of reviews, NAME_5.*none.*category=NAME")
    folder(tmp_path)
    refused(r"Toys_5\.json\.gz, 5-core.*a user with 3 items.*none")
    write(tmp_path / "Games_5.json.gz", REVIEWS)
    refused(r"found Games_5\.json\.gz, Toys_5\.json\.gz.*Pass category=NAME")
    refused(r"Books_5.*found Games_5\.json\.gz, Toys_5\.json\.gz.*Check the folder", category="Books")
    write(tmp_path / "Toys.json", REVIEWS)
    refused(r"found Toys\.json, Toys_5\.json\.gz.*root the file", category="Toys")
    whole = (tmp_path / "Games_5.json.gz").read_bytes()
    (tmp_path / "Games_5.json.gz").write_bytes(whole[:-20])
    refused(r"Games_5\.json\.gz.*whole gzip file.*truncated", category="Games")
    write(tmp_path / "Games_5.json.gz", [])
    refused(r"Games_5\.json\.gz.*empty file", category="Games")


# ------------------------------------------------------------------------------------- the real files


@needs(RAW)
def test_gift_cards_2018() -> None:
    data = D.load("amazon", RAW, category="Gift_Cards", reviews=True)
    assert data.steps[["users", "items", "interactions"]].to_numpy().tolist() == [
        [458, 148, 2972],
        [458, 148, 2972],
        [458, 148, 2965],  # 7 repeated pairs
        [453, 147, 2941],
        [453, 147, 2941],
    ]
    assert (data.steps["note"] == "").all() and len(data.reviews) == 2935
    every = pd.concat([data.split(part) for part in D.SPLITS])
    assert every["user_id"].value_counts().min() == every["item_id"].value_counts().min() == 5
    assert not D.leak_report(data)["verdict"].str.startswith(("leak", "fault")).any()
    assert counts(data)["same-second events in the history (test rows)"] > 0  # times are whole days


@needs(RAW)
def test_musical_instruments_2014() -> None:
    data = D.load("amazon", RAW, category="Musical_Instruments", titles_from_ids=True)
    assert (data.n_users, data.n_items) == (1429, 900) and (data.steps["interactions"] == 10261).all()
