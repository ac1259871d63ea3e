"""What needs no learning, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sellarec_lab import kg
from sellarec_lab.kg.lookup import translated


def linked(shared: bool = True) -> kg.Graphs:
    """here: a-r-b; there tells A-r-C, A-r-B; far tells X-r-Z; A, B, C are a, b, c, and X, Z are a, c."""
    here = kg.from_triples("here", [("a", "r", "b"), ("c", "r", "b")], test=[("a", "r", "c")])
    there = kg.from_triples("there", [("A", "r", "C"), ("A", "r", "B"), ("A", "r", "D")])
    far = kg.from_triples("far", [("X", "r", "Z")])
    links = {("here", "there"): np.array([[0, 0], [1, 1], [2, 2]]), ("far", "here"): np.array([[0, 0], [1, 2]])}
    return kg.Graphs({"here": here, "there": there, "far": far}, links, shared_relations=shared)


def test_triples_of_other_graphs_are_translated_where_both_ends_are_linked() -> None:
    assert sorted(translated(linked()).tolist()) == [[0, 0, 1], [0, 0, 2], [0, 0, 2]]
    assert not len(translated(linked(shared=False)))  # nobody says that r means r


def test_votes_count_graphs_and_frequency_breaks_ties() -> None:
    model = kg.Lookup(linked())
    scores = model.score_entities(torch.tensor([0]), torch.tensor([0]))[0]
    assert scores.tolist() == pytest.approx(
        [0.0, 1 + 2 / 3, 2.0]
    )  # b: one vote, and behind r twice in train; c: two votes
    ranks = model.rank(kg.queries(model.graph))
    assert ranks.loc[ranks["side"] == "tail", "rank"].tolist() == [1.0]


def test_frequency_looks_at_the_relation_alone() -> None:
    model = kg.Frequency(linked())
    there_and_back = model.score_entities(torch.tensor([2, 1]), torch.tensor([0, 1]))
    assert there_and_back.tolist() == [[0.0, 2.0, 0.0], [1.0, 0.0, 1.0]]
