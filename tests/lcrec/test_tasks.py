"""Templates, and the mixture that they make."""

import dataclasses
from itertools import pairwise

import benches
import numpy as np
import pandas as pd
import pytest
import torch

from sellarec_lab import llm
from sellarec_lab.config import TASKS, LCRecConfig
from sellarec_lab.lcrec import TEMPLATES, Catalogue, Mixture, Speaker
from sellarec_lab.lcrec.catalogue import attributes
from sellarec_lab.lcrec.tasks import fill, windows
from sellarec_lab.prompts import Text

WORDS = ["", *(f"<a_{i // 3}><b_{i % 3}>" for i in range(9))]


@pytest.fixture
def catalogue():
    titles = ["", *(f"Film {i}" for i in range(1, 10))]
    told = ["", *("A long story." if i % 2 else "" for i in range(1, 10))]
    kinds = [(), *(("drama", f"kind {i % 3}") for i in range(1, 10))]
    return Catalogue(titles, told, kinds, WORDS)


@pytest.fixture
def speaker(catalogue):
    return Speaker(catalogue, longest=4)


def test_a_template_is_filled_field_by_field_and_a_title_with_a_field_stays_text():
    parts = fill("Title: {title}. Then {history}!", {"title": "{history}", "history": [Text("<a_1>", "token", 7)]})
    assert [p.text for p in parts] == ["Title: ", "{history}", ". Then ", "<a_1>", "!"]
    assert [p.role for p in parts] == ["frame", "words", "frame", "token", "frame"] and parts[3].item_id == 7


def test_every_template_has_known_fields_and_something_to_follow(speaker):
    for task, templates in TEMPLATES.items():
        assert len(templates) >= 2, task
        for asks, answers in templates:
            about = {"history": [1, 2, 3], "following": 5, "item": 0 if "next" in asks + answers else 5}
            prompt, target = speaker.ask(asks, **about), speaker.answer(answers, **about)
            assert prompt.text and "".join(t.text for t in target).strip(), asks
            assert "{" not in prompt.text


def test_the_answer_is_never_in_the_question(speaker):
    """A mixture whose prompt holds what should follow would teach copying."""
    for example in Mixture(speaker, [[1, 2, 3], [4, 5, 6, 7]], TASKS, seed=0).examples(0):
        target = "".join(t.text for t in example.target).strip()
        assert target not in example.prompt.text or "like" in example.prompt.text


def test_histories_are_cut_to_the_most_recent(speaker):
    assert speaker.next_item([1, 2, 3, 4, 5, 6]).text.endswith("".join(WORDS[i] for i in (3, 4, 5, 6)))


def test_an_epoch_has_as_many_examples_as_any_other_and_other_templates(speaker):
    mixture = Mixture(speaker, [[1, 2, 3], [4, 5, 6, 7], [8]], TASKS, seed=0)
    first, second = mixture.examples(0), mixture.examples(1)
    assert len(first) == len(second) and [e.prompt.text for e in first] != [e.prompt.text for e in second]
    assert [e.prompt.text for e in first] == [e.prompt.text for e in mixture.examples(0)]
    # two sequences of more than one item; nine items; fusion and preference one a sequence
    assert len(first) == 2 + 9 + 2 + 9 + 2


@pytest.mark.parametrize("off", TASKS[1:])
def test_each_task_can_be_switched_off(speaker, off):
    whole = Mixture(speaker, [[1, 2, 3]], TASKS, seed=0).examples(0)
    less = Mixture(speaker, [[1, 2, 3]], [t for t in TASKS if t != off], seed=0).examples(0)
    assert len(less) < len(whole)


def test_a_mixture_needs_the_sequences():
    with pytest.raises(ValueError, match="must hold 'sequence'"):
        LCRecConfig(tasks=("index",))
    with pytest.raises(ValueError, match=r"\['fusing'\] unknown"):
        LCRecConfig(tasks=("sequence", "fusing"))


def test_long_sequences_come_in_pieces_that_overlap_and_hold_every_step():
    sequence = list(range(1, 24))
    pieces = windows(sequence, 6)
    assert all(len(p) <= 7 for p in pieces) and pieces[-1][-1] == 23
    steps = {step for piece in pieces for step in pairwise(piece)}
    assert steps == set(pairwise(sequence))


def test_one_pass_over_a_sequence_learns_from_every_prefix(lm, speaker):
    """The loss of a whole sequence is that of its prefixes, each asked as it is asked of the trained model."""
    words = sorted({w for i in range(1, 10) for w in (f"<a_{i // 3}>", f"<b_{i % 3}>")})
    lm.tokenizer.add_tokens(words)
    lm.base.resize_token_embeddings(len(lm.tokenizer))
    encoder, sequence, start = llm.Encoder(lm.tokenizer, "plain"), [2, 7, 4, 1], TEMPLATES["sequence"][0][0]
    whole = encoder.encode_many([speaker.ask(start)], targets=[speaker.indices(sequence)])
    batch = encoder.collate(whole)
    hidden = lm.hidden(lm.embed(batch.ids), batch.mask)
    together = float(llm.TextLoss()(lm, hidden, batch)) * 9  # four items of two tokens, and the end
    apart = 0.0
    for n in range(4):
        asked = encoder.encode_many([speaker.next_item(sequence[:n])], targets=[speaker.indices(sequence[n : n + 1])])
        ids = torch.tensor([asked[0].ids])
        logits = lm.base(ids).logits[0].float().log_softmax(-1)
        apart -= sum(float(logits[i - 1, ids[0, i]]) for i in (-3, -2))
    logits = lm.base(batch.ids).logits[0].float().log_softmax(-1)
    assert together == pytest.approx(apart - float(logits[-2, batch.ids[0, -1]]), abs=1e-3)


def test_a_title_that_spells_a_token_stays_text_in_questions_and_answers(lm, catalogue):
    lm.tokenizer.add_tokens(["<a_0>", "<b_1>"])
    encoder = llm.Encoder(lm.tokenizer, "plain")
    titles = [*catalogue.titles[:1], "The <a_0> File", *catalogue.titles[2:]]
    speaker = Speaker(Catalogue(titles, catalogue.descriptions, catalogue.attributes, WORDS), 4)
    token = lm.tokenizer.convert_tokens_to_ids("<a_0>")
    asked = speaker.ask("Title: {title}. Index: ", item=1)
    assert token not in encoder.encode(asked).ids
    said = encoder.encode_many([asked, asked], targets=[speaker.answer(" {title}", item=1), speaker.indices([1])])
    assert token not in said[0].ids and token in said[1].ids


def test_attributes_are_the_words_of_all_columns_of_text():
    items = pd.DataFrame(
        {
            "external_id": ["x"],
            "title": ["T"],
            "categories": ["Office, Paper | Office"],
            "brand": [" Acme "],
            "year": [7],
        }
    )
    assert attributes(items) == [("Office", "Paper", "Acme")]


def test_intentions_and_preferences_come_from_the_items_own_words(catalogue):
    assert catalogue.intention(4) == "kind 1, drama"
    assert catalogue.preference([1, 4, 2]).startswith("drama, kind 1")
    nothing = Catalogue(catalogue.titles, catalogue.descriptions, [()] * 10, WORDS)
    assert nothing.intention(3) == "Film 3" and nothing.preference([1, 2]) == ""
    rng = np.random.default_rng(0)
    silent = Mixture(Speaker(nothing, 4), [[1, 2, 3]], TASKS, seed=0)
    assert not silent._of("preference", rng) and len(silent._of("search", rng)) == 9


def test_reviews_of_train_become_intentions_and_those_of_test_are_never_read(speaker):
    ring = benches.ring()
    written = pd.concat([part.assign(text=f"wrote this in {name} once more") for name in ("train", "valid", "test")
                         for part in [ring.split(name)[["user_id", "item_id"]]]], ignore_index=True)  # fmt: skip
    spelled = [*WORDS, "<a_9><b_0>", "<a_9><b_1>", "<a_9><b_2>"]
    known = Catalogue.of(dataclasses.replace(ring, reviews=written), spelled, 4)
    assert {text for texts in known.reviews.values() for text in texts} == {"wrote this in train"}
    asked = [e.prompt.text for e in Mixture(Speaker(known, 4), [[1, 2, 3]] * 9, ["sequence", "search"], 0).examples(0)]
    told = sum("wrote this in train" in text for text in asked)
    assert 0 < told < len(known.items) and Catalogue.of(ring, known.words).reviews == {}
