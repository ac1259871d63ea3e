"""Verbs with the ids of one's own tables say what the same verbs say with the data's numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sellarec_lab import collab, data


def _own(toy: data.Interactions, frame: pd.DataFrame) -> pd.DataFrame:
    """The frame as its owner would write it."""
    item = toy.items["external_id"].to_dict()
    return frame.assign(
        user_id=frame["user_id"].map(toy.users["external_id"]),
        item_id=frame["item_id"].map(item),
        history=[tuple(item[i] for i in history) for history in frame["history"]],
    )


@pytest.fixture(params=["means", "sella"])
def model(request: pytest.FixtureRequest, toy: data.Interactions, untrained) -> object:
    return collab.Counts(collab.mean_scores, toy) if request.param == "means" else untrained("sella")


def test_own_ids_in_and_out(model: object, toy: data.Interactions) -> None:
    own, theirs = data.OwnIds(model, toy), toy.users["external_id"]
    found, plain = own.recommend("u7", k=5), model.recommend(int(theirs[theirs == "u7"].index[0]), k=5)
    assert found["item_id"].tolist() == toy.items["external_id"].loc[plain["item_id"]].tolist()
    assert found["title"].tolist() == plain["title"].tolist() and found["score"].tolist() == plain["score"].tolist()
    rows = toy.test.iloc[::-1]
    scored = own.predict(_own(toy, rows))
    assert scored["score"].tolist() == model.predict(rows)["score"].tolist()
    assert scored["item_id"].tolist() == _own(toy, rows)["item_id"].tolist() and scored.index.equals(rows.index)
    one = rows.iloc[0]
    scores = own.score_items(theirs[one["user_id"]], ["i3", "i4"], ["i5"])
    numbers = [int(toy.items.index[toy.items["external_id"] == name][0]) for name in ("i3", "i4", "i5")]
    assert np.array_equal(scores, model.score_items(int(one["user_id"]), numbers[:2], numbers[2:]))


def test_explain_with_own_ids(toy: data.Interactions, untrained) -> None:
    model = untrained("sella")
    asked = int(toy.users.index[toy.users["external_id"] == "u3"][0])
    item, old = (int(toy.items.index[toy.items["external_id"] == name][0]) for name in ("i5", "i2"))
    ours = data.OwnIds(model, toy).explain("u3", "i5", ["i2"])
    assert ours.prompt == model.explain(asked, item, [old]).prompt


def test_ranks_with_own_ids(toy: data.Interactions) -> None:
    model = collab.Counts(collab.item_mean_scores, toy)
    queries = pd.DataFrame({"history": [()], "seen": [("i1",)], "targets": [("i4", "i6")]}, index=["u2"])
    ranks = data.OwnIds(model, toy).rank(queries)
    assert ranks["query"].tolist() == ["u2", "u2"] and set(ranks["target"]) == {"i4", "i6"}
    assert ranks["candidates"].tolist() == [15, 15]


def test_whole_numbers_and_moments_as_ids() -> None:
    """Ids that look like the data's numbers, and ids of a strange kind."""
    table = pd.DataFrame({"user_id": [30, 20, 30, 20], "timestamp": range(4), "label": [1, 0, 1, 1]})
    table["item_id"] = pd.to_datetime(["2001-01-01", "2001-01-02", "2001-01-03", "2001-01-03"])
    items = table[["item_id"]].drop_duplicates().assign(title=["a", "b", "c"])
    made = data.from_frames(table.assign(split=["train", "train", "valid", "test"]), items)
    own = data.OwnIds(collab.Counts(collab.popularity_scores, made), made)
    assert own.recommend(20, k=5)["item_id"].tolist() == [pd.Timestamp("2001-01-01")]
    with pytest.raises(data.UnknownIdError, match="user 1 is not in the data; did you mean"):
        own.recommend(1)


def test_unknown_ids_are_answered_with_the_nearest(model: object, toy: data.Interactions) -> None:
    own = data.OwnIds(model, toy)
    with pytest.raises(data.UnknownIdError, match="user 'u 7' is not in the data; did you mean 'u7'"):
        own.recommend("u 7")
    with pytest.raises(data.UnknownIdError, match=r"item 'film i3' is not in the data; did you mean 'i"):
        own.score_items("u7", ["film i3"])
    with pytest.raises(data.UnknownIdError, match="is not in the data"):
        own.recommend(["u7"])
    rows = _own(toy, toy.test)
    with pytest.raises(data.DataError, match=rf"row {rows.index[1]}, column item_id: expected the id of a known item"):
        own.predict(rows.assign(item_id=["i1", "x", *rows["item_id"][2:]]))
    with pytest.raises(data.DataError, match="column history: expected a tuple"):
        own.predict(rows.assign(history="i1"))
    with pytest.raises(data.DataError, match="a column 'user_id'"):
        own.predict(rows.drop(columns="user_id"))
