"""A toy bench for every room: a few users and films, and a random language model saved as a Hugging Face folder."""

from __future__ import annotations

import benches
import numpy as np
import pandas as pd
import pytest
import torch

from sellarec_lab import config, data, llm, projector, prompts, sella
from sellarec_lab.alignment import Head
from sellarec_lab.training import EmbeddingTable


@pytest.fixture(autouse=True)
def _data_are_asked_for_by_place(monkeypatch):
    """Where the real data lie is known to the tests that need them; `data.load` does not find them by itself."""
    monkeypatch.delenv("SELLAREC_DATA", raising=False)


@pytest.fixture(scope="session")
def toy():
    return benches.toy_data()


@pytest.fixture(scope="session")
def lm_folder(tmp_path_factory):
    """A random 2-layer Qwen2 with its own tokenizer, on disk."""
    folder = tmp_path_factory.mktemp("lm")
    torch.manual_seed(0)
    texts = [f"Favourites: Film number {i}. Offer: Film number {i}? Yes. No. Taste:" for i in range(16)] * 3
    tokenizer = llm.train_tokenizer(texts, 400)
    model = llm.new_model(config.MiniLMConfig(hidden_size=64, layers=2, heads=2), len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def toy_cfg(lm_folder, tmp_path):
    return benches.toy_preset(lm_folder, tmp_path / "artifacts")


@pytest.fixture
def lm(lm_folder):
    """The toy language model in full precision."""
    return llm.load(config.BackboneConfig(name=str(lm_folder), quantisation="none", dtype="float32"))


@pytest.fixture(scope="session")
def predictions():
    """Makes random labelled rows whose scores are rounded, so that many tie."""

    def make(n_rows=400, n_users=25, signal=1.0, seed=0, decimals=1) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        label = rng.integers(0, 2, n_rows)
        return pd.DataFrame(
            {
                "user_id": np.sort(rng.integers(1, n_users + 1, n_rows)),
                "item_id": np.arange(1, n_rows + 1),
                "label": label,
                "score": np.round(signal * label + rng.normal(size=n_rows), decimals),
            }
        )

    return make


@pytest.fixture(scope="session")
def untrained(lm_folder, toy):
    """Recipe name -> a recommender with random parts: its scores mean nothing, but depend on all of the prompt."""
    lm = llm.load(config.BackboneConfig(name=str(lm_folder), quantisation="none", dtype="float32"))

    def make(name: str) -> sella.Recommender:
        torch.manual_seed(1)
        recipe, users, items = sella.recipe(name), toy.n_users + 1, toy.n_items + 1
        parts = {
            "users": EmbeddingTable(torch.randn(users, 4)),
            "items": EmbeddingTable(torch.randn(items, 4)),
            "head": Head(4, 8, lm.width),
        }
        semantics = torch.randn(items, lm.width)
        semantics[0] = 0  # padding means nothing
        parts |= {"semantics": EmbeddingTable(semantics), "warm": torch.nn.Linear(lm.width, lm.width)}
        parts |= {"taste": torch.nn.Linear(lm.width, lm.width)}
        parts |= {"prompt": projector.learned_prompt(lm.word_embeddings, prompts.PROMPT_TOKENS)}
        soft = projector.Projector(parts, {kind: projector.FILLERS[kind] for kind in recipe.slots})
        codes = prompts.CodeWords([f"u{i}" for i in range(users)], [f"c{i}" for i in range(items)])
        shown = recipe.applied(config.preset("tiny", prompt__history=4)).prompt
        writer = prompts.Writer.of(shown, toy.titles, recipe.slots, codes if recipe.codes else None)
        profiles, backbone = data.Profiles.of(toy), config.BackboneConfig()
        return sella.Recommender(lm, backbone, shown, recipe, profiles, soft if recipe.slots else None, writer)

    return make
