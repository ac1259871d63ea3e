"""Writing what exists: beams and exact scores against the model asked token by token, and against transformers' own."""

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

from sellarec_lab import config, llm
from sellarec_lab.indices import Trie
from sellarec_lab.prompts import Prompt, Text


@pytest.fixture
def encoder(lm):
    return llm.Encoder(lm.tokenizer, "plain")


@pytest.fixture(scope="module")
def sequences():
    """Forty sequences of three tokens, some with a common beginning; row 0 is no item."""
    rows = np.unique(np.random.default_rng(3).integers(20, 28, (60, 3)), axis=0)[:40]
    return torch.tensor(np.vstack([[-1, -1, -1], rows]))


@pytest.fixture(scope="module")
def trie(sequences):
    return Trie.of(sequences)


@pytest.fixture(scope="module")
def prompts():
    return [Prompt((Text("Favourites: " + "Film number 3, " * n),), "", ("", ""), 0, 0) for n in (1, 6, 3)]


def one_by_one(lm, encoder, prompt, sequences):
    """Log-probability of every sequence, asked of the whole model one at a time."""
    start = encoder.encode(prompt).ids
    out = []
    for row in sequences[1:].tolist():
        logits = lm.base(torch.tensor([start + row])).logits[0].float().log_softmax(-1)
        out.append(sum(logits[len(start) - 1 + i, token] for i, token in enumerate(row)))
    return torch.stack(out).detach()


def test_the_tree_gives_every_sequence_the_probability_that_the_model_gives_it(lm, encoder, trie, sequences, prompts):
    scores = llm.tree_scores(lm, encoder, prompts, trie, rows=2)
    for row, prompt in enumerate(prompts):
        expected = one_by_one(lm, encoder, prompt, sequences)
        torch.testing.assert_close(scores[row, trie.leaf_of(torch.arange(1, 41))], expected, rtol=1e-4, atol=1e-4)


def test_beams_as_wide_as_the_catalogue_find_what_exhaustive_scoring_finds(lm, encoder, trie, prompts):
    exact = llm.tree_scores(lm, encoder, prompts, trie).sort(descending=True)
    found = llm.beam_search(lm, encoder, prompts, trie, beams=40)
    torch.testing.assert_close(found.scores, exact.values, rtol=1e-4, atol=1e-4)
    assert torch.equal(found.leaves, exact.indices)


def test_beams_are_sorted_distinct_repeatable_and_never_more_than_there_are_leaves(lm, encoder, trie, prompts):
    found, again = (llm.beam_search(lm, encoder, prompts, trie, beams=n) for n in (1000, 1000))
    assert found.leaves.shape == (3, 40) and (found.scores.diff(dim=1) <= 0).all()
    assert all(len(set(row)) == 40 for row in found.leaves.tolist())
    assert torch.equal(found.leaves, again.leaves) and torch.equal(found.scores, again.scores)
    with pytest.raises(ValueError, match="beams must be at least 1, got 0"):
        llm.beam_search(lm, encoder, prompts, trie, beams=0)


def test_barred_leaves_never_come_out(lm, encoder, trie, prompts):
    best = llm.beam_search(lm, encoder, prompts, trie, beams=5)
    barred = torch.zeros(3, 40, dtype=torch.bool).scatter(1, best.leaves[:, :3], True)
    without = llm.beam_search(lm, encoder, prompts, trie, beams=40, barred=lambda rows: barred[rows])
    for row in range(3):
        left = without.leaves[row][without.leaves[row] >= 0].tolist()
        assert len(left) == 37 and not set(left) & set(best.leaves[row, :3].tolist())
        assert without.scores[row, 37:].eq(-torch.inf).all()


def test_beams_are_those_of_transformers_with_a_function_of_allowed_tokens(lm, encoder, trie, sequences, prompts):
    """The same five sequences in the same order, with the same scores, by the reference's slower way."""
    allowed: dict[tuple, list[int]] = {}
    for row in sequences[1:].tolist():
        for level in range(3):
            allowed.setdefault(tuple(row[:level]), []).append(row[level])
    start = encoder.encode(prompts[1]).ids
    rules = GenerationConfig(
        num_beams=5, num_return_sequences=5, max_new_tokens=3, do_sample=False, length_penalty=0.0,
        eos_token_id=None, pad_token_id=0, output_scores=True, return_dict_in_generate=True,
    )  # fmt: skip
    reference = lm.model.generate(
        torch.tensor([start]), generation_config=rules,
        prefix_allowed_tokens_fn=lambda _, ids: allowed[tuple(ids[len(start) :].tolist())],
    )  # fmt: skip
    ours = llm.beam_search(lm, encoder, prompts[1:2], trie, beams=5)
    told = [tuple(row) for row in reference.sequences[:, len(start) :].tolist()]
    leaves = {int(trie.leaf_of(torch.tensor(i))): tuple(row) for i, row in enumerate(sequences.tolist()) if i}
    assert [leaves[leaf] for leaf in ours.leaves[0].tolist()] == told
    torch.testing.assert_close(ours.scores[0], reference.sequences_scores, rtol=1e-4, atol=1e-4)


def test_each_step_says_which_beam_it_grew_from(lm, encoder, trie, prompts):
    batch = encoder.collate([encoder.encode(prompts[0])])
    steps = list(llm.grow(lm, batch, trie, 4))
    assert len(steps) == 3
    path = [int(steps[2].nodes[0, 0]), int(steps[1].nodes[0, steps[2].parents[0, 0]])]
    start = trie.start[2]
    assert start[path[1]] <= path[0] < start[path[1] + 1]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_scores_are_finite_and_fine_grained(lm_folder, trie, prompts, dtype):
    half = llm.load(config.BackboneConfig(name=str(lm_folder), quantisation="none", dtype=dtype))
    encoder = llm.Encoder(half.tokenizer, "plain")
    scores = llm.tree_scores(half, encoder, prompts, trie)
    found = llm.beam_search(half, encoder, prompts, trie, beams=40)
    assert torch.isfinite(scores).all() and len(scores[0].unique()) > 30
    torch.testing.assert_close(found.scores, scores.sort(descending=True).values, rtol=0.02, atol=0.1)


def test_free_writing_is_greedy_whatever_the_models_own_settings_say(lm, encoder, prompts):
    lm.base.generation_config = GenerationConfig(do_sample=True, temperature=5.0, top_k=3)
    written = llm.write(lm, encoder, prompts, longest=6)
    for prompt, text in zip(prompts, written, strict=True):
        ids = encoder.encode(prompt).ids
        for _ in range(6):
            ids.append(int(lm.base(torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] == lm.tokenizer.eos_token_id:
                break
        new = ids[len(encoder.encode(prompt).ids) :]
        assert text == lm.tokenizer.decode(new, skip_special_tokens=True)
