"""Graph knowledge inside the recommender: tables by hand, cold rows alone are touched, the recipes run."""

import numpy as np
import pandas as pd
import pytest
import torch

from sellarec_lab import data, kg, sella
from sellarec_lab.collab import Vectors
from sellarec_lab.config import PathConfig
from sellarec_lab.data import DataError
from sellarec_lab.sella.graph import filled, from_graph, known_items


@pytest.fixture(scope="module")
def tiny():
    return data.load("tiny")


def planted(bench) -> tuple[Vectors, torch.Tensor]:
    """Collaborative vectors that follow from graph vectors by a rule, but for items outside train: those are zero."""
    torch.manual_seed(0)
    graph = torch.randn(bench.n_items + 1, 6)
    graph[0] = 0
    items = graph @ torch.randn(6, 4)
    met = torch.zeros(bench.n_items + 1, dtype=torch.bool)
    met[torch.tensor(bench.train["item_id"].unique())] = True
    return Vectors(torch.randn(bench.n_users + 1, 4), items * met[:, None]), graph


def test_cold_items_get_what_the_rule_says_and_all_else_stays(tiny) -> None:
    vectors, graph = planted(tiny)
    met = vectors.items.any(dim=1)
    new = filled(tiny, vectors, graph)
    assert torch.equal(new.items[met], vectors.items[met]) and torch.equal(new.users, vectors.users)
    torch.manual_seed(0)
    torch.randn(tiny.n_items + 1, 6)
    rule = torch.randn(6, 4)
    cold = ~met & graph.any(dim=1)
    assert cold.sum() > 20
    torch.testing.assert_close(new.items[cold], (graph @ rule)[cold], atol=0.05, rtol=0.05)


def test_items_that_the_graph_does_not_hold_stay_as_they_are(tiny) -> None:
    vectors, graph = planted(tiny)
    cold = (~vectors.items.any(dim=1)).nonzero()[1:, 0]
    graph[cold[0]] = 0
    assert not filled(tiny, vectors, graph).items[cold[0]].any()
    with pytest.raises(DataError, match="ten items that are in train and in the graph"):
        filled(tiny, vectors, torch.zeros_like(graph))


def test_users_are_the_mean_over_their_likes(tiny) -> None:
    graph = torch.randn(tiny.n_items + 1, 3)
    tables = from_graph(tiny, graph)
    user = int(tiny.train["user_id"].iloc[0])
    liked = tiny.train[(tiny.train["user_id"] == user) & (tiny.train["label"] == 1)]["item_id"]
    torch.testing.assert_close(tables.users[user, :3], graph[torch.tensor(liked.to_numpy())].mean(0))
    assert not tables.users[:, 3].any() and torch.equal(tables.items[:, :3], graph)


def test_a_graph_of_other_items_is_refused(tiny) -> None:
    graph = kg.from_triples("books", [("b", "by", "c")], items={"isbn": "b"})

    net = kg.PathModel(2, 1, PathConfig(dim=8))
    model = kg.GraphModel(net, graph, np.arange(2), np.arange(1))
    with pytest.raises(DataError, match="items of tiny"):
        known_items(model, tiny)


@pytest.mark.parametrize(
    "wrong", [{"graph": "moon"}, {"graph": "tokens", "aligned": ("tables",)}, {"graph": "cold", "slots": ("warm",)}]
)
def test_recipes_that_can_not_be_are_refused(wrong) -> None:
    with pytest.raises(ValueError, match="graph"):
        sella.Recipe("wrong", **({"slots": ("user", "item")} | wrong))


def test_recipes_without_a_graph_keep_their_keys() -> None:
    assert "graph" not in sella.recipe("sella").machine() and sella.recipe("sella-graph").machine()["graph"] == "tokens"


def test_the_embedded_graphs_are_of_the_embedded_films(tiny) -> None:
    items = kg.load("tiny")["catalogue"].items
    assert pd.Index(tiny.items["external_id"].astype(str)).isin(items.index).all()
