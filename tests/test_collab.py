import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit, logit

from sellarec_lab import collab, config


@pytest.fixture(scope="module")
def fitted(toy):
    loop = config.LoopConfig(learning_rate=0.05, batch_size=64, epochs=40, evaluations=1, patience=40)
    return collab.train_mf(config.CollabConfig(dim=4, loop=loop), toy, seed=0)


def test_mf_solves_a_checkerboard(fitted, toy):
    model, history = fitted
    assert collab.ranking_quality(model.predict(toy.test))["auc"] > 0.95
    assert history.best > 0.95


def test_scores_are_the_formula(fitted, toy):
    model, _ = fitted
    row = toy.test.iloc[0]
    u, i = int(row["user_id"]), int(row["item_id"])
    expected = model.users.weight[u] @ model.items.weight[i] + model.user_bias.weight[u] + model.item_bias.weight[i]
    assert model.predict(toy.test)["score"].iloc[0] == pytest.approx(float((expected + model.bias).detach()), abs=1e-5)


def test_vectors_hold_the_biases_and_zero_for_the_unseen():
    model = collab.MatrixFactorisation(4, 5, 3)
    model.mark_seen(pd.DataFrame({"user_id": [1, 2], "item_id": [5, 5]}))
    torch.nn.init.ones_(model.user_bias.weight)
    vectors = model.vectors()
    assert vectors.users.shape == (5, 4) and vectors.items.shape == (6, 4)
    assert vectors.users[[0, 3, 4]].abs().sum() == 0 and vectors.items[:5].abs().sum() == 0
    assert vectors.users[1, -1] == 1


def test_an_unseen_user_falls_back_on_the_items_bias():
    model = collab.MatrixFactorisation(2, 2, 3)
    model.mark_seen(pd.DataFrame({"user_id": [1], "item_id": [1]}))
    with torch.no_grad():
        model.item_bias.weight[1] = 0.7
        model.bias[:] = 0.2
    scores = model.predict(pd.DataFrame({"user_id": [2, 2], "item_id": [1, 2]}))["score"]
    assert scores.tolist() == pytest.approx([0.9, 0.2])


def test_without_biases_they_stay_zero(toy):
    settings = config.CollabConfig(dim=4, biases=False, loop=config.LoopConfig(epochs=2, batch_size=64))
    model, _ = collab.train_mf(settings, toy)
    assert float(model.user_bias.weight.abs().sum() + model.item_bias.weight.abs().sum() + model.bias.abs()) == 0


def test_the_same_seed_gives_the_same_model(toy):
    settings = config.CollabConfig(dim=4, loop=config.LoopConfig(epochs=2, batch_size=64))
    a, b = (collab.train_mf(settings, toy, seed=3)[0] for _ in range(2))
    assert torch.equal(a.users.weight, b.users.weight)


def test_mean_scores_by_hand():
    train = pd.DataFrame({"user_id": [1, 1, 2], "item_id": [1, 2, 1], "label": [1, 0, 1]})
    frame = pd.DataFrame({"user_id": [1, 3], "item_id": [1, 9], "label": [1, 0]})
    scores = collab.mean_scores(train, frame, strength=1.0)["score"]
    overall = 2 / 3
    item, user = (2 + overall) / 3, (1 + overall) / 3
    assert scores.tolist() == pytest.approx([logit(item) + logit(user), 2 * logit(overall)])
    assert np.all(expit(scores) > 0)
