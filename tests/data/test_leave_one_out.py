"""Ratings into sequences for next-item prediction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from by_hand import counts, frame, needs_ml1m

from sellarec_lab import data as D
from sellarec_lab.data import tiny

needs_tiny = pytest.mark.skipif(
    not (tiny.default_folder() / "interactions.csv").is_file(), reason="the embedded world is not built"
)


def ratings(**users: str) -> D.Interactions:
    """A user's items in the order of time; a capital letter is a dislike."""
    rows = [(user, item.lower(), int(item.islower())) for user, items in users.items() for item in items]
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "label"])
    split = ["train"] * (len(rows) - 2) + ["valid", "test"]
    items = pd.DataFrame({"item_id": list("abcde"), "title": list("abcde")})
    return D.from_frames(table.assign(timestamp=range(len(rows)), split=split), items, name="toy")


def test_by_hand() -> None:
    # w has two likes. Train rows of u, v, x: a b, c, b. So d is cold; without it u is a | b | c, and all is well.
    before = ratings(u="abEcd", v="cba", w="ab", x="bac")
    data = D.leave_one_out(before)
    pairs = {part: data.split(part)[["user_id", "item_id"]].to_numpy().tolist() for part in D.SPLITS}
    assert pairs == {
        "train": [[1, 1], [2, 3], [4, 2]],
        "valid": [[1, 2], [2, 2], [4, 1]],
        "test": [[1, 3], [2, 1], [4, 3]],
    }
    assert data.test["history"].tolist() == [(1, 2), (3, 2), (2, 1)]
    assert data.test["timestamp"].tolist() == [3, 7, 12] and data.test["is_warm"].all()
    assert data.name == "toy-next" and data.items is before.items and data.users is before.users


def test_every_step_is_written_down() -> None:
    steps = D.leave_one_out(ratings(u="abEcd", v="cba", w="ab", x="bac")).steps
    assert steps.drop(columns="note").to_numpy().tolist() == [
        ["all ratings", 4, 5, 13],
        ["likes only", 4, 4, 12],
        ["first like of each (user, item)", 4, 4, 12],
        ["users with 3 likes or more", 3, 4, 10],
        ["likes of items with a train row", 3, 3, 9],
        ["users with 3 likes or more", 3, 3, 9],
    ]
    before = ratings(u="abc", v="bca", w="cab")
    assert before.steps.empty and before.steps.columns.tolist() == steps.columns.tolist()
    once = D.leave_one_out(before)
    assert len(D.leave_one_out(once).steps) == 2 * len(once.steps)  # steps are added to those before
    assert replace(once, steps=before.steps).fingerprint == once.fingerprint


def test_nobody_left_is_an_error() -> None:
    with pytest.raises(D.DataError, match=r"toy: expected a user with 3 items, found none"):
        D.leave_one_out(ratings(u="aBCDe", v="AB"))
    with pytest.raises(D.DataError, match="a user with 3 items"):
        D.leave_one_out(ratings(u="abcd", v="cba"))  # d is cold, then b, and then two likes are left


def test_of_a_repeated_pair_the_first_like_counts() -> None:
    rows = [
        (1, 1, 0, 1),
        (1, 1, 1, 2),
        (1, 2, 1, 3),
        (1, 1, 1, 4),
        (1, 3, 1, 5),
        (2, 2, 1, 1),
        (2, 3, 1, 2),
        (2, 1, 1, 3),
    ]
    rows += [(3, 3, 1, 1), (3, 2, 1, 2), (3, 1, 1, 3)]
    table = frame([(*row, (), True) for row in rows])
    entities = ratings(u="abc", v="bca", w="cab")
    repeated = replace(entities, train=table.iloc[:4], valid=table.iloc[4:8], test=table.iloc[8:])
    data = D.leave_one_out(repeated)
    assert data.test[["user_id", "item_id", "timestamp"]].to_numpy().tolist() == [[1, 3, 5], [2, 1, 3], [3, 1, 3]]
    assert data.test["history"].tolist() == [(1, 2), (2, 3), (3, 2)] and data.train["timestamp"].tolist() == [2, 1, 1]
    assert counts(data)["rows with the target inside its own history"] == 0


def check(data: D.Interactions, before: D.Interactions) -> None:
    """What must hold of any data set."""
    rows = pd.concat([data.split(part).assign(split=part) for part in D.SPLITS]).sort_index()
    likes = pd.concat([before.split(part) for part in D.SPLITS]).query("label == 1")
    assert set(map(tuple, rows[["user_id", "item_id", "timestamp"]].to_numpy())) <= set(
        map(tuple, likes[["user_id", "item_id", "timestamp"]].to_numpy())
    )
    known = set(data.train["item_id"])
    for _, user in rows.groupby("user_id"):
        assert user["split"].tolist() == ["train"] * (len(user) - 2) + ["valid", "test"]
        assert user["timestamp"].is_monotonic_increasing and set(user["item_id"]) <= known
        assert user["history"].tolist() == [tuple(user["item_id"].iloc[:n]) for n in range(len(user))]
    assert (data.n_users, data.n_items) == (before.n_users, before.n_items) and data.items.equals(before.items)
    assert not D.leak_report(data)["verdict"].str.startswith(("leak", "fault")).any()
    assert (D.statistics(data)["share of label 1"] == 1).all()


def test_what_must_hold_on_random_data() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.integers(0, 30, (400, 2)), columns=["user_id", "item_id"]).drop_duplicates()
    table = table.assign(label=rng.integers(0, 2, len(table)), timestamp=rng.integers(0, 99, len(table)))
    before = D.from_frames(table, pd.DataFrame({"item_id": range(30), "title": "film"}))
    check(D.leave_one_out(before), before)


@needs_tiny
def test_the_embedded_world() -> None:
    world = D.load("tiny")
    data = D.leave_one_out(world)
    check(data, world)
    assert data.truth is world.truth and len(data.test) > 0.95 * world.n_users
    notes = D.leak_report(data).set_index("check")["verdict"]
    assert notes["train rows at or after the first test row"] == "note: not split by time"


@needs_ml1m
def test_movielens(ml1m: D.Interactions) -> None:
    data = D.leave_one_out(ml1m)
    check(data, ml1m)
    assert data.steps["interactions"].iloc[1] == 27684 and len(data.steps) > 6  # more than one round
