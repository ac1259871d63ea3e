"""Which rows of valid judge: whole users, drawn once a seed."""

from __future__ import annotations

import pandas as pd
import pytest

from sellarec_lab.data import judging_rows


def _rows_of(users: dict[int, list[int]]) -> pd.DataFrame:
    """user -> labels of their rows."""
    return pd.DataFrame([{"user_id": u, "label": label} for u, labels in users.items() for label in labels])


@pytest.mark.parametrize("rows", [1, 3, 10, 39])
def test_a_state_is_judged_by_whole_users_of_valid(rows):
    valid = _rows_of({user: [0, 1, 1][: 2 + user % 2] for user in range(1, 17)})
    drawn = judging_rows(valid, rows, seed=0)
    assert drawn.equals(valid[valid["user_id"].isin(drawn["user_id"])]) and rows <= len(drawn) < rows + 3
    assert drawn.equals(judging_rows(valid, rows, seed=0))
    assert rows == 39 or not drawn.equals(judging_rows(valid, rows, seed=1))


def test_no_user_more_is_drawn_than_it_takes():
    valid = _rows_of({user: [0, 1] for user in range(1, 9)})
    assert [len(judging_rows(valid, rows, seed=0)) for rows in (3, 4, 5, 16, 99)] == [4, 4, 6, 16, 16]


def test_judging_rows_that_judge_nothing_are_refused():
    valid = _rows_of({1: [1, 1], 2: [0, 0], 3: [1]})
    assert judging_rows(valid, None, seed=0) is valid
    with pytest.raises(ValueError, match="valid_rows=9: none of the 3 users drawn likes one item and dislikes another"):
        judging_rows(valid, 9, seed=0)
