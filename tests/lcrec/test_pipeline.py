"""The pipeline on a toy whose next item follows from the last: learned, saved, resumed, killed, without language."""

import json
import subprocess
import sys
from pathlib import Path

import apart
import benches
import numpy as np
import pandas as pd
import peft
import pytest
import torch

from sellarec_lab import data, indices, lcrec, llm
from sellarec_lab.config import IndexConfig, LoopConfig, MiniLMConfig, preset


@pytest.fixture(scope="module")
def ring():
    return benches.ring()


@pytest.fixture(scope="module")
def folder(lm_folder, tmp_path_factory):
    return lm_folder, tmp_path_factory.mktemp("lcrec")


@pytest.fixture(scope="module")
def model(ring, folder):
    return lcrec.train(benches.next_preset(*folder), ring)


def test_what_follows_in_a_ring_is_learned(model, ring):
    asked = data.next_items(ring, "test")
    ranks = model.rank(asked)
    assert len(ranks) == len(asked) and (ranks["rank"] <= 3).mean() > 0.8
    assert (ranks["candidates"] == 12).all()


def test_recommendations_leave_out_what_was_met_and_search_finds_by_words(model, ring):
    found = model.recommend(3, k=5)
    assert not set(found["item_id"]) & set(model.profiles.seen[3]) and found["score"].is_monotonic_decreasing
    assert list(model.search("colour 1", k=4).columns) == ["item_id", "title", "score"]
    with pytest.raises(KeyError, match="user 999 is not in the data"):
        model.recommend(999)


def test_every_template_asks_and_each_gives_other_scores(model):
    scores = [model.asking(template).score_catalogue([[1, 2, 3]])[0, 1:] for template in range(5)]
    assert all(np.isfinite(s).all() for s in scores) and len({s.tobytes() for s in scores}) == 5
    assert all(np.exp(s.astype(float)).sum() <= 1 + 1e-4 for s in scores)
    with pytest.raises(ValueError, match="template 5 is not there; the sequence templates are 0 to 4"):
        model.asking(5)


def test_inspection_counts_what_beams_find_of_the_exact_best_and_what_exists(model, ring):
    asked = data.next_items(ring, "test").head(5)
    told = model.inspect(asked, k=4)
    prompts = [model.prompt(history) for history in asked["history"]]
    exact, beams = (model.score_prompts(prompts, exact) for exact in (True, False))
    best = [set(np.argsort(-row)[:4]) for row in exact]
    narrow = llm.beam_search(model.lm, model.encoder, prompts, model.tree, 4).leaves
    found = [set(model.tree.item[model.tree.held[row]].tolist()) for row in narrow]
    assert told["survived"].tolist() == [len(a & b) / 4 for a, b in zip(best, found)]
    first = [model.catalogue.words[row.argmax()] for row in beams]
    written = [text.replace(" ", "") for text in llm.write(model.lm, model.encoder, prompts, longest=2)]
    assert told["exists"].tolist() == [float(text in model.catalogue.words) for text in written]
    assert told["exists"].mean() > 0.5 and written[0] == first[0]


def test_beams_find_what_exact_scores_find(model):
    prompts = [model.prompt([1, 2, 3])]
    exact, beams = (model.score_prompts(prompts, exact)[0, 1:] for exact in (True, False))
    order = np.argsort(-exact)
    assert np.array_equal(order[:3], np.argsort(-beams)[:3])
    np.testing.assert_allclose(beams[order[:3]], exact[order[:3]], atol=1e-3)
    steps = list(model.beams([1, 2, 3], 3))
    assert len(steps) == model.tree.depth and list(steps[0].columns) == ["beam", "parent", "token", "score", "item_id"]
    assert steps[-1]["item_id"].tolist() == (1 + order[:3]).tolist()


def test_a_saved_model_gives_the_same_lists_in_another_process_and_its_adapter_loads_with_plain_peft(
    model, folder, tmp_path
):
    model.save_pretrained(tmp_path / "saved")
    script = f"from sellarec_lab import lcrec; print(lcrec.load({str(tmp_path / 'saved')!r}).recommend(3).to_json())"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=_root())
    there = pd.DataFrame(json.loads(told.stdout.splitlines()[-1]))
    assert there["item_id"].tolist() == model.recommend(3)["item_id"].tolist()
    np.testing.assert_allclose(there["score"], model.recommend(3)["score"], atol=1e-4)
    size = sum(f.stat().st_size for f in (tmp_path / "saved" / "adapter").glob("*.safetensors"))
    assert size < 1_000_000
    base = llm.load(model.backbone)
    base.base.resize_token_embeddings(len(model.lm.tokenizer), mean_resizing=False)
    plain = peft.PeftModel.from_pretrained(base.model, str(tmp_path / "saved" / "adapter"))
    ids = torch.tensor([model.encoder.encode(model.prompt([1, 2, 3])).ids])
    with torch.no_grad():
        torch.testing.assert_close(plain(ids).logits, model.lm.model(ids).logits, atol=1e-3, rtol=1e-3)


def test_a_folder_that_holds_none_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no lcrec_config\.json"):
        lcrec.load(tmp_path)


def test_new_tokens_start_at_the_words_of_their_items(ring, folder):
    pipeline = lcrec.Pipeline(benches.next_preset(*folder), ring)
    lm, words = llm.stored(pipeline.cfg, ring), indices.vocabulary(pipeline.indices.value())
    rows = lcrec.starting_rows(lm, pipeline.catalogue, words)
    first = words[0]
    shared = [i for i in pipeline.catalogue.items if first in pipeline.catalogue.tokens(i)]
    ids = [lm.tokenizer(ring.titles[i], add_special_tokens=False)["input_ids"] for i in shared]
    expected = torch.stack([lm.word_embeddings[row].mean(0) for row in ids]).mean(0)
    torch.testing.assert_close(rows[0], expected)


def test_without_language_a_decoder_is_trained_from_nothing(ring, folder, tmp_path):
    cfg = benches.next_preset(*folder, lcrec__language=False, lcrec__tasks=("sequence",))
    bare = lcrec.train(cfg, ring)
    assert bare.prompt([1, 2]).text.startswith("<a_") and not hasattr(bare.lm.model, "peft_config")
    bare.save_pretrained(tmp_path / "bare")
    again = lcrec.load(tmp_path / "bare")
    np.testing.assert_allclose(again.score_catalogue([[1, 2]])[0, 1:], bare.score_catalogue([[1, 2]])[0, 1:], atol=1e-4)


def test_own_vectors_take_the_place_of_the_models(ring, folder):
    cfg = benches.next_preset(*folder)
    own = torch.randn(ring.n_items + 1, 6, generator=torch.Generator().manual_seed(0))
    assert lcrec.Pipeline(cfg, ring, own).indices.key != lcrec.Pipeline(cfg, ring).indices.key
    with pytest.raises(ValueError, match="own vectors have 3 rows, the data needs 13"):
        lcrec.Pipeline(cfg, ring, own[:3])


def test_the_catalogue_is_read_once_for_all_seeds(ring, folder):
    one, other = (lcrec.Pipeline(benches.next_preset(*folder, seed=seed), ring) for seed in (0, 1))
    assert one.vectors.key == other.vectors.key and one.indices.key != other.indices.key


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_trains_and_scores(ring, folder, dtype, tmp_path):
    cfg = benches.next_preset(folder[0], tmp_path, backbone__dtype=dtype, lcrec__loop=LoopConfig(epochs=1))
    scores = lcrec.train(cfg, ring).score_catalogue([[1, 2, 3]])[0, 1:]
    assert np.isfinite(scores).all() and len(set(scores.tolist())) > 8


def _run(folder: Path, lm_folder: Path) -> list[float]:
    loop = LoopConfig(batch_size=16, epochs=6, evaluations=1, checkpoint_seconds=0)
    cfg = benches.next_preset(lm_folder, folder, lcrec__loop=loop)
    return lcrec.train(cfg, benches.ring()).score_catalogue([[1, 2, 3]])[0].round(4).tolist()


def test_a_killed_tuning_resumes_to_the_same_result(lm_folder, tmp_path):
    whole, killed = apart.told(_run, tmp_path / "whole", lm_folder), tmp_path / "killed"
    started = apart.start(_run, killed, lm_folder)
    apart.kill_when(started, lambda: list(killed.glob("tiny/lcrec/*/checkpoint.safetensors")))
    assert not list(killed.glob("tiny/lcrec/*/manifest.json"))
    assert apart.told(_run, killed, lm_folder) == whole


def _root():
    return Path(__file__).parents[2]


def test_settings_of_the_whole_tree_reach_the_indices():
    cfg = preset("tiny", indices=IndexConfig(levels=2, codes=5), lcrec__decoder=MiniLMConfig(layers=2))
    assert cfg.indices.levels == 2 and cfg.lcrec.decoder.layers == 2
