"""A toy bench for every room: a few users and films, and a random language model saved as a Hugging Face folder."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from sellarec_lab import config, data, llm, prompts, sella
from sellarec_lab.alignment import Head
from sellarec_lab.collab import Vectors
from sellarec_lab.projector import HybridProjector, SoftPrompt

GENRES = ("crime", "comedy")


@pytest.fixture(scope="session")
def toy():
    """24 users x 16 items; even users like even items: the answer is known by construction."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(24):
        for moment, item in enumerate(rng.permutation(16)[:12]):
            rows.append((f"u{user}", f"i{item}", int(user % 2 == item % 2), moment * 100 + user))
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "label", "timestamp"])
    items = pd.DataFrame({"item_id": [f"i{i}" for i in range(16)], "title": [f"Film number {i}" for i in range(16)]})
    items["genres"] = [GENRES[i % 2] for i in range(16)]
    return data.from_frames(table, items, name="toy")


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
    """A preset that runs all stages on the toy data in seconds."""
    loop = config.LoopConfig(batch_size=32, epochs=1, evaluations=1)
    cf = config.LoopConfig(learning_rate=1e-2, batch_size=64, epochs=3, evaluations=1)
    return config.preset(
        "tiny", artifacts=str(tmp_path / "artifacts"), backbone__name=str(lm_folder), tuning__loop=loop,
        injection__loop=loop, collab__loop=cf, alignment__loop=cf, collab__dim=4, alignment__hidden=8, lora__r=4,
    )  # fmt: skip


@pytest.fixture
def lm(lm_folder):
    """The toy language model in full precision."""
    return llm.load(config.BackboneConfig(name=str(lm_folder), quantisation="none"))


@pytest.fixture(scope="session")
def untrained(lm_folder, toy):
    """Recipe name -> a recommender with random parts: its scores mean nothing, but depend on all of the prompt."""
    lm = llm.load(config.BackboneConfig(name=str(lm_folder), quantisation="none"))

    def make(name: str) -> sella.Recommender:
        torch.manual_seed(1)
        recipe, users, items = sella.recipe(name), toy.n_users + 1, toy.n_items + 1
        vectors, semantics = Vectors(torch.randn(users, 4), torch.randn(items, 4)), torch.randn(items, lm.width)
        semantics[0] = 0  # padding means nothing
        projector, codes = None, None
        if "prompt" in recipe.slots:
            projector = SoftPrompt(lm.word_embeddings, prompts.PROMPT_TOKENS)
        elif recipe.slots:
            projector = HybridProjector(vectors, semantics, Head(4, 8, lm.width), "taste" in recipe.slots)
        if recipe.codes:
            codes = sella.Codes([f"u{i}" for i in range(users)], [f"c{i}" for i in range(items)])
        parts = config.BackboneConfig(), config.PromptConfig(history=4), recipe, sella.Memory.of(toy, codes), projector
        return sella.Recommender(lm, *parts)

    return make
