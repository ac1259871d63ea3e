"""The tree of indices and the beams through it."""

import numpy as np
import pandas as pd
import pytest

from sellarec_lab import views

WORDS = ["", "<a_2><b_0>", "<a_10><b_1>", "<a_2><b_0>", "<a_2><b_3>", ""]
TITLES = ["", "One", "Two", "Three <b>", "Four", "Five"]


def test_the_tree_nests_codes_in_their_order_and_counts_items():
    page = views.index_tree(WORDS, TITLES)._repr_html_()
    assert page.index("&lt;a_2&gt;") < page.index("&lt;a_10&gt;") and " open" not in page
    assert "&lt;a_2&gt;</code> <span style='color:#666'>3" in page
    assert "Three &lt;b&gt;" in page and "Five" not in page  # no index, no place
    assert page.count("<details") == 5


def test_a_found_title_is_marked_and_its_branch_open():
    page = views.index_tree(WORDS, TITLES, find="fOu")._repr_html_()
    assert "<mark>Four</mark>" in page and page.count(" open") == 2 and "One" not in page
    assert "no title holds this" in views.index_tree(WORDS, TITLES, find="xyz")._repr_html_()


def test_trees_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="6 indices and 5 titles"):
        views.index_tree(WORDS, TITLES[:5])
    with pytest.raises(ValueError, match="2001 items are too many"):
        views.index_tree(["<a_1>"] * 2001, ["t"] * 2001)


def test_beams_tell_their_probabilities_and_what_died():
    first = pd.DataFrame({"beam": [0, 1], "parent": [0, 0], "token": ["<a_1>", "<a_2>"], "score": np.log([0.6, 0.3])})
    last = pd.DataFrame({"beam": [0, 1], "parent": [0, 0], "token": ["<b_1>", "<b_2>"], "score": np.log([0.4, 0.1])})
    page = views.beam_tree([first, last], ["X", "Y <i>"], "What & why?")._repr_html_()
    assert "&lt;a_1&gt; <tspan fill='#666666'>60 %" in page and "Y &lt;i&gt;" in page and "What &amp; why?" in page
    assert page.count("<line") == 4 and page.count("<circle") == 5 and "<script" not in page
    assert page.count(f"fill='{views.style.GREY}'/>") == 2  # the root, and the one beam from which nothing grew
    assert [views.indices.share(p) for p in (0.123, 0.00123, 0.0000123, 1.0)] == [
        "12.3 %",
        "0.123 %",
        "0.00123 %",
        "100 %",
    ]
    wide = views.beam_tree([first], depth=3)
    assert "viewBox='0 -12.0 930 " in wide and "viewBox='0 -12.0 510 " in views.beam_tree([first])
    with pytest.raises(ValueError, match="steps is empty"):
        views.beam_tree([])
    with pytest.raises(ValueError, match="lacks the columns"):
        views.beam_tree([first.drop(columns="score")])
