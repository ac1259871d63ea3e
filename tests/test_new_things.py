"""What a new thing costs: each test adds one from here, and the package is not touched."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sellarec_lab import collab, compare, config, data, metrics, projector, prompts, sella
from sellarec_lab.config import LoopConfig
from sellarec_lab.prompts import Kind, Slot, Template
from sellarec_lab.training import EmbeddingTable

# ---- a collaborative model: a config, a module, one entry


@dataclass(frozen=True)
class ParityConfig:
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(learning_rate=0.05, epochs=60, patience=99))


class Parity(collab.Pointwise):
    """One number a user and one an item: logit = a_u b_i."""

    def __init__(self, n_users: int, n_items: int):
        super().__init__(n_users, n_items)
        self.users, self.items = (
            EmbeddingTable(torch.randn(n_users + 1, 1)),
            EmbeddingTable(torch.randn(n_items + 1, 1)),
        )

    def forward(self, users, items):
        return (self.users(users) * self.items(items)).squeeze(-1)


@pytest.fixture
def parity(monkeypatch):
    kind = collab.Kind("parity", lambda c, data: Parity(data.n_users, data.n_items))
    monkeypatch.setitem(collab.MODELS, ParityConfig, kind)
    return compare.Method(
        "Parity", "collaborative", "this file", lambda cfg, data: collab.stage(cfg, data, "parity", ParityConfig())
    )


def test_a_collaborative_model(toy_cfg, toy, parity, monkeypatch):
    monkeypatch.setitem(compare.METHODS, "parity", parity)
    monkeypatch.setitem(compare.TITLES, "parity", parity.title)
    scored = compare.run(toy_cfg, toy, ["parity", "means"], rank_users=5)
    assert not scored.failures
    results = compare.table(toy_cfg, toy, scored, samples=20, rank_users=5)
    assert {"auc", "hr@10", "mrr"} <= set(results[results["model"] == "parity"]["metric"])
    assert metrics.auc(toy.train["label"], parity.stage(toy_cfg, toy).value().predict(toy.train)["score"]) > 0.9
    assert len(parity.stage(toy_cfg, toy).value().recommend(3, k=2)) == 2


# ---- a recipe: a value


def test_a_recipe(toy_cfg, toy, tmp_path):
    recipe = sella.Recipe("only users", ("user",), frozen=("semantics",), source="this file")
    model = sella.inject(toy_cfg, toy, recipe)
    assert list(model.explain(3, 5).without) == ["user"]
    model.save_pretrained(tmp_path / "saved")
    assert np.array_equal(sella.load(tmp_path / "saved").predict(toy.test)["score"], model.predict(toy.test)["score"])


# ---- a kind of soft token: how it is shown, what fills it, and a place in a template


def test_a_kind_of_soft_token(toy_cfg, toy, tmp_path, monkeypatch):
    other = sella.train(toy_cfg, toy, "sella")
    other.save_pretrained(tmp_path / "before")
    scores = other.predict(toy.test)["score"]
    last = Kind("<Last_ID>", "#444444", lambda row: tuple(Slot("last", i) for i in row.shown[-1:]))
    monkeypatch.setitem(prompts.KINDS, "last", last)
    monkeypatch.setitem(projector.FILLERS, "last", projector.Filler("items", "head"))
    pieces = ("Favourites: {history}. ", "Last:{last}. ", "Taste:{user}. ", "Offer: {title}", "{item}", "{warm}", "?")
    monkeypatch.setitem(prompts.TEMPLATES, "lately", Template(pieces, describe="Marks of {title}:"))
    cfg = config.replace(toy_cfg, "prompt__template", "lately")
    model = sella.inject(
        cfg, toy, sella.Recipe("last too", ("user", "last", "item", "warm"), aligned=("tables", "head"))
    )
    explained = model.explain(3, 5)
    assert explained.tokens[explained.slots["last"]] == "<Last_ID>" and "last" in explained.without
    model.save_pretrained(tmp_path / "with")
    assert np.array_equal(sella.load(tmp_path / "with").predict(toy.test)["score"], model.predict(toy.test)["score"])
    assert np.array_equal(
        sella.load(tmp_path / "before").predict(toy.test)["score"], scores
    )  # older ones stay readable


# ---- a task with its metric: what is asked, the verb that answers, what is measured


class Guess(nn.Module):
    """Guesses how many items a user has liked: always the mean."""

    def count(self, asked: pd.DataFrame) -> pd.DataFrame:
        ranks = {"query": asked.index, "target": 1, "rank": 1.0 + np.abs(asked["likes"] - 6).to_numpy()}
        return pd.DataFrame(ranks | {"candidates": 12, "ties": "mean"})


def likes(bench: data.Interactions, split: str) -> pd.DataFrame:
    return bench.split(split).groupby("user_id")["label"].sum().to_frame("likes")


def test_a_task_with_its_metric(toy_cfg, toy):
    task = compare.Task("count", "count", likes, ("query", "target", "rank", "candidates", "ties"), ("hits@1", "mrr"))
    guess = compare.Method(
        "Guess", "reference", "this file", compare.put_together("guess", lambda cfg, data: Guess()), ("count",)
    )
    answers = compare.outcome(toy_cfg, toy, guess, task).value()
    values = {metric: metrics.interval(answers, metric, samples=50) for metric in task.metrics}
    expected = (likes(toy, "test")["likes"] == 6).mean()
    assert values["hits@1"].value == pytest.approx(expected) and values["mrr"].low <= values["mrr"].value
    with pytest.raises(ValueError, match="MF with biases has no answer to 'count'; it can do: rating, next-item"):
        compare.outcome(toy_cfg, toy, compare.method("mf"), task)
