"""The data room: answers known by construction, the published counts, and every kind of bad input."""

from __future__ import annotations

import builtins
import functools
import io
import os
import pickle
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from sellarec_lab import data as D
from sellarec_lab.data import movielens, plain_pickle, tiny
from sellarec_lab.data.plain_pickle import read_table

ML1M = Path(os.environ.get("SELLAREC_DATA", Path(__file__).parents[2] / "shared" / "data")) / "ml-1m" / "ml-1m.zip"
needs_ml1m = pytest.mark.skipif(not ML1M.is_file(), reason=f"MovieLens-1M is not at {ML1M}; set SELLAREC_DATA")
needs_tiny = pytest.mark.skipif(
    not (tiny.default_folder() / "interactions.csv").is_file(), reason="the embedded world is not built"
)


# ---------------------------------------------------------------- small tables with known answers


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


def test_from_frames_by_hand() -> None:
    data = D.from_frames(*small())
    # Users by first appearance: bob 1, ann 2. Items by the items table: a 1, b 2, c 3, d 4.
    assert data.users["external_id"].tolist() == ["bob", "ann"]
    assert data.items["external_id"].tolist() == list("abcd")
    assert data.titles == ["", "Alpha", "Beta: 2", "Gamma", "Delta"]
    assert (data.n_users, data.n_items) == (2, 4)
    assert tuple(data.train.columns) == ("user_id", "item_id", "label", "timestamp", "history", "is_warm")
    # Sorted: bob b30, a30 (order given), d50; ann a10, b20, c40, d60.
    assert data.train.index.tolist() == [0, 1, 3, 4]
    assert data.valid.index.tolist() == [5] and data.test.index.tolist() == [2, 6]
    assert data.train["history"].tolist() == [(), (2,), (), (1,)]
    assert data.train["label"].tolist() == [1, 1, 1, 0]
    assert data.valid["history"].tolist() == [(1,)]  # b was not liked
    assert data.test["history"].tolist() == [(2, 1), (1, 3)]  # ann's holds the liked valid film
    assert data.train["is_warm"].all() and not data.valid["is_warm"].any() and not data.test["is_warm"].any()
    assert data.items["year"].tolist() == [0, 1, 2, 3]
    assert "2 users, 4 items" in repr(data) and "<table" in data._repr_html_()


def test_label_column_and_threshold() -> None:
    interactions, items = small()
    strict = D.from_frames(interactions, items, threshold=5)
    assert strict.test["history"].tolist() == [(2,), (1,)]
    labelled = interactions.assign(label=(interactions["rating"] >= 4).astype(bool)).drop(columns="rating")
    assert D.from_frames(labelled, items).fingerprint == D.from_frames(interactions, items).fingerprint


def test_users_table_sets_the_numbering_and_keeps_columns() -> None:
    users = pd.DataFrame({"user_id": ["zoe", "ann", "bob"], "age": [1, 2, 3]})
    data = D.from_frames(*small(), users)
    assert data.users.loc[[2, 3], "age"].tolist() == [2, 3]
    assert data.train["user_id"].tolist() == [2, 2, 3, 3]


def test_chronological_split_never_trains_on_the_future_and_never_cuts_a_second() -> None:
    rng = np.random.default_rng(0)
    pairs = rng.permutation(400)[:200]
    interactions = pd.DataFrame(
        {
            "user_id": pairs // 20,
            "item_id": pairs % 20,
            "label": pairs % 2,
            "timestamp": rng.integers(0, 40, 200),
        }
    )
    items = pd.DataFrame({"item_id": range(20), "title": "film"})
    data = D.from_frames(interactions, items)
    assert data.train["timestamp"].max() < data.valid["timestamp"].min()
    assert data.valid["timestamp"].max() < data.test["timestamp"].min()
    assert 140 <= len(data.train) <= 180
    halves = D.from_frames(interactions, items, split=(0.5, 0.25, 0.25))
    assert 85 <= len(halves.train) <= 115


def test_times_may_be_datetimes_of_any_unit_and_zone() -> None:
    interactions, items = small()
    plain = D.from_frames(interactions, items)
    for unit in ("s", "ns"):
        times = pd.to_datetime(interactions["timestamp"], unit="s").astype(f"datetime64[{unit}]")
        zoned = times.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
        for column in (times, zoned):
            assert D.from_frames(interactions.assign(timestamp=column), items).fingerprint == plain.fingerprint


def test_statistics_and_both_definitions_of_warm() -> None:
    data = D.from_frames(*small())
    table = D.statistics(data)
    assert table.loc["train"].tolist() == [4, 2, 2, 0.75, 1.0, 0.5, 1, 2]
    assert table.loc["test", ["rows", "users", "items", "users with both labels"]].tolist() == [2, 2, 1, 0]
    assert D.warmth(data, data.train, 2).tolist() == [True] * 4
    assert D.warmth(data, data.train, 3).tolist() == [False] * 4
    assert len(D.warm(data.test)) == 0 and len(D.cold(data.test)) == 2
    with pytest.raises(ValueError, match="at_least"):
        D.warmth(data, data.test, 0)


def test_fingerprint_is_stable_across_processes_and_sees_every_part() -> None:
    interactions, items = small()
    data = D.from_frames(interactions, items)
    code = "import test_data as t; print(t.D.from_frames(*t.small()).fingerprint)"
    env = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join((".", "tests"))}
    root = Path(__file__).parents[1]
    other = subprocess.run([sys.executable, "-c", code], cwd=root, env=env, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == data.fingerprint and len(data.fingerprint) == 64
    changed = [
        D.from_frames(interactions.assign(timestamp=interactions["timestamp"] + 1), items),
        D.from_frames(interactions.assign(rating=5), items),
        D.from_frames(interactions, items.assign(title="x")),
        D.from_frames(interactions, items, truth=np.zeros((3, 5), np.float32)),
    ]
    assert len({data.fingerprint, *(other.fingerprint for other in changed)}) == 5
    assert D.from_frames(interactions, items, name="renamed").fingerprint == data.fingerprint
    moved = replace(leaky(), train=leaky().train.assign(history=[(1,), (3,), (2,)]))  # same ids, other rows
    assert moved.fingerprint != leaky().fingerprint


# ---------------------------------------------------------------- leak report


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


def test_leak_report_finds_what_was_planted() -> None:
    report = D.leak_report(leaky()).set_index("check")
    planted = {
        "(user, item) pairs in two splits": 1,  # (1, 1) in train and test
        "rows with the target inside its own history": 4,  # two in valid, two in test
        "rows with future items in the history": 1,  # item 3 of second 30 at second 20
        "train rows at or after the first test row": 2,
        "same-second events in the history (train rows)": 1,  # item 2, second 20
        "same-second events in the history (valid rows)": 1,
        "same-second events in the history (test rows)": 0,
        "rows with history items that have no liked row": 2,
        "users unseen in train (valid)": 1,
        "items unseen in train (valid)": 2,
        "is_warm differs from seen in train": 2,
        "padding id 0 in the frames": 1,
        "rows with padding item 0 in the history": 1,
        "empty titles": 2,
    }
    assert {check: report.loc[check, "count"] for check in planted} == planted
    assert report.loc["rows with future items in the history", "verdict"] == "leak"
    assert report.loc["same-second events in the history (test rows)", "verdict"] == "ok"
    assert report["verdict"].str.match(r"^(ok|leak|note: .+|fault: .+)$").all()


def test_leak_report_of_clean_tables_is_clean() -> None:
    report = D.leak_report(D.from_frames(*small()))
    assert list(report.columns) == ["check", "count", "verdict"]
    assert not report["verdict"].str.startswith(("leak", "fault")).any()
    assert counts(D.from_frames(*small()))["same-second events in the history (train rows)"] == 1


# ---------------------------------------------------------------- bad tables


def edit(table: pd.DataFrame, row: int, column: str, value: object) -> pd.DataFrame:
    table = table.astype({column: object})
    table.loc[row, column] = value
    return table


BAD_TABLES = {
    "missing column": (lambda i, m: (i.drop(columns="timestamp"), m), "'timestamp'"),
    "neither label nor rating": (lambda i, m: (i.drop(columns="rating"), m), "'label'"),
    "no rows": (lambda i, m: (i.iloc[:0], m), "at least one row"),
    "no title column": (lambda i, m: (i, m.drop(columns="title")), "'title'"),
    "unknown item": (lambda i, m: (edit(i, 2, "item_id", "zz"), m), "row 2, column 'item_id'.*items.*'zz'"),
    "ids of two types": (lambda i, m: (i, m.assign(item_id=range(4))), "row 0, column 'item_id'.*one type"),
    "repeated pair": (lambda i, m: (edit(i, 2, "item_id", "a"), m), "row 2.*once.*'ann', 'a'"),
    "repeated item": (lambda i, m: (i, edit(m, 3, "item_id", "a")), "items, row 3.*once"),
    "rating out of range": (lambda i, m: (edit(i, 4, "rating", 6), m), "row 4, column 'rating'.*1 to 5.*6"),
    "rating NaN": (lambda i, m: (edit(i, 4, "rating", np.nan), m), "row 4, column 'rating'.*number"),
    "rating no number": (lambda i, m: (edit(i, 4, "rating", "good"), m), "row 4, column 'rating'.*'good'"),
    "rating infinite": (lambda i, m: (edit(i, 4, "rating", np.inf), m), "row 4, column 'rating'.*inf"),
    "label of stars": (lambda i, m: (i.rename(columns={"rating": "label"}), m), "column 'label'.*0 or 1"),
    "timestamp NaN": (lambda i, m: (edit(i, 1, "timestamp", None), m), "row 1, column 'timestamp'"),
    "timestamp fraction": (
        lambda i, m: (edit(i, 1, "timestamp", 1.5), m),
        "row 1, column 'timestamp'.*whole",
    ),
    "user NaN": (lambda i, m: (edit(i, 3, "user_id", None), m), "row 3, column 'user_id'"),
    "user a list": (lambda i, m: (i.assign(user_id=[[1]] * 7), m), "row 0, column 'user_id'"),
    "title NaN": (lambda i, m: (i, edit(m, 1, "title", None)), "items, row 1, column 'title'"),
    "title a number": (lambda i, m: (i, edit(m, 1, "title", 7)), "items, row 1, column 'title'.*7"),
    "odd split": (lambda i, m: (edit(i, 6, "split", "dev"), m), "row 6, column 'split'.*'dev'"),
    "no valid row": (lambda i, m: (edit(i, 3, "split", "train"), m), "at least one valid"),
    "one second only": (lambda i, m: (i.drop(columns="split").assign(timestamp=1), m), "at least one train"),
    "reserved column": (lambda i, m: (i, m.assign(external_id=1)), "external_id"),
    "column twice": (lambda i, m: (pd.concat([i, i[["rating"]]], axis=1), m), "'rating'.*once"),
    "no table": (lambda i, m: (i.to_dict(), m), "DataFrame.*dict"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_tables_give_one_clear_error(case: str) -> None:
    break_it, message = BAD_TABLES[case]
    with pytest.raises(D.DataError, match=f"(?s){message}"):
        D.from_frames(*break_it(*small()))


def test_more_bad_arguments() -> None:
    interactions, items = small()
    with pytest.raises(D.DataError, match=r"row 0, column 'user_id'.*users.*'bob'"):
        D.from_frames(interactions, items, pd.DataFrame({"user_id": ["ann"]}))
    for shares in ((0.5, 0.5), (0.9, 0.2, -0.1), (0.5, 0.2, 0.2)):
        with pytest.raises(D.DataError, match="three positive shares"):
            D.from_frames(interactions, items, split=shares)
    with pytest.raises(D.DataError, match="split column 'fold'"):
        D.from_frames(interactions, items, split="fold")
    with pytest.raises(D.DataError, match=r"float32 \[3, 5\].*\[2, 4\]"):
        D.from_frames(interactions, items, truth=np.zeros((2, 4), np.float32))
    with pytest.raises(D.DataError, match="probabilities"):
        D.from_frames(interactions, items, truth=np.full((3, 5), 2, np.float32))
    with pytest.raises(ValueError, match=r"unknown data set 'netflix'.*tiny, ml-1m"):
        D.load("netflix")
    with pytest.raises(ValueError, match="unknown split"):
        D.from_frames(interactions, items).split("dev")


def test_interactions_check_themselves() -> None:
    good = leaky()
    parts = {"valid": good.valid, "test": good.test, "items": good.items, "users": good.users}
    with pytest.raises(D.DataError, match=r"table train: expected the columns"):
        D.Interactions("x", train=good.train.drop(columns="is_warm"), **parts)
    with pytest.raises(D.DataError, match=r"column 'label'.*int64.*float64"):
        D.Interactions("x", train=good.train.astype({"label": float}), **parts)
    with pytest.raises(D.DataError, match=r"row 2, column 'item_id'.*1 to 4.*9"):
        D.Interactions("x", train=good.train.assign(item_id=[1, 2, 9]), **parts)
    with pytest.raises(D.DataError, match=r"items, index.*without gaps"):
        D.Interactions("x", train=good.train, **(parts | {"items": good.items.set_axis(range(4))}))


# ---------------------------------------------------------------- MovieLens-1M, in miniature


JUN_2001, APR_2002, SEP_2002, FEB_2003 = 991353600, 1017619200, 1030838400, 1044057600
MOVIES = (
    "1::Seven (a.k.a. Se7en): One (1995)::Crime|Thriller\n2::Les Mis\xe9rables (1998)::Drama\n3::Up (1940)::Comedy\n"
)
USERS = "1::F::1::10::48067\n2::M::56::16::70072-12\n"
RATINGS = [
    f"2::3::5::{JUN_2001 - 1}",  # a second too early, but film 3 is the first seen
    f"2::2::4::{APR_2002 - 1}",  # then film 2
    f"1::1::3::{JUN_2001}",  # then film 1
    f"2::1::5::{APR_2002}",
    f"1::2::5::{JUN_2001}",  # tie with 1::1: neither line order nor MovieID decides, film 2 was seen first
    f"1::3::5::{SEP_2002}",
    f"2::3::4::{FEB_2003}",  # a second too late
]


def mini(folder: Path, ratings: list[str] | bytes = RATINGS, **members: bytes) -> Path:
    """An ml-1m.zip of seven ratings; `movies=...` and so on replace a member."""
    raw = ratings if isinstance(ratings, bytes) else ("\n".join(ratings) + "\n").encode("latin-1")
    content = {"ratings": raw, "movies": MOVIES.encode("latin-1"), "users": USERS.encode("latin-1")} | members
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "ml-1m.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in content.items():
            archive.writestr(f"ml-1m/{name}.dat", text)
    return folder / "ml-1m.zip"


def test_mini_ml1m_months_ties_ids_and_histories(tmp_path: Path) -> None:
    data = D.load("ml-1m", mini(tmp_path))
    # User 1 rated two films in one second; the tie goes by first appearance in the file: 2, then 1.
    assert data.items["external_id"].tolist() == [2, 1, 3]
    assert data.train[["user_id", "item_id", "label"]].to_numpy().tolist() == [
        [1, 1, 1],
        [1, 2, 0],
        [2, 1, 1],
    ]
    assert data.train.index.tolist() == [0, 1, 3]
    assert data.train["history"].tolist() == [(), (1,), ()]
    assert data.valid[["user_id", "item_id"]].to_numpy().tolist() == [[2, 2]]
    assert data.valid["history"].tolist() == [(1,)] and data.valid["is_warm"].tolist() == [True]
    assert data.test[["user_id", "item_id"]].to_numpy().tolist() == [[1, 3]]
    assert data.test["history"].tolist() == [(1,)] and data.test["is_warm"].tolist() == [False]
    assert data.titles[1:] == ["Les Mis\xe9rables (1998)", "Seven (a.k.a. Se7en): One (1995)", "Up (1940)"]
    assert data.items["year"].tolist() == [1998, 1995, 1940]
    assert data.items["genres"].tolist() == ["Drama", "Crime|Thriller", "Comedy"]
    assert data.users.loc[2].tolist() == [2, "M", 56, 16]


def test_mini_ml1m_zip_folder_and_unpacked_are_the_same(tmp_path: Path) -> None:
    path = mini(tmp_path / "zipped")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "open")
    roots = [path, str(path), path.parent, tmp_path / "open", tmp_path / "open" / "ml-1m"]
    assert len({D.load("ml-1m", root).fingerprint for root in roots}) == 1
    windows = mini(tmp_path / "crlf", ("\r\n".join(RATINGS) + "\r\n").encode())
    assert D.load("ml-1m", windows).fingerprint == D.load("ml-1m", path).fingerprint


BAD_FILES = {
    "short line": ({"ratings": [*RATINGS[:2], "1::2::3", *RATINGS[3:]]}, "ratings.dat, line 3.*'1::2::3'"),
    "long line": ({"ratings": [*RATINGS, "1::2::3::4::5"]}, "ratings.dat, line 8"),
    "colon at the end": ({"ratings": [f"{line}:" for line in RATINGS]}, "ratings.dat, line 1"),
    "two colons at an end": ({"ratings": [*RATINGS[:2], RATINGS[2] + "::", *RATINGS[3:]]}, "line 3"),
    "single colons": ({"ratings": [RATINGS[0], "1:2:3:4:5:6:7", *RATINGS[2:]]}, "ratings.dat, line 2"),
    "commas": ({"ratings": [line.replace("::", ",") for line in RATINGS]}, "ratings.dat, line 1"),
    "words": ({"ratings": [*RATINGS[:4], "1::x::5::991353600", *RATINGS[5:]]}, "ratings.dat, line 5"),
    "blank line": ({"ratings": [*RATINGS[:4], "", *RATINGS[4:]]}, "ratings.dat, line 5"),
    "six stars": ({"ratings": [*RATINGS[:3], f"2::2::6::{APR_2002}", *RATINGS[4:]]}, "ratings.dat, line 4"),
    "unknown film": (
        {"ratings": [*RATINGS, f"1::9::5::{SEP_2002}"]},
        "line 8.*MovieID listed in movies.dat.*9",
    ),
    "unknown user": (
        {"ratings": [*RATINGS, f"7::1::5::{SEP_2002}"]},
        "line 8.*UserID listed in users.dat.*7",
    ),
    "repeated pair": ({"ratings": [*RATINGS, f"1::3::5::{SEP_2002 + 9}"]}, "each .user_id, item_id. once"),
    "empty ratings": ({"ratings": b""}, "ratings.dat"),
    "no rating in the window": ({"ratings": RATINGS[:1]}, "2001-06-01"),
    "UTF-16 ratings": ({"ratings": "\n".join(RATINGS).encode("utf-16")}, "ratings.dat.*UTF-16"),
    "UTF-16 movies": ({"movies": MOVIES.encode("utf-16")}, "movies.dat.*UTF-16"),
    "UTF-8 movies": ({"movies": MOVIES.encode("utf-8")}, "movies.dat.*UTF-8"),
    "movie without year": (
        {"movies": b"1::Seven (1995)::Crime\n2::Up::Drama\n3::U (1940)::X\n"},
        "movies.dat, line 2",
    ),
    "movie twice": ({"movies": b"1::Seven (1995)::Crime\n1::Up (1940)::Drama\n"}, "movies.dat, line 2.*once"),
    "user without age": ({"users": b"1::F::10::48067\n"}, "users.dat, line 1"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_ml1m_files_give_one_clear_error(case: str, tmp_path: Path) -> None:
    members, message = BAD_FILES[case]
    with pytest.raises(D.DataError, match=f"(?s){message}"):
        D.load("ml-1m", mini(tmp_path, **members))


def test_bad_ml1m_roots(tmp_path: Path) -> None:
    path = mini(tmp_path)
    with pytest.raises(D.DataError, match=r"nowhere.*grouplens.*root"):
        D.load("ml-1m", tmp_path / "nowhere")
    (tmp_path / "cut.zip").write_bytes(path.read_bytes()[:-40])
    with pytest.raises(D.DataError, match=r"cut\.zip.*truncated"):
        D.load("ml-1m", tmp_path / "cut.zip")
    broken = bytearray(path.read_bytes())
    broken[60:90] = bytes(30)
    (tmp_path / "broken.zip").write_bytes(broken)
    with pytest.raises(D.DataError, match=r"broken\.zip.*damaged"):
        D.load("ml-1m", tmp_path / "broken.zip")
    with zipfile.ZipFile(tmp_path / "part.zip", "w") as archive:
        archive.writestr("ml-1m/ratings.dat", "x")
    with pytest.raises(D.DataError, match=r"part\.zip.*movies\.dat"):
        D.load("ml-1m", tmp_path / "part.zip")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "ratings.dat").write_text("\n".join(RATINGS))
    with pytest.raises(D.DataError, match=r"half.*movies\.dat"):
        D.load("ml-1m", tmp_path / "half")


@pytest.mark.parametrize("error", [ConnectionError("no route"), ValueError("hash differs")])
def test_offline_says_what_to_do(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        assert kwargs["known_hash"] == "md5:c4d9eecfca2ab87c1945afe126590906"
        raise error

    monkeypatch.setattr(movielens.pooch, "retrieve", refuse)
    with pytest.raises(D.DataError, match=r"files\.grouplens\.org.*by hand.*root="):
        D.load("ml-1m")


# ---------------------------------------------------------------- MovieLens-1M, the published numbers


@pytest.fixture(scope="module")
def ml1m() -> D.Interactions:
    return D.load("ml-1m", ML1M)


PUBLISHED = {
    "rows": [33891, 10401, 7331],
    "users": [740, 356, 320],
    "items": [3087, 2506, 2203],
    "share of label 1": [0.536750, 0.528315, 0.545355],
    "warm share": [1.0, 6609 / 10401, 4153 / 7331],
    "mean history length": [37.68, 57.76, 74.82],  # the published lists are one longer: a leading 0
    "users with both labels": [640, 282, 224],
    "rows with empty history": [1275, 103, 62],
}


@needs_ml1m
def test_ml1m_published_counts(ml1m: D.Interactions) -> None:
    assert (ml1m.n_users, ml1m.n_items) == (838, 3255)
    table = D.statistics(ml1m)
    for column, expected in PUBLISHED.items():
        assert table[column].tolist() == pytest.approx(expected, abs=0.005 if "mean" in column else 1e-6), column
    lengths = {part: ml1m.split(part)["history"].map(len) for part in D.SPLITS}
    assert [int(lengths[part].median()) for part in D.SPLITS] == [22, 38, 42]
    assert [int(lengths[part].max()) for part in D.SPLITS] == [338, 345, 445]
    position = np.sort(np.concatenate([ml1m.split(part).index for part in D.SPLITS]))
    assert np.array_equal(position, np.arange(51623))


@needs_ml1m
def test_ml1m_row_order_by_the_published_sample(ml1m: D.Interactions) -> None:
    """The benchmark's half of valid is drawn by position, so its counts depend on the order of every row."""
    rows = ml1m.valid.sample(frac=0.5, random_state=2023)
    assert [len(rows), rows["user_id"].nunique(), rows["item_id"].nunique()] == [5200, 331, 1985]
    assert [int(rows["is_warm"].sum()), int((rows["history"].map(len) == 0).sum())] == [3300, 50]
    assert rows["label"].mean() == pytest.approx(0.530577, abs=1e-6)


@needs_ml1m
def test_ml1m_months_and_times(ml1m: D.Interactions) -> None:
    slots = [4981, 4765, 4454, 3077, 2192, 2760, 3496, 3216, 2496, 2454, 2840, 1902, 1643, 1905, 2111]
    slots += [1293, 1014, 1908, 1264, 1852]
    times = {part: pd.to_datetime(ml1m.split(part)["timestamp"], unit="s") for part in D.SPLITS}
    months = pd.concat(times.values()).dt.strftime("%Y-%m").value_counts().sort_index()
    assert months.tolist() == slots and (months.index[0], months.index[-1]) == ("2001-06", "2003-01")
    ends = {part: (str(column.min()), str(column.max())) for part, column in times.items()}
    assert ends == {
        "train": ("2001-06-01 00:41:48", "2002-03-31 22:55:47"),
        "valid": ("2002-04-01 00:29:57", "2002-08-31 23:43:05"),
        "test": ("2002-09-01 00:14:13", "2003-01-31 17:23:06"),
    }


@needs_ml1m
def test_ml1m_groups_and_leak_report(ml1m: D.Interactions) -> None:
    def group(rows: pd.DataFrame) -> list[int]:
        both = int((rows.groupby("user_id")["label"].nunique() == 2).sum())
        return [len(rows), rows["user_id"].nunique(), both]

    assert group(D.warm(ml1m.test)) == [4153, 264, 176] and group(D.cold(ml1m.test)) == [3178, 97, 51]
    assert group(D.warm(ml1m.valid)) == [6609, 292, 223] and group(D.cold(ml1m.valid)) == [3792, 115, 74]
    found = counts(ml1m)
    assert [found[f"same-second events in the history ({part} rows)"] for part in D.SPLITS] == [
        7427,
        2061,
        1362,
    ]
    assert [found[f"users unseen in train ({part})"] for part in ("valid", "test")] == [63, 55]
    assert [found[f"items unseen in train ({part})"] for part in ("valid", "test")] == [112, 85]
    assert [found[f"cold rows, seen in train ({part})"] for part in ("valid", "test")] == [3792, 3178]
    assert not D.leak_report(ml1m)["verdict"].str.startswith(("leak", "fault")).any()


# ---------------------------------------------------------------- published pickles


def collm_frames(data: D.Interactions) -> dict[str, pd.DataFrame]:
    """The tables in the publisher's own form."""
    titles = data.titles
    frames = {}
    for flag, part in enumerate(D.SPLITS, start=-1):
        rows = data.split(part)
        frames[part] = pd.DataFrame(
            {
                "uid": rows["user_id"],
                "iid": rows["item_id"],
                "label": rows["label"],
                "timestamp": rows["timestamp"],
                "his": [[0, *history] for history in rows["history"]],
                "his_title": [[titles[i] for i in (0, *history)] for history in rows["history"]],
                "title": [titles[i] for i in rows["item_id"]],
                "flag": float(flag),
                "not_cold": rows["is_warm"].astype(int),
            }
        )
    return frames


def write_collm(folder: Path, frames: dict[str, pd.DataFrame], protocol: int = 4) -> Path:
    for part, table in frames.items():
        with (folder / f"{part}_ood2.pkl").open("wb") as file:
            pickle.dump(table, file, protocol=protocol)
    return folder


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("storage", ["text", "object", "python", "arrays"])
def test_collm_round_trip(protocol: int, storage: str, tmp_path: Path) -> None:
    data = D.from_frames(*small())
    frames = collm_frames(data)
    kinds = {"object": object, "python": pd.StringDtype("python")}
    for part, table in frames.items():
        if storage in kinds:
            frames[part] = table.astype({"title": kinds[storage]})
            frames[part].columns = pd.Index(table.columns, dtype=kinds[storage])
        elif storage == "arrays":
            frames[part] = table.assign(his=[np.array(his) for his in table["his"]])
    back = D.load_collm(write_collm(tmp_path, frames, protocol), name=data.name)
    for part in D.SPLITS:
        pd.testing.assert_frame_equal(back.split(part), data.split(part))
    assert back.titles == data.titles and back.items["external_id"].tolist() == [1, 2, 3, 4]


def test_pickles_of_older_pandas_and_numpy(tmp_path: Path) -> None:
    """Protocol 2 spells names as text, so a current pickle can be given the names of old versions."""
    data = D.from_frames(*small())
    renamed = {
        b"cnumpy._core.": b"cnumpy.core.",
        b"cpandas\nDataFrame": b"cpandas.core.frame\nDataFrame",
        b"cpandas\nIndex": b"cpandas.core.indexes.numeric\nInt64Index",
        b"cpandas._libs.internals\n_unpickle_block": b"cpandas.core.internals.blocks\nnew_block",
    }
    for part, table in collm_frames(data).items():
        table = table.astype({"title": object})
        table.columns = pd.Index(table.columns, dtype=object)
        raw = pickle.dumps(table, protocol=2)
        for new, old in renamed.items():
            assert new in raw or old in raw or b"new_block" in old
            raw = raw.replace(new, old)
        (tmp_path / f"{part}_ood2.pkl").write_bytes(raw)
    back = D.load_collm(tmp_path)
    for part in D.SPLITS:
        pd.testing.assert_frame_equal(back.split(part), data.split(part))


def test_partial_binds_only_what_pandas_1_3_bound(tmp_path: Path) -> None:
    block = Call(functools.partial(plain_pickle._unpickle_block, ndim=2), np.array([[1, 2]]), slice(0, 1, 1))
    raw = pickle.dumps(block)
    assert plain_pickle._PlainUnpickler(io.BytesIO(raw), tmp_path).load().values.tolist() == [[1, 2]]
    ours = plain_pickle._unpickle_block
    others = (functools.partial(slice), functools.partial(slice, ndim=2), functools.partial(ours, 1, ndim=2))
    for other in others:
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(Call(other, 2)))
        with pytest.raises(D.DataError, match=r"functools\.partial"):
            read_table(tmp_path / "x.pkl")


@needs_ml1m
def test_collm_round_trip_of_ml1m(ml1m: D.Interactions, tmp_path: Path) -> None:
    back = D.load_collm(write_collm(tmp_path, collm_frames(ml1m)))
    for part in D.SPLITS:
        pd.testing.assert_frame_equal(back.split(part), ml1m.split(part))
    assert back.titles == ml1m.titles and (back.n_users, back.n_items) == (838, 3255)


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function: object, *args: object) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple:
        return self.function, self.args


EVIL = {
    "os.system": Call(os.system, "echo > evil"),
    "eval": Call(builtins.eval, "open('evil', 'w')"),
    "exec": Call(builtins.exec, "open('evil', 'w')"),
    "getattr": Call(getattr, "x", "upper"),
    "import": Call(__import__, "os"),
    "partial": Call(functools.partial, print),
    "pandas.read_pickle": Call(pd.read_pickle, "evil"),
    "pandas.eval": Call(pd.eval, "1"),
    "numpy.load": Call(np.load, "evil"),
    "numpy.save": Call(np.save, "evil", 1),
    "numpy.fromfile": Call(np.genfromtxt, "evil"),
    "a class of ours": D.DataError("x"),
    "in a cell": pd.DataFrame({"uid": [Call(os.system, "echo > evil")]}),
}


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("case", EVIL)
def test_evil_pickles_are_refused(case: str, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "train_ood2.pkl"
    path.write_bytes(pickle.dumps(EVIL[case], protocol=protocol))
    with pytest.raises(D.UnsafePickleError, match=r"train_ood2\.pkl.*plain table.*call for \w+"):
        D.load_collm(tmp_path)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "name",
    [
        "pandas\nDataFrame.to_pickle",
        "pandas\nread_pickle",
        "pandas.core.frame\nread_pickle",
        "numpy\nload",
        "numpy.core.multiarray\nfromfile",
        "pandas.core.frame\nDataFrame.eval",
        "builtins\nslice.__class__",
        "nt\nsystem",
        "posix\nsystem",
        "pyarrow.lib\nOSFile",
        "pandas.core.internals.managers\nnp",
    ],
)
def test_names_next_to_the_allowed_ones_are_refused(name: str, tmp_path: Path) -> None:
    module, attribute = name.split("\n")
    written = io.BytesIO()
    written.write(b"\x80\x04" + b"".join(b"\x8c" + bytes([len(s)]) + s.encode() for s in (module, attribute)))
    written.write(b"\x93.")  # STACK_GLOBAL, which also follows dots
    for raw in (written.getvalue(), b"c" + name.encode() + b"\n."):
        (tmp_path / "x.pkl").write_bytes(raw)
        with pytest.raises(D.UnsafePickleError, match=module.replace(".", r"\.")):
            read_table(tmp_path / "x.pkl")


def test_other_bad_collm_files(tmp_path: Path) -> None:
    good = collm_frames(D.from_frames(*small()))

    def refused(message: str) -> None:
        with pytest.raises(D.DataError, match=message):
            D.load_collm(tmp_path)

    refused(r"train_ood2\.pkl.*nothing")
    write_collm(tmp_path, good | {"valid": good["valid"].drop(columns="his")})
    refused(r"valid_ood2\.pkl.*'his'")
    write_collm(tmp_path, good | {"test": good["test"].assign(iid=0)})
    refused(r"test_ood2\.pkl, row 2, column 'iid'.*from 1")
    write_collm(tmp_path, good | {"test": good["test"].assign(label=3)})
    refused(r"test_ood2\.pkl, row 2, column 'label'.*0 or 1")
    write_collm(tmp_path, good | {"test": good["test"].assign(his="1,2")})
    refused(r"column 'his'.*list")
    write_collm(tmp_path, good | {"test": good["test"].assign(iid=9)})
    refused(r"title for each item from 1 to 9.*item 4")
    write_collm(tmp_path, good)
    whole = (tmp_path / "train_ood2.pkl").read_bytes()
    for raw in (whole[: len(whole) // 2], b"", b"uid,iid\n1,2\n", pickle.dumps([1, 2])):
        (tmp_path / "train_ood2.pkl").write_bytes(raw)
        refused(r"train_ood2\.pkl: expected a .*DataFrame")


# ---------------------------------------------------------------- the embedded world


def write_world(folder: Path) -> Path:
    text = {
        "interactions": "user_id,item_id,label,timestamp,split\n1,2,1,5,train\n1,1,0,6,valid\n2,1,1,7,test\n",
        "items": "item_id,title,genre\n1,None,noir\n2,NA,farce\n",
        "users": "user_id\n1\n2\n",
    }
    for name, content in text.items():
        (folder / f"{name}.csv").write_text(content, encoding="utf-8")
    save_file({"probability": np.full((3, 3), 0.5, np.float16)}, folder / "truth.safetensors")
    return folder


def test_a_world_in_a_folder(tmp_path: Path) -> None:
    data = D.load("tiny", write_world(tmp_path))
    assert data.titles == ["", "None", "NA"] and data.valid["history"].tolist() == [(2,)]
    assert data.truth.dtype == np.float32 and data.truth.shape == (3, 3)


def test_bad_worlds(tmp_path: Path) -> None:
    def refused(name: str, content: bytes | None, message: str) -> None:
        write_world(tmp_path)
        if content is None:
            (tmp_path / name).unlink()
        else:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(D.DataError, match=message):
            D.load("tiny", tmp_path)

    refused("items.csv", None, r"items\.csv.*nothing")
    refused("truth.safetensors", None, r"truth\.safetensors.*nothing")
    refused("truth.safetensors", b"x", r"truth\.safetensors.*safetensors file")
    refused("items.csv", b"", r"items\.csv.*CSV")
    refused("items.csv", "item_id,title\n1,\xe9\n2,b\n".encode("latin-1"), r"items\.csv.*UTF-8")
    refused("items.csv", b"item_id,title\n2,b\n1,a\n", r"items\.csv.*in order.*\[2, 1\]")
    refused("interactions.csv", b"user_id,item_id,label,timestamp,split\n1,2,,5,train\n", "row 0, column 'label'")


@needs_tiny
def test_the_embedded_world() -> None:
    data = D.load("tiny")
    assert data.name == "tiny" and data.truth.shape == (data.n_users + 1, data.n_items + 1)
    assert all(data.titles[1:]) and data.titles[0] == ""
    assert set(data.items.columns) >= {"external_id", "title", "genre", "mood", "director", "era", "verdict"}
    assert not D.leak_report(data)["verdict"].str.startswith(("leak", "fault")).any()
