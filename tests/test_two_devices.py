"""Nothing mixes tensors of two devices, nor reads one of a GPU as if it lay in the computer's memory."""

from __future__ import annotations

import benches
import numpy as np
import pytest
import torch
from cinemas_by_rule import cinemas, preset
from pretend_gpu import PretendGPU, gpu, pretend_gpu  # noqa: F401

from sellarec_lab import compare, config, sella


def test_the_pretended_gpu_refuses_what_a_real_one_refuses():
    with PretendGPU():
        here, there = torch.ones(3), torch.ones(3, device="cuda")
        assert there.device.type == "cuda" and (there * 2).is_cuda and not here.is_cuda and not there.cpu().is_cuda
        assert there[torch.tensor([1])].is_cuda and (there * torch.tensor(2.0)).is_cuda
        for mixed in (lambda: here + there, lambda: torch.cat([here, there]), lambda: here[there.long()]):
            with pytest.raises(RuntimeError, match="same device"):
                mixed()
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
        layer = torch.nn.Linear(3, 3).to("cuda")
        layer(there).sum().backward()
        assert layer.weight.is_cuda and layer.weight.grad.is_cuda
        with pytest.raises(RuntimeError, match="same device"):
            layer(here)


WAYS = (  # each way to fill a prompt, to make tables and to learn
    "soft-prompt", "binllm", "collm", "sella", "sella-taste", "sella-graph", "sella-pairwise", "sella-whole-loss",
    "sella-procrustes", "sella-genre-loss",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What several recipes rest on is trained once."""
    return tmp_path_factory.mktemp("one")


@pytest.mark.parametrize("name", WAYS)
def test_recipes(gpu, lm_folder, toy, folder, name):  # noqa: F811
    cfg = config.changed(benches.toy_preset(lm_folder, folder), gpu)
    assert np.isfinite(compare.predictions(cfg, toy, name)["score"]).all()


@pytest.mark.parametrize("name", ["mf", "aligned-mf", "lightgcn", "sasrec", "din", "rlfm"])
def test_models_without_a_language_model(gpu, lm_folder, toy, folder, name):  # noqa: F811
    cfg = config.changed(benches.toy_preset(lm_folder, folder), gpu)
    assert np.isfinite(compare.predictions(cfg, toy, name)["score"]).all()


@pytest.mark.parametrize("name", ["sasrec-next", "tiger", "lcrec-collaborative"])
def test_next_items(gpu, lm_folder, tmp_path, name):  # noqa: F811
    loop = config.LoopConfig(batch_size=32, epochs=2, evaluations=1)
    cfg = config.changed(benches.next_preset(lm_folder, tmp_path, lcrec__loop=loop), gpu)
    assert len(compare.predictions(cfg, benches.ring(), name))
    if name.startswith("lcrec"):
        compare.decoding(cfg, benches.ring(), name)


@pytest.mark.parametrize("name", ["kg-rotate", "kg-student", "kg-recurrent"])
def test_links(gpu, tmp_path, name):  # noqa: F811
    cfg = preset(tmp_path)
    assert len(compare.predictions(cfg, cinemas(), name))
    compare.answers(cfg, cinemas(), name)


def test_explanations_questions_and_saved_models(gpu, lm_folder, toy, tmp_path):  # noqa: F811
    cfg = config.changed(benches.toy_preset(lm_folder, tmp_path / "a"), gpu)
    model = sella.train(cfg, toy)
    told = model.explain(toy.test.iloc[0]["user_id"], 3)
    assert told is not None
    model.save_pretrained(tmp_path / "saved")
    again = sella.load(tmp_path / "saved")
    np.testing.assert_allclose(again.predict(toy.test)["score"], model.predict(toy.test)["score"], atol=1e-5)
    assert len(model.recommend(1, k=3))
