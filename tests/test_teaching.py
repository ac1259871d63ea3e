"""check(yours, ours): what passes, what differs, and what is merely not done yet."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch

from sellarec_lab.teaching import check

TABLE = pd.DataFrame({"item_id": [1, 2], "score": [0.5, -1.0], "title": ["a", "b"]})


class Pair(NamedTuple):
    ids: list
    loss: float


@pytest.mark.parametrize(
    "value",
    [
        3,
        0.5,
        True,
        math.nan,
        np.float32(2),
        np.arange(6).reshape(2, 3),
        np.array(["Yes", "No"]),
        np.array([1.0, np.nan]),
        torch.ones(2, requires_grad=True),
        torch.ones(2, dtype=torch.bfloat16),
        "Did the fan like it?",
        TABLE,
        TABLE["score"],
        [1, "a", {"b": 2.0}],
        {1, 2},
        Pair([1, 2], 0.1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_everything_equals_itself(value):
    assert check(value, value)


@pytest.mark.parametrize(
    ("yours", "ours"),
    [
        (0.1 + 0.2, 0.3),
        (torch.tensor([1.0, 2.0]), np.array([1.0, 2.0 + 1e-6])),
        ([1, 2], np.array([1.0, 2.0])),
        (torch.tensor(0.25), 0.25),
        (np.float32(1e6 + 1), 1e6),
    ],
)
def test_close_is_close_enough(yours, ours):
    assert check(yours, ours)


@pytest.mark.parametrize("yours", [..., None, [None, None], (..., [None])], ids=repr)
def test_open_exercise_is_falsy_and_raises_nothing(yours):
    result = check(yours, np.ones(3), name="softmax", hint="divide by the sum")
    assert not result
    assert result.status == "not attempted yet"
    assert "softmax" in repr(result) and "divide by the sum" in result._repr_html_()


@pytest.mark.parametrize(
    ("yours", "ours", "says"),
    [
        (0.4, 0.3, "yours is 0.4, expected another value"),
        ("0.3", 0.3, "expected a number"),
        (object(), np.ones(2), "expected an array of shape (2,)"),
        (np.ones((2, 3)), np.ones((3, 2)), "the shape is (2, 3), expected (3, 2)"),
        (np.ones(2), np.array([True, True]), "the dtype is float64, expected bool"),
        (np.array([[1.0, 2.0], [3.0, 9.0]]), np.array([[1.0, 2.0], [3.0, 4.0]]), "1 of 4 values differ"),
        (np.array([[1.0, 9.0], [3.0, 9.0]]), np.array([[1.0, 2.0], [3.0, 4.0]]), "[0, 1]: yours 9.0"),
        (np.array([1.0, np.nan]), np.array([1.0, 2.0]), "first at [1]: yours nan"),
        (np.array(["Yes"]), np.array(["No"]), "first at [0]: yours 'Yes'"),
        ("Answer: Yes", "Answer: No", "character 8"),
        ("Answer", "Answer:", "'the end'"),
        (["a"], "a", "expected text"),
        (TABLE[["item_id"]], TABLE, "the columns are ['item_id']"),
        (TABLE.head(1), TABLE, "there are 1 rows, expected 2"),
        (TABLE.set_axis([5, 6]), TABLE, "the index"),
        (TABLE.assign(score=[0.5, 1.0]), TABLE, "column 'score': 1 of 2 values differ"),
        (TABLE["score"], TABLE, "yours is a Series, expected a DataFrame"),
        ({"a": 1}, {"b": 1}, "the keys are ['a']"),
        ({"a": 1}, {"a": 2}, "['a']: yours is 1"),
        ([1, 2], [1, 3], "[1]: yours is 2"),
        ([1], [1, 3], "there are 1 values, expected 2"),
        (7, [1, 3], "expected 2 values"),
        ({1}, {2}, "yours is {1}, expected another set"),
    ],
)
def test_says_what_differs_first(yours, ours, says):
    result = check(yours, ours)
    assert not result
    assert says in result.message


def test_tolerance_is_the_callers_choice():
    assert not check(0.30, 0.31)
    assert check(0.30, 0.31, atol=0.02)


def test_html_is_escaped_and_hint_hidden_once_passed():
    assert "a &lt;b&gt;" in check(1, 2, name="a <b>")._repr_html_()
    assert "secret" not in check(1, 1, hint="secret")._repr_html_()


SECRET = 31337


@pytest.mark.parametrize(
    ("yours", "ours"),
    [
        (1, SECRET),
        ("1", SECRET),
        (np.zeros(2), np.array([0, SECRET])),
        (["a", "b"], ["a", f"x{SECRET}"]),
        ("a text", f"a secret {SECRET}"),
        ("a", f"a{SECRET}"),
        ({1}, {SECRET}),
        ({1: 0}, {SECRET: 0}),
        ({"a": 1}, {"a": SECRET}),
        (TABLE, TABLE.rename(columns={"score": f"{SECRET}"})),
        (TABLE, TABLE.set_axis([0, SECRET])),
        (TABLE, TABLE.assign(score=SECRET)),
        (TABLE["score"], TABLE["score"] + SECRET),
        (Pair([1], 0.5), Pair([1], SECRET)),
        (Pair, SECRET),
    ],
    ids=repr,
)
def test_the_answer_is_never_told(yours, ours):
    result = check(yours, ours, name="guess", hint="think")
    assert result.status == "differs" and result.message
    assert str(SECRET) not in repr(result) + result._repr_html_()
