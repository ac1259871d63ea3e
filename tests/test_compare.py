"""One protocol, one table: nothing is computed twice, a failure is a row, and a scorer that lies is found out."""

from __future__ import annotations

import dataclasses

import benches
import numpy as np
import pandas as pd
import pytest
import torch

from sellarec_lab import collab, compare, config, data, metrics, runtime, sella
from sellarec_lab.compare import methods


def test_the_table_holds_what_was_scored_and_nothing_is_computed_twice(toy_cfg, toy, monkeypatch):
    models = ["means", "mf", "tallrec", "fusion-cf"]
    scored = compare.run(toy_cfg, toy, models)
    results = compare.table(toy_cfg, toy, scored, samples=50)
    assert list(results.columns) == ["model", "split", "metric", "value", "low", "high", "seeds", "seconds"]
    assert set(results["model"]) == set(models)
    whole = results[(results["split"] == "test") & (results["model"] == "mf") & (results["metric"] == "auc")]
    predicted = sella.train_collab(toy_cfg, toy).predict(toy.test)
    assert whole["value"].item() == pytest.approx(metrics.auc(toy.test["label"], predicted["score"]))
    valid = compare.predictions(toy_cfg, toy, "mf", "valid")
    p = metrics.probabilities(predicted["score"], metrics.calibrate(valid["label"], valid["score"]))
    mf = results[(results["split"] == "test") & (results["model"] == "mf")].set_index("metric")["value"]
    assert mf["log_loss"] == pytest.approx(metrics.log_loss(toy.test["label"], p))
    assert mf["ece"] == pytest.approx(metrics.expected_calibration_error(toy.test["label"], p))
    assert ((results["low"] <= results["value"] + 1e-9) | (results["metric"] == "ece")).all()  # ece is biased upwards
    monkeypatch.setattr(runtime.Stage, "_make", lambda stage: pytest.fail(f"{stage.name} was made again"))
    again = compare.run(toy_cfg, toy, models)
    pd.testing.assert_frame_equal(again["mf"][0], scored["mf"][0])
    assert "Item mean + user mean" in compare.summary(results)._repr_html_()
    assert "One seed" in compare.summary(results)._repr_html_()
    assert "One seed" not in compare.summary(results.assign(seeds=3))._repr_html_()
    shown = compare.summary(results.replace({"model": {"mf": "sella-no-warm"}}))._repr_html_()
    assert "no &lt;Warm_ID&gt;" in shown and "<Warm_ID>" not in shown
    tests = compare.paired_tests(scored, "mf", samples=50)
    assert (tests["p_holm"] >= tests["p_value"] - 1e-12).all()
    assert (tests["detectable"] >= 0).all() and tests["detectable"].max() > 0


def test_what_rests_on_data_that_is_not_at_hand_was_not_finished(toy_cfg, toy):
    compare.run(toy_cfg, toy, ["means", "mf"])
    afar = dataclasses.replace(toy_cfg, kg=dataclasses.replace(toy_cfg.kg, graphs="mkr-movie", root=""))
    with pytest.raises(data.DataError, match="mkr-movie"):
        sella.Pipeline(afar, toy, sella.recipe("sella-graph")).stages()
    assert {"means", "mf"} <= set(compare.finished(afar, toy))
    assert "sella-graph" not in compare.finished(afar, toy)


def test_rows_that_run_as_branches_are_no_matter_to_what_was_finished(toy_cfg, toy):
    """One ablation has its loss on the prompt, which branches share."""
    branched = config.changed(toy_cfg, {"tuning__branches": 8, "injection__branches": 8})
    compare.run(branched, toy, ["means"])
    assert "means" in compare.finished(branched, toy)


def _break(monkeypatch, name, error):
    def broken(cfg, data):
        raise error

    changed = dataclasses.replace(methods.METHODS[name], stage=compare.put_together("broken", broken))
    monkeypatch.setitem(methods.METHODS, name, changed)


def test_a_failed_cell_is_a_row_with_its_error_and_the_rest_goes_on(toy_cfg, toy, monkeypatch, tmp_path):
    _break(monkeypatch, "lightgcn", RuntimeError("no graph today"))
    ticks = []
    scored = compare.run(toy_cfg, toy, ["means", "lightgcn", "mf"], seeds=2, tick=ticks.append)
    assert len(ticks) == 6 and sum("FAILED" in t for t in ticks) == 2
    assert scored.failures == {("lightgcn", s): "RuntimeError: no graph today" for s in (0, 1)}
    results = compare.table(toy_cfg, toy, scored, samples=20)
    row = results[results["model"] == "lightgcn"]
    assert len(row) == 1 and np.isnan(row["value"].item()) and row["seeds"].item() == 0
    table = compare.cells(toy_cfg, toy, scored)
    assert table.set_index(["model", "seed"]).loc[("lightgcn", 1), "error"] == "RuntimeError: no graph today"
    summary = compare.summary(results, table)
    assert "failed" in summary.to_string()
    assert "font-weight: bold" in summary._repr_html_() and "nan" not in summary._repr_html_()
    story = (tmp_path / "artifacts" / "tiny" / "errors" / "lightgcn-seed0.json").read_text()
    assert "Traceback" in story
    text = compare.section(results, compare.paired_tests(scored, "mf", 20), table, "mf", "facts")
    assert "| lightgcn | 1 | RuntimeError: no graph today |" in text
    with pytest.raises(ValueError, match="has no scores"):
        compare.paired_tests(scored, "lightgcn", 20)


def test_a_seed_that_failed_does_not_shift_the_others(toy_cfg, toy, monkeypatch):
    whole = compare.run(toy_cfg, toy, ["mf"], seeds=2)
    scored = compare.Scored(["mf"])
    scored["mf"], scored.seeds["mf"], scored.failures = [whole["mf"][1]], [1], {("mf", 0): "gone"}
    table = compare.cells(toy_cfg, toy, scored)
    assert table[["seed", "error"]].to_numpy().tolist() == [[1, ""], [0, "gone"]]
    other = dataclasses.replace(toy_cfg, seed=1)
    assert table["seconds"].iloc[0] == runtime.costs(compare.rating_stages(other, toy, "mf").values())["seconds"]


def test_two_workers_give_what_one_gives(toy_cfg, toy):
    alone = compare.run(toy_cfg, toy, ["mf", "means"], seeds=2)
    other = dataclasses.replace(toy_cfg, artifacts=toy_cfg.artifacts + "-2")
    together = compare.run(other, toy, ["mf", "means"], seeds=2, workers=2)
    for name in alone:
        for a, b in zip(alone[name], together[name], strict=True):
            np.testing.assert_allclose(a["score"], b["score"], rtol=1e-5)


def test_seeds_differ(toy_cfg, toy):
    first, second = compare.run(toy_cfg, toy, ["mf"], seeds=2)["mf"]
    assert not np.allclose(first["score"], second["score"])


UNUSUAL = ["soft-prompt", "binllm", "sella-taste", "sella-pairwise", "sella-whole-loss", "sella-disliked"]


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_recipes_train_save_and_load(toy_cfg, toy, name, tmp_path):
    model = sella.train(toy_cfg, toy, name)
    scores = model.predict(toy.test)["score"]
    model.save_pretrained(tmp_path / "saved")
    again = sella.load(tmp_path / "saved")
    np.testing.assert_allclose(again.predict(toy.test)["score"], scores, atol=1e-4)
    assert again.recipe == model.recipe


def test_own_vectors_fill_the_tokens(toy_cfg, toy):
    torch.manual_seed(0)
    users, items = torch.randn(toy.n_users + 1, 3), torch.randn(toy.n_items + 1, 3)
    own = collab.from_vectors(users, items).vectors()
    recipe = sella.recipe("collm")
    model = sella.inject(toy_cfg, toy, recipe, own)
    assert torch.equal(model.projector.users.weight[1:, :3], users[1:])  # collm leaves the tables alone
    other = sella.inject(toy_cfg, toy, recipe, own._replace(users=own.users + 1))
    assert not torch.equal(other.projector.users.weight, model.projector.users.weight)  # another artifact
    with pytest.raises(ValueError, match=r"own tables have \(24, 17\) rows"):
        sella.inject(toy_cfg, toy, recipe, own._replace(users=own.users[1:]))
    with pytest.raises(ValueError, match="no collaborative token"):
        sella.inject(toy_cfg, toy, sella.recipe("tallrec"), own)


def test_recipes_differ_in_what_they_train(toy_cfg, toy):
    keys = [sella.Pipeline(toy_cfg, toy, r).injection.key for r in sella.RECIPES.values() if r.slots]
    assert len(set(keys)) == len(keys)


def test_every_method_runs(toy_cfg, toy):
    """All rows of the table on the toy data; nothing fails, the battery included."""
    scored = compare.run(toy_cfg, toy, compare.models_for(toy, "all"), rank_users=3)
    assert scored.failures == {}
    results = compare.table(toy_cfg, toy, scored, samples=20, rank_users=3)
    assert set(results["model"]) == {n for n, m in compare.METHODS.items() if m.tasks[0] == "rating" and m.fits(toy)}
    ranked = results[results["split"] == "catalogue-3"]
    assert set(ranked["model"]) == {n for n, m in compare.METHODS.items() if "next-item" in m.tasks[1:]}
    assert ranked["value"].between(0, 1).all()


# ---- the battery


@pytest.fixture(scope="module")
def believed(lm_folder, toy, tmp_path_factory):
    model = sella.train(benches.toy_preset(lm_folder, tmp_path_factory.mktemp("believed")), toy, "sella")
    return model, model.predict(toy.valid)


def _verdicts(checks):
    return dict(zip(checks["check"], checks["verdict"]))


def test_the_battery_passes_a_sound_model(believed, toy):
    model, scored = believed
    best = metrics.auc(scored["label"], scored["score"])
    checks = compare.sanity(model, toy.valid, scored, best)
    assert (checks["verdict"] == "ok").all() and len(checks) == 6


def test_the_battery_finds_other_weights(believed, toy):
    model, scored = believed
    checks = compare.sanity(model, toy.valid, scored, 0.99)
    assert "not those that training kept" in checks["verdict"].iloc[-1]


@pytest.fixture
def some_judge(toy_cfg):
    """Some rows of valid judge the trainings."""
    return config.replace(toy_cfg, "valid_rows", 24)


@pytest.mark.parametrize("name", ["tallrec", "sella"])
def test_weights_that_some_users_of_valid_judged_are_believed_by_these(some_judge, toy, name):
    scored = compare.predictions(some_judge, toy, name, "valid")  # the battery passes
    assert len(scored) < len(toy.valid)
    best = sella.Pipeline(some_judge, toy, sella.recipe(name)).recommender.upstream[-1].manifest["best"]
    assert metrics.auc(scored["label"], scored["score"]) == pytest.approx(best, abs=1e-4)
    others = toy.valid.drop(scored.index)
    told = sella.train(some_judge, toy, name).predict(others)
    assert abs(metrics.auc(told["label"], told["score"]) - best) > 1e-3  # others would tell something else


def test_all_methods_answer_the_rows_of_valid_that_judge(some_judge, toy, toy_cfg):
    judged = data.judging_rows(toy.valid, 24, some_judge.seed)
    for name in ("means", "tallrec", "sella"):
        scored = compare.predictions(some_judge, toy, name, "valid")
        assert scored[["user_id", "item_id", "label"]].equals(judged[["user_id", "item_id", "label"]])
    assert compare.predictions(toy_cfg, toy, "means", "valid").index.equals(toy.valid.index)


def test_a_blend_is_fitted_on_the_rows_of_valid_that_judge(some_judge, toy):
    parts, blended = ("item-mean", "user-mean", "mf"), compare.predictions(some_judge, toy, "fusion-cf")
    valid, test = ([compare.predictions(some_judge, toy, name, part) for name in parts] for part in ("valid", "test"))
    np.testing.assert_allclose(blended["score"], compare.fuse(valid, test), rtol=1e-5)
    assert len(compare.predictions(some_judge, toy, "fusion-cf", "valid")) == len(valid[0]) < len(toy.valid)


def test_the_battery_finds_wrong_answer_tokens_and_coarse_scores(believed, toy):
    model, scored = believed
    model.answer_ids = (model.answer_ids[1], model.answer_ids[0])
    checks = compare.sanity(model, toy.valid, scored.assign(score=scored["score"].round(0)), None)
    verdicts = _verdicts(checks)
    assert verdicts["answer tokens decode to the answers"] == "they do not"
    assert verdicts["distinct scores"] == "the scores are too coarse"


def test_the_battery_finds_ids_that_leak(believed, toy, monkeypatch):
    model, scored = believed
    honest = type(model).predict
    monkeypatch.setattr(
        type(model), "predict", lambda self, f: (p := honest(self, f)).assign(score=p["score"] + 0.1 * f["item_id"])
    )
    verdicts = _verdicts(compare.sanity(model, toy.valid, scored, None))
    assert verdicts["largest change of a score when ids are permuted"] == "ids leak"


def test_renumbering_moves_every_table(believed, toy):
    model, _ = believed
    items = np.concatenate([[0], np.roll(np.arange(1, toy.n_items + 1), 1)])
    users = np.arange(toy.n_users + 1)
    other = compare.renumber(model, users, items)
    assert other.profiles.titles[items[3]] == model.profiles.titles[3]
    assert torch.equal(other.projector.items.weight[items[3]], model.projector.items.weight[3])
    assert not torch.equal(other.projector.items.weight, model.projector.items.weight)


def test_a_model_that_fails_the_battery_has_no_row(toy_cfg, toy, monkeypatch):
    found = pd.DataFrame([("x", "1", "bad")], columns=["check", "value", "verdict"])
    zero = dataclasses.replace(methods.METHODS["zero-shot"], checks=lambda *a: found)
    monkeypatch.setitem(methods.METHODS, "zero-shot", zero)
    scored = compare.run(toy_cfg, toy, ["zero-shot"])
    assert "not to be believed: x: 1 (bad)" in scored.failures["zero-shot", 0]


# ---- fusion


def _frame(labels, scores, warm=True):
    return pd.DataFrame({"label": labels, "score": scores, "is_warm": warm})


def test_fusion_finds_the_model_that_knows():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 2000)
    good, noise = labels + rng.normal(0, 1, 2000), rng.normal(0, 1, 2000)
    blended = compare.fuse([_frame(labels, noise), _frame(labels, good)], [_frame(labels, noise), _frame(labels, good)])
    assert np.corrcoef(blended, good)[0, 1] > 0.99


def test_fusion_trusts_each_model_where_it_is_good():
    rng = np.random.default_rng(0)
    n = 4000
    labels, warm = rng.integers(0, 2, n), rng.random(n) < 0.5
    a = np.where(warm, labels, 0) + rng.normal(0, 0.7, n)  # knows warm rows only
    b = np.where(warm, 0, labels) + rng.normal(0, 0.7, n)  # knows cold rows only
    frames = [_frame(labels, a, warm), _frame(labels, b, warm)]
    blended = compare.fuse(frames, frames)
    assert metrics.auc(labels[warm], blended[warm]) > metrics.auc(labels[warm], (a + b)[warm]) + 0.05
    assert metrics.auc(labels[~warm], blended[~warm]) > metrics.auc(labels[~warm], (a + b)[~warm]) + 0.05


def test_fusion_never_reads_the_targets_labels():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 200), rng.normal(0, 1, 200)
    valid, target = _frame(labels, scores + labels), _frame(labels, scores)
    flipped = target.assign(label=1 - target["label"])
    np.testing.assert_array_equal(compare.fuse([valid], [target]), compare.fuse([valid], [flipped]))


def test_fusion_of_nothing_is_refused():
    with pytest.raises(ValueError, match="same models on both sides"):
        compare.fuse([], [])


# ---- whole catalogue


@pytest.mark.parametrize("split", ["valid", "test"])
def test_questions_leave_no_rated_item_among_the_candidates(toy, split):
    asked = compare.likers(toy, split, 100)
    before = pd.concat([toy.train, toy.valid] if split == "test" else [toy.train])
    for user, row in asked.iterrows():
        own = before[before["user_id"] == user]
        assert sorted(row["seen"]) == sorted(own["item_id"])
        assert row["history"] == own[own["label"] == 1].sort_index()["item_id"].tolist()
        assert row["targets"] and not row["targets"] & set(row["seen"])


class Even(data.Ranker):
    """Knows the answer: even users like even items."""

    def __init__(self, toy, sign=1.0):
        self.profiles, self.sign = data.Profiles.of(toy), sign
        self.parity = [t["external_id"].str[1:].astype(int) % 2 for t in (toy.users, toy.items)]

    def predict(self, frame):
        user, item = self.parity
        return frame.assign(score=self.sign * (frame["user_id"].map(user) == frame["item_id"].map(item)))


def test_a_model_that_knows_the_likes_ranks_them_first(toy):
    asked = compare.likers(toy, "test", 100)
    best, worst = (Even(toy, sign).rank(asked) for sign in (1.0, -1.0))
    assert metrics.value(best, "hr@10") == 1 and set(best["ties"]) == {"worst"}
    assert metrics.value(worst, "ndcg@5") < metrics.value(best, "ndcg@5")
    unseen = toy.n_items - asked["seen"].map(lambda items: len(set(items)))
    assert (best.groupby("query")["candidates"].first() == unseen).all()


def test_every_collaborative_model_recommends(toy_cfg, toy):
    for name in ("mf", "lightgcn", "sasrec", "din", "means"):
        model = compare.method(name).stage(toy_cfg, toy).value()
        top = model.recommend(3, k=4)
        assert list(top.columns) == ["item_id", "title", "score"] and top["score"].is_monotonic_decreasing
        assert not set(top["item_id"]) & set(model.profiles.seen[3])
        with pytest.raises(KeyError, match="user 999 is not in the data; known ids run from 1 to 24"):
            model.recommend(999)


# ---- text


def test_a_section_is_replaced_between_its_marks_only(tmp_path):
    path = tmp_path / "R.md"
    path.write_text("before\n<!-- compare:tiny -->\nold\n<!-- /compare:tiny -->\nafter\n")
    compare.write_section(path, "compare:tiny", "new \\1")
    assert path.read_text() == "before\n<!-- compare:tiny -->\nnew \\1\n<!-- /compare:tiny -->\nafter\n"
    with pytest.raises(ValueError, match="expected the marks"):
        compare.write_section(path, "compare:other", "x")


def test_unknown_models_and_choices_are_refused(toy_cfg, toy):
    with pytest.raises(ValueError, match="did you mean sella"):
        compare.predictions(toy_cfg, toy, "selo")
    with pytest.raises(ValueError, match="known: core, all"):
        compare.models_for(toy, "papers")
    with pytest.raises(ValueError, match="not for 'train'"):
        compare.predictions(toy_cfg, toy, "means", "train")
    assert "oracle" not in compare.models_for(toy, "all")


def test_ablations_can_have_fewer_seeds(toy_cfg, toy, monkeypatch):
    monkeypatch.setitem(methods.METHODS, "mf", dataclasses.replace(methods.METHODS["mf"], group="ablation"))
    scored = compare.run(toy_cfg, toy, ["means", "mf", "lightgcn"], seeds=2, ablation_seeds=1)
    assert scored.seeds == {"means": [0, 1], "mf": [0], "lightgcn": [0, 1]}
    wide = compare.summary(compare.table(toy_cfg, toy, scored, samples=20))
    assert wide["seeds"].tolist() == [2, 1, 2]


def test_each_ceiling_that_is_at_hand_says_how_much_of_the_gap_is_closed():
    auc = {"oracle": 0.9, "knowable-so-far": 0.8, "knowable": 0.7, "sella": 0.65, "mf": 0.5}
    rows = [{"model": name, "split": "test", "metric": "auc", "value": v} for name, v in auc.items()]
    wide = compare.summary(pd.DataFrame(rows).assign(low=0.0, high=1.0, seeds=1))
    closed = {c: wide[c].tolist()[3:] for c in wide if "gap" in c}
    assert closed == {
        "oracle gap closed": ["38%", "0%"], "knowable gap closed": ["75%", "0%"],
        "knowable-so-far gap closed": ["50%", "0%"],
    }  # fmt: skip


def test_models_are_compared_seed_by_seed_where_one_failed(toy_cfg, toy):
    scored = compare.run(toy_cfg, toy, ["mf", "lightgcn"], seeds=2)
    del scored["mf"][0], scored.seeds["mf"][0]  # seed 0 failed
    tests = compare.paired_tests(scored, "lightgcn", samples=20)
    row = tests.query("model == 'mf' and split == 'test' and metric == 'auc'")["difference"].item()
    second = [metrics.auc(f["label"], f["score"]) for f in (scored["lightgcn"][1], scored["mf"][0])]
    assert row == pytest.approx(second[0] - second[1])


def test_the_spread_over_seeds_is_that_of_their_values(predictions):
    frames = [predictions(signal=signal, seed=7) for signal in (0.5, 1.0, 2.0)]
    scored = compare.Scored(["mf", "means"])
    scored["mf"], scored.seeds["mf"] = frames, [4, 5, 6]
    scored["means"], scored.seeds["means"] = frames[:1], [4]
    told = compare.by_seed(scored).set_index("model")
    values = [metrics.auc(frame["label"], frame["score"]) for frame in frames]
    assert told.loc["mf", ["seed 4", "seed 5", "seed 6"]].tolist() == values
    assert told.loc["mf", "mean"] == pytest.approx(np.mean(values))
    assert told.loc["mf", "spread"] == pytest.approx(np.std(values, ddof=1))
    assert np.isnan(told.loc["means", "spread"]) and told.loc["means", "mean"] == values[0]
    assert list(compare.by_seed({"means": frames[:1]})) == ["model", "seed 0", "mean"]
