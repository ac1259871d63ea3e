"""What a model takes a vector for: a word's own vector is taken for the word, and greedy words are the likeliest."""

from __future__ import annotations

import pytest
import torch

from sellarec_lab import config, llm
from sellarec_lab.llm import asking
from sellarec_lab.prompts import Prompt, Slot, Text

WORDS = ["Yes", "No", "number"]


def test_a_words_own_vector_is_taken_for_the_word(lm) -> None:
    ids = [i for i in range(len(lm.tokenizer)) if lm.tokenizer(lm.tokenizer.decode([i]))["input_ids"] == [i]][:40:4]
    names, tokens = [lm.tokenizer.decode([i]) for i in ids], lm.word_embeddings[ids]
    as_text, as_tokens = (llm.chosen_words(lm, what, WORDS, "", ":") for what in (names, tokens))
    assert len(ids) == 10 and as_text.tolist() == as_tokens.tolist()
    said = [llm.continuations(lm, what, "", ":", tokens=5) for what in (names, tokens)]
    assert said[0] == said[1] and all(said[0])


def test_the_choice_is_the_likeliest_of_the_words_in_any_batches(lm) -> None:
    torch.manual_seed(0)
    tokens, encoder = 20 * torch.randn(9, lm.width), llm.Encoder(lm.tokenizer, "plain")
    starts, expected = [lm.tokenizer(f" {word}")["input_ids"][0] for word in WORDS], []
    for row in range(9):
        asked = encoder.encode(Prompt((Text("Film: "), Slot("item", row)), "", ("", ""), 0, 0))
        hidden = llm.last_hidden(lm, encoder.collate([asked]), lambda kind, ids, bag: tokens[ids])
        expected.append(int(lm.logits(hidden)[0, starts].argmax()))
    for size in (1, 2, 256):
        found = llm.chosen_words(lm, tokens, WORDS, "Film: ", "", batch_size=size)
        assert found.tolist() == expected
    assert len(set(expected)) > 1


def test_names_of_other_lengths_keep_their_order(lm) -> None:
    encoder, names = llm.Encoder(lm.tokenizer, "plain"), ["Film number 3", "No", "Film number 11. Film number 3"]
    prompts = [Prompt((Text(name), Text(".")), "", ("", ""), 0, 0) for name in names]
    with torch.no_grad():
        together = asking._told(lm, encoder, prompts, None, [[1], [2]], batch_size=256)
        alone = [asking._told(lm, encoder, [prompt], None, [[1], [2]], batch_size=1) for prompt in prompts]
    torch.testing.assert_close(together, torch.cat(alone))


def test_of_longer_words_all_tokens_count(lm) -> None:
    """Beside the sum of log-probabilities, token by token, from whole texts; words of several tokens and of one."""
    torch.manual_seed(0)
    words, names = ["number 3", "number", "Taste: No", "offered"], ["Film", "Film number 11. Yes", "No"]
    assert len({len(lm.tokenizer(f" {word}")["input_ids"]) for word in words}) > 1
    expected = []
    for name in names:
        start, told = lm.tokenizer(f"A {name}.")["input_ids"], []
        for word in words:
            ids = lm.tokenizer(f" {word}")["input_ids"]
            said = lm.model(input_ids=torch.tensor([start + ids])).logits[0].log_softmax(-1)
            told.append(sum(float(said[len(start) - 1 + i, token]) for i, token in enumerate(ids)))
        expected.append(told)
    encoder = llm.Encoder(lm.tokenizer, "plain")
    prompts = [Prompt((Text("A "), Text(name), Text(".")), "", ("", ""), 0, 0) for name in names]
    with torch.no_grad():
        spelled = [lm.tokenizer(f" {word}")["input_ids"] for word in words]
        sizes = [asking._told(lm, encoder, prompts, None, spelled, size) for size in (1, 4, 256)]
    for found in sizes:
        torch.testing.assert_close(found, torch.tensor(expected), atol=1e-4, rtol=1e-4)
    chosen = llm.chosen_words(lm, names, words, "A ", ".")
    assert chosen.tolist() == torch.tensor(expected).argmax(dim=1).tolist()


def test_a_continuation_is_greedy_word_by_word(lm) -> None:
    ids = lm.tokenizer("Film number 3.")["input_ids"]
    for _ in range(4):
        ids.append(int(lm.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    expected = lm.tokenizer.decode(ids[-4:], skip_special_tokens=True)
    assert llm.continuations(lm, ["number 3"], "Film ", ".", tokens=4) == [expected]


def test_half_precision_and_training_mode_are_no_matter(lm_folder) -> None:
    half = llm.load(config.BackboneConfig(name=str(lm_folder), dtype="bfloat16", quantisation="none"))
    half.model.train()
    tokens = torch.randn(3, half.width)
    assert llm.chosen_words(half, tokens, WORDS, "", ":").shape == (3,)
    assert len(llm.continuations(half, tokens, "A ", "", tokens=2)) == 3


def test_bad_input_is_named(lm) -> None:
    with pytest.raises(ValueError, match=r"item tokens have shape \(2, 3\), the batch needs \(2, 64\)"):
        llm.chosen_words(lm, torch.randn(2, 3), WORDS, "", ":")
    longest = lm.base.config.max_position_embeddings
    with pytest.raises(ValueError, match=f"reads at most {longest}"):
        llm.chosen_words(lm, ["No " * (longest + 1)], WORDS, "", ":")
