"""The last layer at the places that are read alone: states, losses and gradients of the whole layer."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from sellarec_lab import config, llm
from sellarec_lab.llm import branches
from sellarec_lab.llm.last_layer import fits, read_at
from sellarec_lab.llm.losses import AnswerLoss, Objective, TextLoss
from sellarec_lab.llm.score import at, states
from sellarec_lab.prompts import Prompt, Text

SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
         "num_key_value_heads": 2, "vocab_size": 60, "max_position_embeddings": 64, "pad_token_id": 0}  # fmt: skip
WORDS = ("Yes.", "No.", "Film number 3?", "Favourites: Film number 3. Film number 11.", "Taste:")


def model(kind: str, kernel: str = "sdpa", **changes):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(
        AutoConfig.for_model(kind, **SMALL | changes), attn_implementation=kernel
    ).eval()


def prompt(*texts: str) -> Prompt:
    return Prompt(tuple(map(Text, texts)), "", ("Yes", "No"), 0, 0)


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize("lengths", [(9, 9), (9, 4)])  # without padding some kernels are given no mask at all
@pytest.mark.parametrize("kind", ["llama", "mistral", "mistral, near", "qwen2", "qwen3"])
def test_a_few_places_have_the_states_and_gradients_of_the_whole_layer(kind, lengths, kernel) -> None:
    near = {"sliding_window": 4} if kind.endswith("near") else {}  # nobody sees further back
    backbone, places = model(kind.split(",")[0], kernel, **near), torch.tensor([[3, 1, 8], [0, 3, 2]])
    mask = (torch.arange(9) < torch.tensor(lengths)[:, None]).long()
    found = []
    for few in (False, True):
        backbone.zero_grad()
        told = torch.randn(2, 9, 32, generator=torch.Generator().manual_seed(1)).requires_grad_()
        with read_at(backbone, places) if few else nullcontext():
            states = backbone.base_model(inputs_embeds=told, attention_mask=mask).last_hidden_state
        states = states if few else states[torch.arange(2)[:, None], places]
        states.square().sum().backward()
        grads = [p.grad.clone() for p in backbone.base_model.parameters() if p.grad is not None]
        found.append((states.detach(), told.grad, grads))
    torch.testing.assert_close(found[1], found[0], atol=2e-4, rtol=1e-4)


def test_the_known_layers_compute_less(monkeypatch) -> None:
    backbone, seen = model("qwen2"), []
    backbone.base_model.layers[-1].mlp.register_forward_hook(lambda _, given, __: seen.append(given[0].shape))
    with read_at(backbone, torch.tensor([[2]])):
        backbone(inputs_embeds=torch.randn(1, 9, 32))
    backbone(inputs_embeds=torch.randn(1, 9, 32))
    assert seen == [(1, 1, 32), (1, 9, 32)]


def test_the_layer_is_as_it_was_afterwards_also_after_an_error() -> None:
    backbone = model("qwen2")
    before = dict(vars(backbone.base_model.layers[-1]))
    with pytest.raises(RuntimeError), read_at(backbone, torch.tensor([[2]])):
        raise RuntimeError
    assert vars(backbone.base_model.layers[-1]) == before


def test_other_models_and_layers_that_others_have_changed_run_as_a_whole() -> None:
    assert fits(model("qwen3")) and not fits(model("gpt2")) and not fits(model("phi"))
    moved = model("qwen2")
    moved.base_model.layers[-1].forward = moved.base_model.layers[-1].forward  # as accelerate does on several devices
    assert not fits(moved)
    checkpointed = model("qwen2").train()
    checkpointed.gradient_checkpointing_enable()
    assert not fits(checkpointed) and fits(checkpointed.eval())


def same(lm, batch, losses) -> None:
    """The loss and its gradients, read where something is read and everywhere."""
    for name, parameter in lm.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    objective, found = Objective(lm, losses), []
    lm.model.train()
    for objective.whole in (False, True):
        lm.model.zero_grad()
        loss = objective(batch)
        loss.backward()
        found.append((loss.detach(), [p.grad.clone() for p in lm.model.parameters() if p.grad is not None]))
    assert found[0][1]
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=1e-3)


def test_losses_of_answers_texts_and_branches_read_what_they_need(lm) -> None:
    encoder = llm.Encoder(lm.tokenizer, "plain")
    llm.attach(lm, config.LoraConfig(r=4, dropout=0.0))
    prompts, labels = [prompt(word) for word in WORDS], np.arange(5) % 2
    encoded, families = encoder.encode_many(prompts), np.array([0, 1, 0, 0, 2])
    same(lm, encoder.collate(encoded, labels), [AnswerLoss((1, 2))])
    same(lm, branches.branched(encoder, encoded, families, labels), [AnswerLoss((1, 2))])
    texts = encoder.encode_many(prompts, targets=["Film number 7", "No.", "Yes", "", "Film"])
    same(lm, encoder.collate(texts), [TextLoss()])


def test_a_batch_says_what_is_read_of_it(lm) -> None:
    encoder = llm.Encoder(lm.tokenizer, "plain")
    batch = encoder.collate(encoder.encode_many([prompt("Yes."), prompt("Taste:")], targets=["Film number 7", ""]))
    places, counts = batch.read()
    read = [row[keep].tolist() for row, keep in zip(places, counts, strict=True)]
    assert read == [list(range(int(a), max(int(b), int(a) + 1))) for a, b in zip(batch.last, batch.end, strict=True)]
    mixed = replace(batch, row=torch.tensor([1, 1]), last=torch.tensor([4, 2]), end=torch.tensor([4, 2]))
    places, counts = mixed.read()
    assert places[counts].tolist() == [4, 2] and counts.sum(1).tolist() == [0, 2]


def test_what_predicts_nothing_is_zero_and_a_whole_prompt_has_all_states(lm) -> None:
    encoder = llm.Encoder(lm.tokenizer, "plain")
    batch = encoder.collate(encoder.encode_many([prompt(word) for word in WORDS])).to(lm.device)
    few, whole = (states(lm, batch, None, whole=each) for each in (False, True))
    torch.testing.assert_close(at(few, batch), at(whole, batch))
    assert int((few.abs().sum(-1) > 0).sum()) == len(WORDS)
    assert bool((whole.abs().sum(-1) > 0).all())
    assert AnswerLoss((1, 2), whole=True).whole and Objective(lm, [AnswerLoss((1, 2), whole=True)]).whole
