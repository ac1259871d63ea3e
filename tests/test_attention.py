"""A prediction taken apart: what is shown is what was embedded, parts left out, and where the model looks."""

import numpy as np
import pytest
import torch

from sellarec_lab import llm, prompts
from sellarec_lab.sella import Recommender
from sellarec_lab.sella.explanation import Attention


def embedded(model: Recommender, prompt: prompts.Prompt) -> torch.Tensor:
    """What enters the language model while this prompt is scored, [L, width]."""
    seen = []

    def note(module, args, kwargs):
        seen.append(kwargs["inputs_embeds"].detach())

    handle = model.lm.base.base_model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        model.score_prompts([prompt])
    finally:
        handle.remove()
    return seen[0][0]


@pytest.mark.parametrize("name", ["sella", "sella-taste", "soft-prompt"])
def test_what_is_shown_is_what_is_embedded(untrained, name):
    model = untrained(name)
    e = model.explain(3, 5)
    entered = embedded(model, e.prompt)
    soft = {p: s for p, s in model.encoder.encode(e.prompt).slots}
    assert {p for places in e.positions.values() for p in places} == set(soft)
    assert len(e.ids) == len(e.tokens) == len(entered)
    words = [p for p in range(len(e.ids)) if p not in soft]
    assert torch.equal(entered[words], model.lm.embed(torch.tensor([e.ids]))[0, words])
    assert [e.tokens[p] for p in words] == [model.lm.tokenizer.decode([e.ids[p]]) for p in words]
    for position, slot in soft.items():
        filled = model.projector(slot.kind, torch.tensor([slot.id]), torch.tensor([slot.items]))[0]
        torch.testing.assert_close(entered[position], filled)
        assert e.tokens[position] == prompts.KINDS[slot.kind].shown


def test_several_tokens_of_one_kind(untrained):
    e = untrained("soft-prompt").explain(3, 5)
    assert e.positions["prompt"] == tuple(range(e.slots["prompt"], e.slots["prompt"] + 8))
    assert list(e.without) == ["prompt"] and e.without["prompt"] != e.score


def test_answers_are_read_off_the_whole_vocabulary(untrained):
    model = untrained("sella")
    e = model.explain(3, 5)
    ids = torch.tensor([e.ids])
    assert [a.id for a in e.answers] == list(model.answer_ids)
    assert [a.text.strip() for a in e.answers] == ["Yes", "No"]
    assert e.answers[0].logit - e.answers[1].logit == pytest.approx(e.score, abs=1e-5)
    yes, no = (a.probability for a in e.answers)
    assert yes / (yes + no) == pytest.approx(e.probability, abs=1e-5) and yes + no < 1
    text_only = untrained("tallrec").explain(3, 5)
    ids = torch.tensor([text_only.ids])
    expected = model.lm.model(input_ids=ids).logits[0, -1].float().softmax(0)[list(model.answer_ids)]
    assert [a.probability for a in text_only.answers] == pytest.approx(expected.tolist(), rel=1e-4)


def test_each_title_is_left_out_once(untrained):
    model = untrained("sella")
    history = [2, 5, 7, 9]  # 5 is the one asked for, so it is not shown
    e = model.explain(3, 5, history)
    assert [(t.item_id, t.title) for t in e.without_titles] == [(i, model.profiles.titles[i]) for i in (2, 7, 9)]
    for left_out, rest in zip(e.without_titles, ([7, 9], [2, 9], [2, 7])):
        alone = model.score_prompts([model.prompt(3, 5, rest)])[0]
        assert left_out.score == pytest.approx(alone, abs=1e-5) and left_out.score != e.score
    assert model.explain(3, 5, []).without_titles == []
    assert all(html in e._repr_html_() for html in ("without &lt;User_ID&gt;", f"without {model.profiles.titles[9]}"))


def test_a_cut_history_stays_cut(untrained):
    """Leaving a shown title out must not pull an older one in."""
    model = untrained("sella")
    longest = model.prompt_config.history
    many = [i for i in range(1, 17) if i != 5]
    e = model.explain(3, 5, many)
    assert [t.item_id for t in e.without_titles] == many[-longest:]
    alone = model.score_prompts([model.prompt(3, 5, many[-longest:][1:])])[0]
    assert e.without_titles[0].score == pytest.approx(alone, abs=1e-5)


def test_attention_of_every_head_sums_to_one_and_leaves_scores_alone(untrained):
    model = untrained("sella")
    prompt = model.prompt(3, 5)
    before = model.score_prompts([prompt])[0]
    usual = model.lm.base.config._attn_implementation
    found = model.attention(prompt)
    assert isinstance(found, Attention)
    assert found.weights.shape == (2, 2, len(found.tokens)) and found.weights.dtype == np.float32
    np.testing.assert_allclose(found.weights.sum(-1), 1, atol=1e-5)
    assert found.weights.std() > 0
    assert model.score_prompts([prompt])[0] == before
    assert model.lm.base.config._attn_implementation == usual != "eager"


def test_attention_is_the_last_row_of_the_model_s_own_maps(untrained):
    model = untrained("tallrec")
    prompt = model.prompt(3, 5)
    ids = torch.tensor([model.encoder.encode(prompt).ids])
    model.lm.base.set_attn_implementation("eager")
    maps = model.lm.base(input_ids=ids, output_attentions=True).attentions
    model.lm.base.set_attn_implementation("sdpa")
    expected = torch.stack([m[0, :, -1] for m in maps])
    np.testing.assert_allclose(model.attention(prompt).weights, expected.detach().numpy(), atol=1e-6)


def test_the_usual_attention_is_back_after_an_error(untrained):
    model = untrained("sella")
    encoded = model.encoder.encode(model.prompt(3, 5))
    usual = model.lm.base.config._attn_implementation
    with pytest.raises(ValueError, match="no projector to fill them"):
        llm.last_attention(model.lm, model.encoder, encoded, None)
    assert model.lm.base.config._attn_implementation == usual


def test_a_backbone_without_weights_is_refused(untrained, monkeypatch):
    model = untrained("tallrec")
    encoded = model.encoder.encode(model.prompt(3, 5))
    forward = type(model.lm.base.base_model).forward

    def mute(*args, **kwargs):
        out = forward(*args, **kwargs)
        out.attentions = (None, out.attentions[1])
        return out

    monkeypatch.setattr(type(model.lm.base.base_model), "forward", mute)
    with pytest.raises(ValueError, match=r"layers \[0\] of 2 give no attention"):
        llm.last_attention(model.lm, model.encoder, encoded)


def test_spans_name_the_segments(untrained):
    model = untrained("sella")
    prompt = model.prompt(3, 5, [2, 7])
    found = model.attention(prompt)
    kinds = [s.kind for s in found.spans]
    assert [s.name for s in found.spans if s.kind == "history"] == [model.profiles.titles[i] for i in (2, 7)]
    assert {"user", "item", "warm", "title", "frame"} <= set(kinds)
    for span in found.spans:
        text = "".join(found.tokens[span.first : span.end])
        assert span.name.strip() in text or text.strip() in span.name
