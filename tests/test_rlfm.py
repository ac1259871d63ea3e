"""Factors with learned priors: equality with scikit-learn, a planted world, users and items that train never met."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from sellarec_lab import collab, config, data, metrics, sella
from sellarec_lab.collab.rlfm import Evidence, Rows, components, posterior

SETTINGS = config.RLFMConfig(dim=1, features=2, rounds=8)


@pytest.fixture(scope="module")
def planted():
    """60 users, 40 items: likes turn on a feature that is given and on a scene that only ratings tell. The last eight
    items come after train, and so do the last six users."""
    rng = np.random.default_rng(0)
    kind, scene = rng.choice([-1, 1], 40), rng.choice([-1, 1], 40)
    taste, drawn = rng.choice([-1, 1], (2, 60)), []
    for user in range(60):
        for when, item in enumerate(rng.permutation(40)):
            late = item >= 32 or user >= 54 or when >= 36
            like = rng.random() < 1 / (1 + np.exp(-3 * (taste[0, user] * kind[item] + taste[1, user] * scene[item])))
            split = "train" if not late else "valid" if when % 2 else "test"
            drawn.append((user, item, int(like), when + 100 * late, split))
    table = pd.DataFrame(drawn, columns=["user_id", "item_id", "label", "timestamp", "split"])
    items = pd.DataFrame({"item_id": range(40), "title": [f"Film number {i}" for i in range(40)]})
    features = np.zeros((41, 2), dtype=np.float32)
    features[1:, 0], features[1:, 1] = kind, rng.normal(size=40)
    return data.from_frames(table, items, name="planted"), torch.from_numpy(features)


@pytest.fixture(scope="module")
def fitted(planted):
    return collab.train_rlfm(SETTINGS, *planted)


def test_the_modes_are_those_of_scikit_learns_logistic_regression():
    rng = np.random.default_rng(1)
    x, label = rng.normal(size=(3, 30, 4)), rng.integers(0, 2, (3, 30))
    held = np.ones((3, 30))
    held[1, 20:] = 0  # padding
    given = Evidence(*(torch.tensor(part, dtype=torch.float32) for part in (x, label, held)))
    found, covariance = posterior(given, torch.zeros(4), 2.0 * torch.eye(4))
    for one in range(3):
        rows = held[one] > 0
        known = LogisticRegression(C=0.5, fit_intercept=False, tol=1e-8).fit(x[one][rows], label[one][rows])
        assert np.allclose(found[one], known.coef_[0], atol=1e-4)
        p = known.predict_proba(x[one][rows])[:, 1]
        curved = (x[one][rows].T * (p * (1 - p))) @ x[one][rows] + 2 * np.eye(4)
        assert np.allclose(covariance[one], np.linalg.inv(curved), atol=1e-4)


def test_without_evidence_the_prior_remains():
    nothing = Evidence(torch.zeros(1, 2, 3), torch.zeros(1, 2), torch.zeros(1, 2))
    mean = torch.tensor([1.0, -2.0, 0.5])
    found, covariance = posterior(nothing, mean, 4.0 * torch.eye(3))
    assert torch.allclose(found[0], mean) and torch.allclose(covariance[0], 0.25 * torch.eye(3))


def test_what_is_known_already_is_not_learned_again():
    x, label = torch.ones(1, 200, 1), (torch.arange(200) < 146).float()[None]
    flat = 1e-6 * torch.eye(1)
    alone = posterior(Evidence(x, label, torch.ones(1, 200)), torch.zeros(1), flat)[0]
    beside = posterior(Evidence(x, label, torch.ones(1, 200), torch.ones(1, 200)), torch.zeros(1), flat)[0]
    assert float(alone - beside) == pytest.approx(1.0, abs=1e-3)


def test_rows_are_padded_with_nothing():
    rows = Rows(torch.tensor([2, 0, 2]), torch.tensor([7, 8, 9]), torch.tensor([1.0, 0.0, 0.0]), 3)
    other, label, held = rows.of(torch.tensor([0, 1, 2]))
    assert held.tolist() == [[1, 0], [0, 0], [1, 1]]
    assert other[held > 0].tolist() == [8, 7, 9] and label[held > 0].tolist() == [0.0, 1.0, 0.0]
    assert sorted(torch.cat(list(rows.parts())).tolist()) == [0, 2]


def test_components_have_variance_one_and_leave_nothing_out():
    given = torch.randn(21, 6) * torch.tensor([9.0, 5.0, 3.0, 1.0, 0.0, 0.0])
    found, share = components(given, 24)
    assert found.shape == (21, 4) and share[0] == 1 and (share.diff() < 0).all() and not found[0].any()
    assert torch.allclose(found[1:].T @ found[1:] / 20, torch.eye(4), atol=1e-4)


def test_it_finds_what_features_tell_and_what_only_ratings_tell(fitted, planted):
    interactions, features = planted
    scored = fitted.predict(interactions.test)
    met_users = scored["user_id"].isin(interactions.train["user_id"])
    met_items = scored["item_id"].isin(interactions.train["item_id"])
    assert metrics.auc(*scored.loc[met_users & met_items, ["label", "score"]].to_numpy().T) > 0.9
    assert metrics.auc(*scored.loc[met_users & ~met_items, ["label", "score"]].to_numpy().T) > 0.7
    blind = collab.train_rlfm(SETTINGS, interactions, torch.zeros_like(features) + torch.randn(41, 2)).predict(scored)
    assert metrics.auc(*blind.loc[met_users & ~met_items, ["label", "score"]].to_numpy().T) < 0.65


def test_a_user_without_rows_is_told_by_the_history(fitted, planted):
    interactions, features = planted
    user = int(set(range(1, 61)).difference(interactions.train["user_id"]).pop())
    kinds = {sign: [i for i in range(1, 41) if features[i, 0] == sign] for sign in (-1, 1)}
    asked = pd.DataFrame({"user_id": user, "item_id": kinds[1][-2:] + kinds[-1][-2:]})
    for sign in (1, -1):
        told = fitted.predict(asked.assign(history=[tuple(kinds[sign][:5])] * 4))["score"].to_numpy()
        assert (told[:2].min() > told[2:].max()) == (sign == 1)
    unknown = fitted.predict(asked.assign(history=[()] * 4))["score"].to_numpy()
    assert np.allclose(unknown, (fitted.items[torch.tensor(asked["item_id"])] @ fitted.mean).numpy(), atol=1e-5)
    whole = pd.DataFrame({"user_id": user, "item_id": range(1, 41)})
    of_all, of_none = (fitted.predict(whole.assign(history=[h] * 40))["score"] for h in (tuple(range(1, 33)), ()))
    assert abs((of_all - of_none).mean()) < 0.2  # likes alone do not tell that somebody likes everything


def test_a_row_is_scored_alike_alone_and_among_others(fitted, planted):
    test = planted[0].test.sample(40, random_state=0)
    together = fitted.predict(test)["score"].to_numpy()
    alone = np.concatenate([fitted.predict(test.iloc[[row]])["score"] for row in range(40)])
    assert np.allclose(together, alone, atol=1e-4)
    assert fitted.predict(test.iloc[:0])["score"].empty


def test_likes_of_train_count_once(fitted, planted):
    train = planted[0].train
    row = train[train["label"] == 1].groupby("user_id").tail(1).iloc[[3]]
    user_likes = train[(train["user_id"] == row["user_id"].iloc[0]) & (train["label"] == 1)]
    shown, hidden = (
        fitted.predict(row.assign(history=[history]))["score"] for history in (tuple(user_likes["item_id"]), ())
    )
    assert shown.equals(hidden)


def test_a_seed_makes_one_model_and_valid_is_not_read(fitted, planted):
    interactions, features = planted
    other = dataclasses.replace(interactions, valid=interactions.valid.assign(label=1 - interactions.valid["label"]))
    again = collab.train_rlfm(SETTINGS, other, features)
    assert torch.equal(again.items, fitted.items) and torch.equal(again.spread, fitted.spread)
    assert not torch.equal(collab.train_rlfm(SETTINGS, *planted, seed=1).items, fitted.items)


def test_a_strong_prior_holds_the_free_factors_down(fitted, planted):
    held = collab.train_rlfm(dataclasses.replace(SETTINGS, strength=1e4), *planted)
    assert held.items[:, -1].abs().max() < 0.1 < fitted.items[:, -1].abs().mean()


def test_features_alone_and_one_label(planted):
    alone = collab.train_rlfm(config.RLFMConfig(dim=0, features=2, rounds=2), *planted)
    assert alone.items.shape == (41, 3)
    likes = dataclasses.replace(planted[0], train=planted[0].train.assign(label=1))
    with pytest.raises(data.DataError, match="train"):
        collab.train_rlfm(SETTINGS, likes, planted[1])


@pytest.mark.parametrize("changes", [{}, {"backbone__dtype": "bfloat16", "seed": 1}], ids=["float32", "bfloat16"])
def test_as_a_stage_it_is_kept_and_ranks(toy_cfg, toy, changes):
    toy_cfg = config.changed(toy_cfg, changes)
    model, stage = sella.factors_stage(toy_cfg, toy).value(), sella.factors_stage(toy_cfg, toy)
    assert stage.finished and set(stage.manifest["valid"]) == {"auc", "uauc"}
    assert stage.value().predict(toy.test)["score"].equals(model.predict(toy.test)["score"])
    assert len(model.recommend(3, k=2)) == 2
    assert sella.factors_stage(config.replace(toy_cfg, "rlfm__dim", 1), toy).key != stage.key


def test_bad_rows_and_features_are_named(fitted, planted):
    world, features = planted
    with pytest.raises(data.DataError, match="a column 'history'"):
        fitted.predict(world.test[["user_id", "item_id"]])
    with pytest.raises(data.DataError, match="item_id"):
        fitted.predict(world.test.head(2).assign(item_id=99))
    with pytest.raises(ValueError, match=r"features: .*40 items.*distil them anew"):
        collab.train_rlfm(SETTINGS, world, features[:5])
    with pytest.raises(ValueError, match=r"features: expected .*finite"):
        collab.train_rlfm(SETTINGS, world, features * torch.nan)
