"""From tables to `Interactions`: answers known by construction, every kind of bad input, the embedded world."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from by_hand import counts, leaky, small
from safetensors.numpy import save_file

from sellarec_lab import collab, config, sella
from sellarec_lab import data as D
from sellarec_lab.data import tiny

needs_tiny = pytest.mark.skipif(
    not (tiny.default_folder() / "interactions.csv").is_file(), reason="the embedded world is not built"
)


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
        {"user_id": pairs // 20, "item_id": pairs % 20, "label": pairs % 2, "timestamp": rng.integers(0, 40, 200)}
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
    code = "import by_hand as t; print(t.D.from_frames(*t.small()).fingerprint)"
    env = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join((".", "tests/data"))}
    root = Path(__file__).parents[2]
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


# ------------------------------------------------------------------------------------- leak report


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


# ------------------------------------------------------------------------------------- bad tables


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
    "timestamp fraction": (lambda i, m: (edit(i, 1, "timestamp", 1.5), m), "row 1, column 'timestamp'.*whole"),
    "user NaN": (lambda i, m: (edit(i, 3, "user_id", None), m), "row 3, column 'user_id'"),
    "user a list": (lambda i, m: (i.assign(user_id=[[1]] * 7), m), "row 0, column 'user_id'"),
    "title NaN": (lambda i, m: (i, edit(m, 1, "title", None)), "items, row 1, column 'title'"),
    "title a number": (lambda i, m: (i, edit(m, 1, "title", 7)), "items, row 1, column 'title'.*7"),
    "title without end": (lambda i, m: (i, edit(m, 1, "title", "x" * 2001)), "items, row 1.*at most 2000 char.*2001"),
    "title with half a letter": (lambda i, m: (i, edit(m, 1, "title", "x\ud800")), "items, row 1.*lone surrogates"),
    "timestamp beyond all": (lambda i, m: (edit(i, 1, "timestamp", 2**70), m), "row 1, column 'timestamp'.*from -2"),
    "timestamps of two units": (
        lambda i, m: (i.assign(timestamp=[1_000_000_000, *[1_000_000_000_000] * 6]), m),
        "row 0, column 'timestamp'.*one unit.*seconds.*milliseconds",
    ),
    "user with a blank": (
        lambda i, m: (edit(i, 0, "user_id", "ann "), m),
        "row 1, column 'user_id'.*told apart.*'ann'",
    ),
    "users of two kinds": (
        lambda i, m: (edit(edit(i, 0, "user_id", 1), 1, "user_id", "1"), m),
        "row 1.*told apart.*'1'.*by kind",
    ),
    "users of two forms": (
        lambda i, m: (edit(edit(i, 0, "user_id", "\u00e9"), 1, "user_id", "e\u0301"), m),
        "row 1.*Unicode form",
    ),
    "user empty": (lambda i, m: (edit(i, 3, "user_id", " "), m), "row 3, column 'user_id'.*an id, found ' '"),
    "user infinite": (lambda i, m: (i.assign(user_id=[1.0, 2.0, np.inf, 3.0, 4.0, 5.0, 6.0]), m), "row 2.*finite id"),
    "times in words": (lambda i, m: (i.assign(timestamp="2020-01-01"), m), "row 0, column 'timestamp'.*to_datetime"),
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
    with pytest.raises(ValueError, match=r"unknown data set 'netflix'.*tiny, tiny-part, ml-1m"):
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


# ------------------------------------------------------------------------------------- the embedded world


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


@pytest.mark.parametrize(
    "options, message",
    [
        ({"threshold": float("nan")}, "threshold: expected a number that a rating can reach, found nan"),
        ({"threshold": "4"}, "threshold: expected a number .*found '4'"),
        ({"split": 3}, r"split: expected a column's name, or three shares as \(0\.8, 0\.1, 0\.1\), found 3"),
        ({"split": ["train", "test"]}, "split: expected a column's name"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message) -> None:
    with pytest.raises(D.DataError, match=message):
        D.from_frames(*small(), **options)


def test_what_is_seldom_meant_is_warned_of() -> None:
    log, items = small()
    with pytest.warns(UserWarning, match="2 rows have a title that shows nothing.*first is row 1"):
        D.from_frames(log, items.assign(title=["Alpha", " ", "\u200b", "Delta"]))
    with pytest.warns(
        UserWarning, match=r"1 rows have a label that their rating denies \(like: 4\); the first is row 2"
    ):
        D.from_frames(log.assign(label=[1, 1, 1, 1, 1, 1, 0]), items)
    with pytest.warns(UserWarning, match="7 rows have times like milliseconds"):
        D.from_frames(log.assign(timestamp=log["timestamp"] + 1.6e12), items)
    with pytest.warns(UserWarning, match="1 rows are of train and not older than the first test row.*row 1"):
        D.from_frames(log.assign(timestamp=[50, 55, 20, 40, 30, 30, 60]), items)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        D.from_frames(*small())


def test_rows_of_one_second_follow_their_datetimes() -> None:
    log, items = small()
    moments = pd.to_datetime(log["timestamp"].astype(float), unit="s")
    ahead = moments.mask(log["user_id"].eq("bob") & log["item_id"].eq("a"), moments + pd.Timedelta("1ms"))
    behind = moments.mask(log["user_id"].eq("bob") & log["item_id"].eq("b"), moments + pd.Timedelta("1ms"))
    for times, last in ((ahead, 1), (behind, 2)):  # films a and b, both of second 30
        made = D.from_frames(log.assign(timestamp=times), items)
        assert made.test.iloc[-1 if made.test.iloc[-1]["user_id"] == 1 else 0]["history"][-1] == last


def test_labels_that_are_all_alike_are_named_before_anything_trains(toy) -> None:
    for part, label in (("valid", 1), ("train", 0)):
        alike = replace(toy, **{part: toy.split(part).assign(label=label)})
        message = f"split {part} of 'toy': expected likes and dislikes, found .* rows with label {label}"
        with pytest.raises(D.DataError, match=message):
            sella.train(config.preset("fast"), alike)
        with pytest.raises(D.DataError, match=message):
            collab.train(config.MFConfig(), alike)


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("genre", ["Drama", None, "Comedy|Crime"], ["Drama", "", "Comedy"]),
        ("genres", [["Drama", "War"], (), ("Crime",)], ["Drama", "", "Crime"]),
        ("categories", ["Office, Pens,Ink", "Office", ["Office", "Paper"]], ["Pens", "", "Paper"]),
        ("year", [1999, 2000, 2001], ["", "", ""]),
    ],
)
def test_the_first_genre_is_found_however_a_table_writes_it(column, values, expected) -> None:
    rows = pd.DataFrame({"user_id": [1, 1, 2], "item_id": [10, 11, 12], "label": [0, 1, 1], "timestamp": [1, 2, 3]})
    items = pd.DataFrame({"item_id": [10, 11, 12], "title": ["A", "B", "C"], column: values})
    found = D.from_frames(rows, items, split=(0.4, 0.3, 0.3))
    assert found.genre.tolist() == expected and found.genre.index.tolist() == [1, 2, 3]


# ---- what stands for an item in a prompt


def _films(**columns):
    rows = pd.DataFrame({"user_id": [1, 1, 1, 2, 2], "item_id": [1, 2, 3, 1, 4], "label": 1, "timestamp": range(5)})
    rows["split"] = ["train", "train", "valid", "train", "test"]
    named = ["Up (2009)", "(500) Days (2009)", "(1941)", "Heat"]
    return D.from_frames(rows, pd.DataFrame({"item_id": [1, 2, 3, 4], "title": named, **columns}))


def test_titles_can_lose_their_year_and_gain_genres():
    films = _films(genres=["Comedy|Drama", "", "War", "Crime"])
    assert D.shown_titles(films) == films.titles
    assert D.shown_titles(films, "undated") == ["", "Up", "(500) Days", "(1941)", "Heat"]
    assert D.shown_titles(films, "genres")[1:] == ["Up (Comedy, Drama)", "(500) Days", "(1941) (War)", "Heat (Crime)"]
    assert D.shown_titles(_films(), "genres") == D.shown_titles(_films(), "undated")
    assert D.shown_titles(_films(genres=[["A", "B"], [], None, "C"]), "genres")[1:3] == ["Up (A, B)", "(500) Days"]


@needs_tiny
def test_controls_tell_nothing_of_an_item_and_nobody_keeps_what_is_his() -> None:
    world = D.load("tiny")
    numbers, shuffled = (D.shown_titles(world, how) for how in ("numbers", "shuffled"))
    assert sorted(numbers[1:]) == sorted(f"item {i}" for i in range(1, world.n_items + 1))
    assert sorted(shuffled) == sorted(world.titles) and numbers[0] == shuffled[0] == ""
    assert not any(a == b for a, b in zip(shuffled[1:], world.titles[1:]))
    told = [int(n.split()[1]) for n in numbers[1:]]
    assert abs(np.corrcoef(told, range(len(told)))[0, 1]) < 0.2  # ids stand in an order that may tell something
    assert D.shown_titles(world, "shuffled") == shuffled
    with pytest.raises(ValueError, match="unknown way 'loud'; known: own, undated, genres, numbers, shuffled"):
        D.shown_titles(world, "loud")


def test_shares_of_liked_genres_are_those_of_train():
    shares = D.liked_genres(_films(genres=["Comedy|Drama|Drama", "", "War", "Crime"]))  # War, Crime: valid, test
    assert shares.to_dict() == {"Comedy": {0: 0.0, 1: 0.5, 2: 1.0}, "Drama": {0: 0.0, 1: 0.5, 2: 1.0}}
    assert D.liked_genres(_films()).empty
    films = _films(genres=["Comedy|Drama", "War", "", ""])
    half = replace(films, train=films.train.assign(label=[0, 1, 1]))
    assert D.liked_genres(half).loc[1].to_dict() == {"Comedy": 0.0, "Drama": 0.0, "War": 1.0}
