import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit, logit
from torch import nn

from sellarec_lab import collab, config, data, metrics, runtime


@pytest.fixture(scope="module")
def fitted(toy):
    loop = config.LoopConfig(learning_rate=0.05, batch_size=64, epochs=40, evaluations=1, patience=40)
    return collab.train(config.MFConfig(dim=4, loop=loop), toy, seed=0)


def test_mf_solves_a_checkerboard(fitted, toy):
    model, history = fitted
    assert metrics.quality(model.predict(toy.test))["auc"] > 0.95
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
    settings = config.MFConfig(dim=4, biases=False, loop=config.LoopConfig(epochs=2, batch_size=64))
    model, _ = collab.train(settings, toy)
    assert float(model.user_bias.weight.abs().sum() + model.item_bias.weight.abs().sum() + model.bias.abs()) == 0


def test_the_same_seed_gives_the_same_model(toy):
    settings = config.MFConfig(dim=4, loop=config.LoopConfig(epochs=2, batch_size=64))
    a, b = (collab.train(settings, toy, seed=3)[0] for _ in range(2))
    assert torch.equal(a.users.weight, b.users.weight)


def test_a_model_of_means_so_far_reads_what_came_before_each_row(toy):
    rows = pd.concat([toy.train, toy.valid, toy.test]).sort_index()
    model = collab.MeanSoFar(toy)
    out = model.predict(toy.test)
    assert list(out) == [*toy.test, "score"]
    items, overall = collab.item_mean_scores(toy.train, toy.test)["score"], toy.train["label"].mean()
    for row, told in toy.test.head(20).iterrows():
        before = rows[(rows["user_id"] == told["user_id"]) & (rows.index < row)]["label"]
        share = (before.sum() + 5 * overall) / (len(before) + 5)
        assert out["score"][row] == pytest.approx(items[row] + np.log(share / (1 - share)))


def test_mean_scores_by_hand():
    train = pd.DataFrame({"user_id": [1, 1, 2], "item_id": [1, 2, 1], "label": [1, 0, 1]})
    frame = pd.DataFrame({"user_id": [1, 3], "item_id": [1, 9], "label": [1, 0]})
    scores = collab.mean_scores(train, frame, strength=1.0)["score"]
    overall = 2 / 3
    item, user = (2 + overall) / 3, (1 + overall) / 3
    assert scores.tolist() == pytest.approx([logit(item) + logit(user), 2 * logit(overall)])
    assert np.all(expit(scores) > 0)


def test_counts_by_hand():
    train = pd.DataFrame({"user_id": [1, 1, 2], "item_id": [1, 2, 1], "label": [1, 0, 1]})
    frame = pd.DataFrame({"user_id": [1, 3], "item_id": [1, 9]}, index=[7, 8])
    popular = collab.popularity_scores(train, frame)
    assert popular["score"].tolist() == [2.0, 0.0] and popular.index.tolist() == [7, 8]
    items, users = collab.item_mean_scores(train, frame, 1.0), collab.user_mean_scores(train, frame, 1.0)
    assert items["score"].tolist() == pytest.approx([logit((2 + 2 / 3) / 3), logit(2 / 3)])
    assert users["score"].tolist() == pytest.approx([logit((1 + 2 / 3) / 3), logit(2 / 3)])


LOOP = config.LoopConfig(learning_rate=0.02, batch_size=64, epochs=30, evaluations=1, patience=30, weight_decay=0.1)
SETTINGS = {
    "mf": config.MFConfig(dim=4, loop=dataclasses.replace(LOOP, learning_rate=0.05)),
    "lightgcn": config.LightGCNConfig(dim=4, loop=LOOP),
    "sasrec": config.SASRecConfig(dim=8, loop=LOOP),
    "din": config.DINConfig(dim=8, hidden=16, loop=LOOP),
    "codes": config.CodesConfig(bits=6, loop=dataclasses.replace(LOOP, learning_rate=0.05)),
}


def short(settings, epochs=2):
    return config.replace(settings, "loop__epochs", epochs)


def random_weights(model, seed=0):
    """Weights of order one: with those of a fresh model many a mistake hides behind small numbers."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in model.parameters():
            part.copy_(0.7 * torch.randn(part.shape, generator=draw))
    return model.eval()


def scores(model, frame):
    return model.predict(frame)["score"].to_numpy()


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
class TestEveryModel:
    def test_solves_a_checkerboard(self, settings, toy):
        model, history = collab.train(settings, toy)
        assert metrics.quality(model.predict(toy.test))["auc"] > 0.95
        assert history.best > 0.95

    def test_comes_back_from_disk(self, settings, toy, tmp_path):
        model, _ = collab.train(short(settings), toy)
        runtime.save_tensors(tmp_path / "model.safetensors", model.state_dict())
        other = collab.new(settings, toy, seed=9)
        assert not np.allclose(scores(other, toy.valid), scores(model, toy.valid), atol=1e-4)
        other.load_state_dict(runtime.load_tensors(tmp_path / "model.safetensors")[0])
        assert np.array_equal(scores(other, toy.valid), scores(model, toy.valid))

    def test_the_seed_decides_and_nothing_else(self, settings, toy):
        torch.manual_seed(1)
        a = scores(collab.train(short(settings), toy, seed=3)[0], toy.valid)
        torch.manual_seed(2)
        b = scores(collab.train(short(settings), toy, seed=3)[0], toy.valid)
        c = scores(collab.train(short(settings), toy, seed=4)[0], toy.valid)
        assert np.array_equal(a, b) and not np.array_equal(a, c)

    def test_predicts_a_row_alone_as_among_others_and_without_dropout(self, settings, toy):
        model = random_weights(collab.new(settings, toy)).train()
        together = model.predict(toy.valid)
        assert together.index.equals(toy.valid.index) and together["score"].dtype == float
        assert model.training
        alone = [scores(model, toy.valid.iloc[[row]])[0] for row in range(len(toy.valid))]
        assert alone == pytest.approx(together["score"].tolist(), abs=1e-4)
        assert len(model.predict(toy.valid.iloc[:0])) == 0
        logits = model.eval()(*model.inputs(toy.valid)).tolist()  # what the loss sees is what is predicted
        assert logits == pytest.approx(together["score"].tolist(), abs=1e-4)

    def test_what_training_never_saw_counts_as_zero(self, settings, toy):
        train = toy.train[(toy.train["user_id"] != 3) & (toy.train["item_id"] != 5)]
        model = random_weights(collab.new(settings, dataclasses.replace(toy, train=train)))
        frame = pd.concat([toy.train, toy.valid])
        before = scores(model, frame)
        with torch.no_grad():
            for name, part in model.named_parameters():
                if name.startswith(("user", "item")):
                    part[3 if name.startswith("user") else 5] = -50.0
        assert np.array_equal(scores(model, frame), before)
        with torch.no_grad():
            model.items.weight[6] *= -3.0  # the check above can fail: a seen item's row is read
        assert not np.array_equal(scores(model, frame), before)


def test_an_unknown_config_is_refused(toy):
    with pytest.raises(TypeError, match="LoraConfig; known configs: MFConfig"):
        collab.new(config.LoraConfig(), toy)


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_lightgcn_is_the_dense_formula(toy, layers):
    model = random_weights(collab.new(config.LightGCNConfig(dim=4, layers=layers), toy))
    users, items = toy.n_users + 1, toy.n_items + 1
    likes = np.zeros((users, items))
    for row in toy.train.itertuples():
        likes[row.user_id, row.item_id] = row.label
    graph = np.block([[np.zeros((users, users)), likes], [likes.T, np.zeros((items, items))]])
    degree = np.maximum(graph.sum(1), 1)
    graph /= np.sqrt(np.outer(degree, degree))
    layer = torch.cat([model.users.weight, model.items.weight]).detach().numpy()
    mean = sum(np.linalg.matrix_power(graph, k) @ layer for k in range(layers + 1)) / (layers + 1)
    u, i = toy.test["user_id"].to_numpy(), toy.test["item_id"].to_numpy()
    expected = (mean[u] * mean[users + i]).sum(1)
    assert scores(model, toy.test) == pytest.approx(expected, abs=1e-4)
    trained = model(torch.tensor(u), torch.tensor(i)).detach().numpy()
    assert trained == pytest.approx(expected, abs=1e-4)
    assert model.vectors().users[:, -1].abs().sum() == 0


def reference_states(model, heads, histories):
    """The state after each history, one at a time without padding, by torch's own encoder layers."""
    states = []
    for history in histories:
        kept = list(history)[-model.width :]
        rows = model.items.weight[kept] + model.positions[model.width - len(kept) :]
        x = torch.cat([model.start[None], rows])[None]
        dim = x.shape[-1]
        for block in model.blocks:
            layer = nn.TransformerEncoderLayer(dim, heads, dim, dropout=0.0, norm_first=True, batch_first=True).eval()
            parts = [block.query, block.key, block.value]
            state = {"self_attn.in_proj_weight": torch.cat([p.weight for p in parts])}
            state["self_attn.in_proj_bias"] = torch.cat([p.bias for p in parts])
            names = {"self_attn.out_proj": block.out, "linear1": block.network[0], "linear2": block.network[3]}
            names |= {"norm1": block.norm_attention, "norm2": block.norm_network}
            state |= {f"{n}.{end}": getattr(p, end) for n, p in names.items() for end in ("weight", "bias")}
            layer.load_state_dict(state)
            x = layer(x, src_mask=nn.Transformer.generate_square_subsequent_mask(x.shape[1]))
        states.append(model.norm(x[0, -1]))
    return torch.stack(states)


@pytest.mark.parametrize("layers", [1, 2])
def test_sasrec_is_torchs_causal_encoder_without_padding(toy, layers):
    model = random_weights(collab.new(config.SASRecConfig(dim=8, layers=layers, history=4), toy))
    histories = pd.Series([(), (3,), (1, 2), (2, 1, 7, 4), (9, 8, 1, 2, 3, 4, 5)] * 60)  # more than one length group
    with torch.no_grad():
        expected = reference_states(model, 2, histories[:5])
        found = model.states(collab.padded_histories(histories, 4))
        assert torch.allclose(found, expected.repeat(60, 1), atol=1e-4)
        wider = nn.functional.pad(collab.padded_histories(histories, 4), (3, 0))
        assert torch.allclose(model.states(wider), found, atol=1e-5)
        frame = pd.DataFrame({"user_id": 1, "item_id": 2, "history": histories[:5]})
        assert scores(model, frame) == pytest.approx((expected @ model.items.weight[2]).numpy(), abs=1e-3)


def test_din_is_the_formula(toy):
    model = random_weights(collab.new(config.DINConfig(dim=3, hidden=5, history=4), toy))
    p = {name: part.detach().numpy().astype(float) for name, part in model.named_parameters()}

    def layers(x, name, first, act, second):
        x = p[f"{name}.{first}.weight"] @ x + p[f"{name}.{first}.bias"]
        x = np.where(x >= 0, x, p[f"{name}.{act}.weight"] * x)
        return (p[f"{name}.{second}.weight"] @ x + p[f"{name}.{second}.bias"])[0]

    frame = pd.DataFrame({"user_id": [1, 2, 3, 4], "item_id": [5, 6, 7, 8]})
    frame["history"] = [(1, 2, 4), (), (9, 3, 1, 2, 3), (3,)]
    for row, found in zip(frame.itertuples(), scores(model, frame)):
        t, interest = p["items.weight"][row.item_id], np.zeros(3)
        for item in row.history[-4:]:
            h = p["items.weight"][item]
            interest += layers(np.concatenate([h, t, h - t, h * t]), "attention", 0, 1, 2) * h
        x = np.concatenate([p["users.weight"][row.user_id], interest, t])
        assert found == pytest.approx(layers(x, "top", 1, 2, 4), abs=1e-4)


def test_order_matters_to_sasrec_and_not_to_din(toy):
    frame = pd.DataFrame({"user_id": [1, 1], "item_id": [2, 2], "history": [(1, 2, 3, 4), (4, 2, 1, 3)]})
    ordered = scores(random_weights(collab.new(SETTINGS["sasrec"], toy)), frame)
    unordered = scores(random_weights(collab.new(SETTINGS["din"], toy)), frame)
    assert abs(ordered[0] - ordered[1]) > 1e-2 and unordered[0] == pytest.approx(unordered[1], abs=1e-5)


def test_histories_are_padded_on_the_left_and_cut_at_the_old_end():
    histories = pd.Series([(), (1,), (2, 3), (4, 5, 6, 7)], index=[5, 3, 1, 0])
    assert collab.padded_histories(histories, 3).tolist() == [[0, 0, 0], [0, 0, 1], [0, 2, 3], [5, 6, 7]]


def test_without_a_history_the_state_is_learned_and_the_interest_is_zero(toy):
    empty = torch.zeros(3, 4, dtype=torch.long)
    sasrec = random_weights(collab.new(SETTINGS["sasrec"], toy))
    states = sasrec.states(empty)
    assert torch.isfinite(states).all() and torch.equal(states[0], states[2])
    states.sum().backward()
    assert sasrec.start.grad.abs().sum() > 0
    din = random_weights(collab.new(SETTINGS["din"], toy))
    assert din.interests(torch.tensor([1, 2, 3]), empty).abs().sum() == 0


def test_bad_sizes_are_refused(toy):
    with pytest.raises(ValueError, match="multiple of heads, got dim=5 and heads=2"):
        collab.new(config.SASRecConfig(dim=5), toy)
    with pytest.raises(ValueError, match="history: expected at least 1, got 0"):
        collab.new(config.DINConfig(history=0), toy)
    with pytest.raises(ValueError, match="bits: expected at least 1, got 0"):
        collab.new(config.CodesConfig(bits=0), toy)


def test_codes_are_the_signs_that_the_scores_use(toy):
    train = toy.train[toy.train["user_id"] != 3]
    model, _ = collab.train(SETTINGS["codes"], dataclasses.replace(toy, train=train))
    codes = model.codes()
    assert codes.users.shape == (toy.n_users + 1, 6) and codes.items.dtype == torch.int8
    assert (codes.users[[0, 3]] == -1).all() and set(codes.items[1:].unique().tolist()) == {0, 1}
    row = toy.test[toy.test["user_id"] != 3].iloc[0]
    u, i = row["user_id"], row["item_id"]
    dot = ((2.0 * codes.users[u] - 1) * (2.0 * codes.items[i] - 1)).sum() / 6**0.5
    expected = dot + model.user_bias.weight[u] + model.item_bias.weight[i] + model.bias
    assert scores(model, toy.test.loc[[row.name]])[0] == pytest.approx(expected.item(), abs=1e-5)


def test_the_gradient_passes_the_sign_as_if_it_were_tanh():
    x = torch.tensor([-0.5, 0.0, 2.0], requires_grad=True)
    hard = collab.binarised(x)
    assert hard.tolist() == [-1.0, 1.0, 1.0]
    (hard * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    expected = [1 / np.cosh(0.5) ** 2, 2.0, 3 / np.cosh(2.0) ** 2]
    assert x.grad.tolist() == pytest.approx(expected, abs=1e-5)


def test_own_vectors_score_by_dot_product_and_bias():
    users = np.array([[9.0, 9.0], [1.0, 2.0], [0.0, 0.0]])
    items = torch.tensor([[9.0, 9.0], [3.0, 0.5]])
    frame = pd.DataFrame({"user_id": [1, 2], "item_id": [1, 1]})
    assert scores(collab.from_vectors(users, items), frame).tolist() == [4.0, 0.0]
    biased = collab.from_vectors(users, items, biases=True)
    assert scores(biased, frame).tolist() == [3.0 + 2.0 + 0.5, 0.5]
    assert biased.vectors().users[0].abs().sum() == 0 and users[0, 0] == 9.0
    assert collab.from_vectors(users, items).vectors().items.shape == (2, 3)
    with pytest.raises(data.DataError, match=r"frame, row 1, column user_id: expected an id from 1 to 2, found 3"):
        biased.predict(frame.assign(user_id=[1, 3]))


@pytest.mark.parametrize(
    ("users", "items", "message"),
    [
        (np.zeros(4), np.zeros((3, 2)), r"users: expected a table \[n_users \+ 1, d\].* found shape \[4\]"),
        (np.zeros((3, 2)), np.zeros((3, 4)), r"items, row 0: expected width 2, as users have, found width 4"),
        (np.zeros((3, 2)), [[0, 0], [1, np.nan]], r"items, row 1, column 1: expected a finite number.* found nan"),
        ([[0, 0], [1, 1e39]], np.zeros((3, 2)), r"users, row 1, column 1: expected a finite number in float32"),
        ([[0, 0], [1]], np.zeros((3, 2)), r"users: expected a table of numbers, equally long rows"),
        (np.zeros((1, 2)), np.zeros((3, 2)), r"at least 2 rows"),
    ],
)
def test_bad_own_vectors_are_refused(users, items, message):
    with pytest.raises(data.DataError, match=message):
        collab.from_vectors(users, items)
