"""Every recipe, all stages, where the backbone computes in half precision; and stages that others made before."""

from __future__ import annotations

import benches
import numpy as np
import pytest
import torch

from sellarec_lab import config, runtime, sella


def _small(toy_cfg, **changes):
    loop = config.LoopConfig(batch_size=32, epochs=1, evaluations=1, rows=96)
    for path, value in {"tuning__loop": loop, "injection__loop": loop, **changes}.items():
        toy_cfg = config.replace(toy_cfg, path, value)
    return toy_cfg


@pytest.fixture(scope="module")
def in_bfloat16(lm_folder, tmp_path_factory):
    """One folder for all recipes: what several rest on is trained once."""
    return _small(benches.toy_preset(lm_folder, tmp_path_factory.mktemp("bfloat16")), backbone__dtype="bfloat16")


@pytest.mark.parametrize("name", sella.RECIPES)
def test_every_recipe_finishes_in_bfloat16_with_fine_scores(in_bfloat16, toy, name):
    model = sella.train(in_bfloat16, toy, name)
    assert model.lm.embed(torch.tensor([[1]], device=model.lm.device)).dtype == torch.bfloat16
    scores = model.predict(toy.test)["score"]
    assert np.isfinite(scores).all() and scores.nunique() > len(scores) / 2
    if model.projector is not None:
        assert {p.dtype for p in model.projector.parameters()} == {torch.float32}


@pytest.mark.parametrize("quantisation", ["nf4", "none"])
def test_the_float16_scaler_trains_all_stages(toy_cfg, toy, quantisation):
    cfg = _small(toy_cfg, backbone__dtype="float16", backbone__quantisation=quantisation)
    model = sella.train(cfg, toy, "sella")
    assert np.isfinite(model.predict(toy.test)["score"]).all()
    start = sella.new_projector(cfg, toy, model.recipe, model.lm.word_embeddings)
    assert not torch.equal(start.head[0].weight, model.projector.head[0].weight)


def test_half_precision_scores_follow_full_precision(toy_cfg, toy):
    cfg = _small(toy_cfg, backbone__quantisation="none")
    full = sella.train(cfg, toy, "sella").predict(toy.test)["score"]
    half = sella.train(config.replace(cfg, "backbone__dtype", "bfloat16"), toy, "sella").predict(toy.test)["score"]
    assert np.corrcoef(full, half)[0, 1] > 0.9


# ---- what was made before must not matter


def _weights(model) -> dict[str, torch.Tensor]:
    found = {} if model.projector is None else dict(model.projector.state_dict())
    return found | {n: p for n, p in model.lm.model.named_parameters() if "lora_" in n}


def _same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


RECIPES_WITH_TRAINING = [n for n in sella.RECIPES if n != "zero-shot"]


@pytest.fixture(scope="module")
def in_order(lm_folder, toy, tmp_path_factory):
    """name -> weights, every recipe trained after the ones before it."""
    return {n: _weights(m) for n, m in _trained(_cfg(lm_folder, tmp_path_factory), toy, RECIPES_WITH_TRAINING)}


def _cfg(lm_folder, tmp_path_factory):
    cf = config.LoopConfig(learning_rate=1e-2, batch_size=64, epochs=2, evaluations=1)
    cfg = benches.toy_preset(lm_folder, tmp_path_factory.mktemp("order"))
    return _small(cfg, mf__loop=cf, alignment__loop=cf, codes__loop=cf, lora__dropout=0.1)


def _trained(cfg, toy, names):
    for name in names:
        torch.manual_seed(hash(name) % 2**31)  # whatever was drawn before
        yield name, sella.train(cfg, toy, name)


def test_recipes_give_equal_weights_in_the_other_order(in_order, lm_folder, toy, tmp_path_factory):
    cfg = _cfg(lm_folder, tmp_path_factory)
    for name, model in _trained(cfg, toy, reversed(RECIPES_WITH_TRAINING)):
        assert _same(_weights(model), in_order[name]), name


# each of the ways to fill a prompt, to start a head and to make tables
FROM_NOTHING = (
    "tallrec",
    "soft-prompt",
    "binllm",
    "collm-joint",
    "sella",
    "sella-random-projector",
    "sella-taste",
    "sella-graph-cold",
    "sella-graph",
    "sella-genre-loss",
    "sella-pairwise",
)


@pytest.mark.parametrize("name", FROM_NOTHING)
def test_recipes_give_equal_weights_from_nothing(in_order, lm_folder, toy, tmp_path_factory, name):
    ((_, model),) = _trained(_cfg(lm_folder, tmp_path_factory), toy, [name])
    assert _same(_weights(model), in_order[name])


def test_a_seed_and_a_name_decide_a_draw_and_disturb_no_other():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with runtime.seeded(1, "a"):
        a = torch.randn(3)
    assert torch.equal(torch.get_rng_state(), before)
    others = []
    for seed, name in ((1, "a"), (1, "b"), (2, "a")):
        torch.randn(7)
        with runtime.seeded(seed, name):
            others.append(torch.randn(3))
    assert torch.equal(a, others[0]) and not torch.equal(a, others[1]) and not torch.equal(a, others[2])
