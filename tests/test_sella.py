import dataclasses
import json
import shutil
from pathlib import Path

import apart
import benches
import numpy as np
import pandas as pd
import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from sellarec_lab import config, data, llm, sella
from sellarec_lab.sella.explanation import shown_titles


@pytest.fixture(scope="module")
def trained(lm_folder, toy, tmp_path_factory):
    return sella.train(benches.toy_preset(lm_folder, tmp_path_factory.mktemp("trained")), toy, "sella")


def test_predict_gives_the_rows_and_a_finite_score(trained, toy):
    out = trained.predict(toy.test)
    assert out.drop(columns="score").equals(toy.test)
    assert out["score"].dtype == float and np.isfinite(out["score"]).all()
    assert out["score"].nunique() > len(out) // 2


def test_recommend_equals_scoring_one_by_one_and_leaves_seen_items_out(trained):
    user = 3
    top = trained.recommend(user, k=3)
    unseen = set(range(1, len(trained.profiles.titles))) - set(trained.profiles.seen[user])
    scores = {i: trained.score_prompts([trained.prompt(user, i)])[0] for i in unseen}
    assert top["item_id"].tolist() == sorted(scores, key=lambda i: -scores[i])[:3]
    assert top["score"].tolist() == pytest.approx([scores[i] for i in top["item_id"]], abs=1e-5)
    with pytest.raises(KeyError, match="user 999"):
        trained.recommend(999)


def test_what_the_data_does_not_hold_is_refused_by_every_verb(trained, toy):
    for ask, says in (
        (lambda: trained.explain(3, 99999), "item 99999 is not in the catalogue; known ids run from 1 to 16"),
        (lambda: trained.explain(99999, 5), "user 99999 is not in the data; known ids run from 1 to 24"),
        (lambda: trained.explain(0, 5), "user 0 is not in the data"),
        (lambda: trained.explain(3, 5, [-1]), "history: item -1 is not in the catalogue"),
        (lambda: trained.explain(3, 5.5), "item 5.5 is not in the catalogue"),
        (lambda: trained.recommend("3"), "user '3' is not in the data; .* whole numbers"),
        (lambda: trained.recommend(True), "user True is not in the data"),
        (lambda: trained.recommend(3, k=-1), "k must be a whole number of at least 1, got -1"),
        (lambda: trained.recommend(3, k=2.5), "k must be a whole number"),
        (lambda: trained.score_items(3, [5, 17]), "item 17 is not in the catalogue"),
    ):
        with pytest.raises(ValueError, match=says):
            ask()
    assert trained.recommend(np.int64(3), k=np.int32(2)).equals(trained.recommend(3, k=2))


@pytest.mark.parametrize(
    "change, says",
    [
        ({"item_id": 3.7}, "frame, row 7, column item_id: expected an id from 1 to 16 .*found 3.7"),
        ({"user_id": 0}, "frame, row 7, column user_id: expected an id from 1 to 24"),
        ({"history": None}, "frame, row 7, column history: expected a tuple of item ids, .*data.test have them"),
        ({"history": "1 2"}, "frame, row 7, column history: expected a tuple"),
        ({"history": (1, 17)}, r"frame, row 7, column history: expected item ids from 1 to 16, found \(1, 17\)"),
        ({"history": ("1",)}, "frame, row 7, column history: expected item ids"),
    ],
)
def test_frames_are_looked_at_before_they_are_scored(trained, toy, change, says):
    frame = toy.test.iloc[:3].set_axis([5, 7, 9]).astype(object)
    ((column, value),) = change.items()
    frame.at[7, column] = value
    with pytest.raises(data.DataError, match=says):
        trained.predict(frame)


def test_a_rating_aware_prompt_tells_what_was_disliked_before_its_row_and_nothing_later(untrained, toy):
    model = untrained("sella-disliked")
    rows = pd.concat([toy.train, toy.valid, toy.test]).sort_index()
    told = model.prompts(toy.test)
    for place, (row, asked) in enumerate(toy.test.iterrows()):
        before = rows[(rows["user_id"] == asked["user_id"]) & (rows.index < row) & (rows["label"] == 0)]["item_id"]
        shown = list(shown_titles(told[place], "disliked"))
        likes = asked["history"][-model.prompt_config.history :]
        since = rows[(rows["user_id"] == asked["user_id"]) & (rows["item_id"] == likes[0])].index[0]
        assert shown == before[before.index > since].tolist()
        assert told[place] == model.prompt(asked["user_id"], asked["item_id"], asked["history"])
    assert any(shown_titles(prompt, "disliked") for prompt in told)
    edited = toy.test.head(3).assign(disliked=[(1,), (2,), ()])
    assert list(shown_titles(model.prompts(edited)[1], "disliked")) == [2]
    with pytest.raises(data.DataError, match=r"column disliked: expected item ids from 1 to 16, found \(17,\)"):
        model.predict(toy.test.head(1).assign(disliked=[(17,)]))


def test_a_ranking_tells_every_candidate_of_the_same_dislikes(untrained, toy):
    model, asked = untrained("sella-disliked"), toy.test[toy.test["label"] == 0].iloc[-1]
    user, history = asked["user_id"], asked["history"]
    rated = model.profiles.seen[user]
    shown = rated[rated.index(history[-4:][0]) : rated.index(history[-1])]
    then = tuple(item for item in shown if item not in model.profiles.liked[user])
    assert then not in (model.profiles.disliked(user, history[-1], 4), model.profiles.disliked(user, likes=4))
    for items in ([asked["item_id"]], [3, asked["item_id"], 5]):
        prompts = [model.prompt(user, i, history, then) for i in items]
        assert model.score_items(user, items, history) == pytest.approx(model.score_prompts(prompts), abs=1e-4)
    for longest, all_before in ((1, False), (0, True)):  # nothing lies between one like and itself; without likes, all
        model.writer = dataclasses.replace(model.writer, longest=longest)
        then = model.profiles.disliked(user, history[-1]) if all_before else ()
        prompts = [model.prompt(user, i, history, then) for i in items]
        assert model.score_items(user, items, history) == pytest.approx(model.score_prompts(prompts), abs=1e-4)


def test_likes_alone_are_refused_before_anything_trains(toy_cfg, toy):
    with pytest.raises(ValueError, match=r"split valid of 'toy': expected likes and dislikes, .*take lab\.lcrec"):
        sella.train(toy_cfg, dataclasses.replace(toy, valid=toy.valid[toy.valid["label"] == 1]))


def test_a_frame_without_histories_and_one_without_rows(trained, toy):
    with pytest.raises(data.DataError, match=r"expected a column 'history', .*what was liked before each row"):
        trained.predict(toy.test.drop(columns="history"))
    nothing = trained.predict(toy.test.iloc[:0])
    assert len(nothing) == 0 and nothing["score"].dtype == float


def test_items_are_scored_with_the_history_that_was_given(trained):
    items, history = [2, 5, 7], [11, 1]
    one_by_one = trained.score_prompts([trained.prompt(3, i, history) for i in items])
    assert trained.score_items(3, items, history) == pytest.approx(one_by_one, abs=1e-5)
    assert trained.score_items(3, items, []) != pytest.approx(one_by_one, abs=1e-4)


def test_explain_shows_the_prompt_that_was_scored(trained, toy):
    row = toy.test.iloc[0]
    e = trained.explain(int(row["user_id"]), int(row["item_id"]), list(row["history"]))
    assert e.score == pytest.approx(trained.predict(toy.test.iloc[:1])["score"].iloc[0], abs=1e-5)
    assert e.probability == pytest.approx(1 / (1 + np.exp(-e.score)))
    assert "".join(e.tokens) == e.prompt.text
    assert set(e.slots) == set(e.without) == {"user", "item", "warm"}
    assert e.tokens[e.slots["warm"]] == "<Warm_ID>"


def test_save_and_load_give_the_same_scores(trained, toy, tmp_path, lm_folder):
    trained.save_pretrained(tmp_path / "saved")
    again = sella.load(tmp_path / "saved")
    assert np.array_equal(again.predict(toy.test)["score"], trained.predict(toy.test)["score"])
    assert again.recommend(2)["item_id"].tolist() == trained.recommend(2)["item_id"].tolist()
    peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(lm_folder), str(tmp_path / "saved" / "adapter"))
    with pytest.raises(FileNotFoundError, match="sellarec_config"):
        sella.load(tmp_path)


def test_stages_are_kept_and_changed_inputs_make_new_ones(toy_cfg, toy):
    first = sella.tune(toy_cfg, toy)
    stamp = (first.folder / "manifest.json").stat().st_mtime_ns
    assert (sella.tune(toy_cfg, toy).folder / "manifest.json").stat().st_mtime_ns == stamp
    for field, value in (("seed", 5), ("lora__r", 2), ("prompt__history", 3)):
        assert not sella.Pipeline(config.replace(toy_cfg, field, value), toy).tuning.finished
    fewer = dataclasses.replace(toy, train=toy.train.iloc[:-1])
    assert not sella.Pipeline(toy_cfg, fewer).tuning.finished
    manifest = json.loads((first.folder / "manifest.json").read_text())
    assert manifest["inputs"]["data"] == toy.fingerprint and manifest["libraries"]["torch"]
    assert {"preset", "backbone", "revision", "commit", "seconds"} <= manifest.keys()


def test_stage_three_trains_what_it_says(toy_cfg, toy):
    before = sella.new_projector(toy_cfg, toy, sella.recipe("collm"), sella.tuned(toy_cfg, toy).word_embeddings)
    after = sella.inject(toy_cfg, toy, sella.recipe("collm")).projector
    assert torch.equal(before.users.weight, after.users.weight)
    assert not torch.equal(before.head[0].weight, after.head[0].weight)


def test_the_warm_started_head_is_the_aligned_one(toy_cfg, toy):
    words = sella.tuned(toy_cfg, toy).word_embeddings
    warm = sella.new_projector(toy_cfg, toy, sella.recipe("sella"), words)
    assert torch.equal(warm.head[0].weight, sella.align(toy_cfg, toy).head[0].weight)
    assert not torch.equal(
        warm.head[0].weight, sella.new_projector(toy_cfg, toy, sella.recipe("collm"), words).head[0].weight
    )


def test_lora_can_train_jointly_and_is_loaded_again(toy_cfg, toy):
    cfg = config.replace(toy_cfg, "injection__trainable", ("projector", "lora"))
    first = sella.train(cfg, toy).predict(toy.test)["score"]
    second = sella.train(cfg, toy).predict(toy.test)["score"]
    assert np.array_equal(first, second)
    stage_one = llm.adapter_parameters(sella.tuned(cfg, toy))
    joint = llm.adapter_parameters(sella.train(cfg, toy).lm)
    assert any(not torch.equal(stage_one[n], joint[n]) for n in joint)


def test_unknown_recipes_and_fields_are_refused(toy_cfg, toy):
    with pytest.raises(ValueError, match="known recipes"):
        sella.train(toy_cfg, toy, "sela")
    with pytest.raises(ValueError, match="has no field 'epoch'"):
        config.preset("tiny", tuning__loop__epoch=3)
    with pytest.raises(ValueError, match="known presets"):
        config.preset("huge")


def _run(folder: Path) -> list[float]:
    """Preset ``fast``, with a checkpoint at every step of stage 3; a few scores."""
    bench = data.load("tiny")
    bench = dataclasses.replace(bench, valid=bench.valid.iloc[:300])
    loop = config.LoopConfig(rows=256, batch_size=32, epochs=2, evaluations=1, checkpoint_seconds=0.0)
    cfg = config.preset("fast", artifacts=str(folder), injection__loop=loop)
    return sella.train(cfg, bench).predict(bench.test.iloc[:40])["score"].tolist()


@pytest.mark.slow
def test_a_run_killed_in_stage_three_resumes_to_the_same_scores(tmp_path):
    whole = apart.told(_run, tmp_path / "whole")
    killed = tmp_path / "killed"
    apart.kill_when(apart.start(_run, killed), lambda: list(killed.glob("fast/injection/*/checkpoint.safetensors")))
    assert not list(killed.glob("fast/injection/*/manifest.json"))
    assert apart.told(_run, killed) == whole


def test_the_embedded_world_is_the_default(toy):
    assert data.load("tiny").truth is not None and toy.truth is None


@pytest.mark.parametrize("name", ["t4", "paper"])
def test_the_gpu_presets_run_on_a_small_model_of_their_architecture(name, toy, lm_folder, tmp_path):
    """The real path of Qwen2: NF4, chat template, gradient checkpointing; only sizes and epochs are cut."""
    folder = tmp_path / "qwen"
    shutil.copytree(lm_folder, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant:\n{% endif %}"
    )
    tokenizer.save_pretrained(folder)
    small = config.LoopConfig(rows=48, batch_size=16, epochs=1, evaluations=1)
    cfg = config.preset(
        name, backbone__name=str(folder), artifacts=str(tmp_path), tuning__loop=small, injection__loop=small,
        mf__loop=small, alignment__loop=small, lora__r=4,
    )  # fmt: skip
    model = sella.train(cfg, toy)
    assert model.lm.template == "chat" and llm.quantised_layers(model.lm.model) == 14
    assert np.isfinite(model.predict(toy.test)["score"]).all()
    assert len(model.recommend(1, 2)) == 2


@pytest.mark.parametrize("name, stage", [("tallrec", "tuning"), ("soft-prompt", "injection")])
def test_which_rows_judge_is_part_of_a_trainings_key(lm_folder, toy, tmp_path, name, stage):
    cfg, recipe = benches.toy_preset(lm_folder, tmp_path), sella.recipe(name)
    other = config.replace(cfg, "valid_rows", 24)
    keys = [sella.Pipeline(c, toy, recipe).stages()[stage].key for c in (cfg, other)]
    assert keys[0] != keys[1]


def test_training_is_judged_by_as_many_rows_as_asked(lm_folder, toy, tmp_path, monkeypatch):
    seen, judge = [], sella.learning.metrics.quality
    monkeypatch.setattr(sella.learning.metrics, "quality", lambda frame: seen.append(len(frame)) or judge(frame))
    monkeypatch.setattr(sella.learning, "judging_rows", lambda valid, rows, seed: valid[valid["user_id"] > rows])
    sella.train(config.replace(benches.toy_preset(lm_folder, tmp_path), "valid_rows", 10), toy)
    alignment = len(toy.valid)  # which is judged by all of them
    assert seen.count(int((toy.valid["user_id"] > 10).sum())) >= 2 and alignment in seen
    assert len(set(seen)) == 2
