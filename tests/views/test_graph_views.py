"""What stands around an entity."""

import pandas as pd
import pytest

from sellarec_lab import views

FACTS = pd.DataFrame(
    [("f", "by", "d", "shop"), ("f", "by", "d", "archive"), ("g", "by", "d", "shop"), ("f", "in", "<b>", "archive")],
    columns=["head", "relation", "tail", "graph"],
)


def test_facts_are_read_both_ways_and_names_are_text():
    page = views.neighbourhood(FACTS, "d")._repr_html_()
    assert "3 facts, 3 drawn" in page and page.count("← by") == 3 * 2  # in the drawing and in the list
    page = views.neighbourhood(FACTS, "f")._repr_html_()
    assert "&lt;b&gt;" in page and "<b>" not in page.replace("<b style", "") and "in →" in page


def test_a_neighbour_opens_to_what_is_known_of_it():
    page = views.neighbourhood(FACTS, "g")._repr_html_()
    opened = page[page.index("<details") :]
    assert opened.count("<details") == 1 and opened.count("← by") == 3


def test_only_some_are_drawn_but_all_are_listed():
    many = pd.DataFrame([("hub", "r", f"n{i}", "x") for i in range(40)], columns=FACTS.columns)
    page = views.neighbourhood(many, "hub")._repr_html_()
    assert "40 facts, 16 drawn" in page and page.count("<circle") == 17 and page.count("<details") == 40


def test_what_is_not_there_is_refused():
    with pytest.raises(ValueError, match="no fact speaks of 'q'"):
        views.neighbourhood(FACTS, "q")
    with pytest.raises(ValueError, match="graph"):
        views.neighbourhood(FACTS.drop(columns="graph"), "f")
