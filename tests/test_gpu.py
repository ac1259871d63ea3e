"""The 4-bit path on a CUDA device: the same weights, scores and adapters as on the CPU, and stages that resume.
`test_two_devices` sees that all methods run there."""

from __future__ import annotations

import sys

import benches
import bitsandbytes as bnb
import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from sellarec_lab import compare, config, llm, runtime, sella
from sellarec_lab.prompts import PromptRows, Writer

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
_LOOP = config.LoopConfig(learning_rate=1e-2, batch_size=32, epochs=2, evaluations=1)


@pytest.fixture
def no_gpu(monkeypatch):
    """What is loaded now lies on the CPU."""

    def hide():
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    yield hide
    monkeypatch.undo()


def _cfg(lm_folder, folder, **changes):
    cfg = benches.toy_preset(lm_folder, folder)
    for path, value in {"tuning__loop": _LOOP, "injection__loop": _LOOP, **changes}.items():
        cfg = config.replace(cfg, path, value)
    return cfg


def _scores(lm, toy, **options) -> np.ndarray:
    encoder = llm.Encoder(lm.tokenizer, lm.template)
    rows = PromptRows(Writer.of(config.PromptConfig(history=4), toy.titles), toy.test)
    return llm.score(lm, encoder, rows, encoder.answer_ids(rows[0]), **options)


def _four_bit(model) -> dict[str, bnb.nn.Linear4bit]:
    return {n: m for n, m in model.named_modules() if isinstance(m, bnb.nn.Linear4bit)}


def test_by_default_the_gpu_is_taken_with_its_own_half_precision_and_nf4():
    assert runtime.device().value == "cuda" and runtime.dtype("auto", "cuda").value in ("bfloat16", "float16")
    assert runtime.quantisation("auto", "cuda").value == "nf4" and runtime.workers().value == "1"


def test_packed_weights_mean_what_the_cpu_packs(lm_folder, no_gpu):
    settings = config.BackboneConfig(name=str(lm_folder), quantisation="nf4", dtype="float32")
    there = _four_bit(llm.load(settings).model)
    no_gpu()
    here = _four_bit(llm.load(settings).model)
    assert there.keys() == here.keys() and len(there)
    for name, layer in there.items():
        assert (
            layer.weight.is_cuda and layer.weight.dtype == torch.uint8 and layer.weight.quant_state.quant_type == "nf4"
        )
        both = [bnb.functional.dequantize_4bit(m.weight.data, m.weight.quant_state).cpu() for m in (layer, here[name])]
        torch.testing.assert_close(*both, atol=2e-3, rtol=2e-2)


@pytest.mark.parametrize("dtype, close", [("float32", 2e-2), ("bfloat16", 0.3), ("float16", 0.1)])
def test_scores_agree_with_the_cpu(lm_folder, toy, no_gpu, dtype, close):
    there = _scores(llm.load(config.BackboneConfig(name=str(lm_folder), quantisation="nf4", dtype=dtype)), toy)
    no_gpu()
    here = _scores(llm.load(config.BackboneConfig(name=str(lm_folder), quantisation="nf4", dtype="float32")), toy)
    np.testing.assert_allclose(there, here, atol=close)
    assert np.corrcoef(there, here)[0, 1] > 0.98


@pytest.mark.parametrize("dtype, close", [("float32", 1e-4), ("bfloat16", 0.15)])
def test_what_rows_share_runs_once_and_the_last_layer_where_it_is_read(lm_folder, toy, dtype, close, monkeypatch):
    lm = llm.load(config.BackboneConfig(name=str(lm_folder), quantisation="nf4", dtype=dtype))
    families = toy.test["user_id"].to_numpy()
    rows = PromptRows(Writer.of(config.PromptConfig(history=4), toy.titles), toy.test)
    shared, alone = _scores(lm, toy, families=rows.families()), _scores(lm, toy)
    monkeypatch.setattr(sys.modules["sellarec_lab.llm.score"], "fits", lambda model: False)
    whole = _scores(lm, toy)
    np.testing.assert_allclose(shared, alone, atol=close)
    np.testing.assert_allclose(whole, alone, atol=close)
    assert len(set(families)) < len(families)


@pytest.mark.parametrize("branches", [1, 4])
@pytest.mark.parametrize("dtype", ["auto", "float16"])
def test_all_stages_learn_on_the_gpu_and_pass_the_sanity_battery(lm_folder, toy, tmp_path, dtype, branches):
    some = {"tuning__branches": branches, "injection__branches": branches}
    cfg = _cfg(lm_folder, tmp_path, backbone__dtype=dtype, **some)
    frame = compare.predictions(cfg, toy, "sella")
    assert np.isfinite(frame["score"]).all() and frame["score"].nunique() > len(frame) / 2
    history = sella.Pipeline(cfg, toy).tuning.manifest
    assert history["best"] > 0


def test_an_adapter_of_the_gpu_is_loaded_by_plain_peft(lm_folder, toy, tmp_path):
    pipeline = sella.Pipeline(_cfg(lm_folder, tmp_path, backbone__dtype="float32"), toy, sella.recipe("tallrec"))
    ours, folder = pipeline.recommender.value(), pipeline.tuning.value()
    assert any(p.abs().sum() > 0 for n, p in ours.lm.model.named_parameters() if "lora_B" in n)
    packed = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    plain = AutoModelForCausalLM.from_pretrained(
        lm_folder, quantization_config=packed, dtype=torch.float32, device_map={"": 0}
    )
    plain = PeftModel.from_pretrained(plain, folder).eval()
    prompt = ours.prompts(toy.test)[0]
    ids = ours.encoder.encode_many([prompt])[0].ids
    with torch.no_grad():
        logits = plain(torch.tensor([list(ids)], device="cuda")).logits[0, -1].float()
    yes, no = ours.answer_ids
    assert float(logits[yes] - logits[no]) == pytest.approx(float(ours.score_prompts([prompt])[0]), abs=2e-2)


class Killed(Exception):
    pass


def test_a_killed_training_goes_on_to_the_same_weights(lm_folder, toy, tmp_path, monkeypatch):
    loop = config.LoopConfig(learning_rate=1e-2, batch_size=32, epochs=4, evaluations=1, checkpoint_seconds=0.0)
    whole, broken = (
        sella.Pipeline(_cfg(lm_folder, tmp_path / name, tuning__loop=loop, lora__dropout=0.1), toy).tuning
        for name in "ab"
    )
    judge, judged = sella.learning.metrics.quality, []

    def dying(frame):
        judged.append(len(frame))
        if len(judged) == 3:
            raise Killed
        return judge(frame)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(sella.learning.metrics, "quality", dying)
        broken.made()
    assert broken.path("checkpoint.safetensors").is_file()
    ours, theirs = (load_file(stage.value() / "adapter_model.safetensors") for stage in (broken, whole))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], atol=1e-3, rtol=1e-2)
