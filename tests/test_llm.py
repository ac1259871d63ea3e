import warnings
from types import SimpleNamespace

import numpy as np
import peft
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from sellarec_lab import config, data, llm, prompts
from sellarec_lab.llm import examples
from sellarec_lab.prompts import TEMPLATES, Prompt, Slot, Text

TITLES = ["", *(f"Film number {i}" for i in range(16))]


def make(item=3, history=(1, 2), slots=()):
    return prompts.Writer(TEMPLATES["tiny"], TITLES, slots).write(1, item, history)


@pytest.fixture
def encoder(lm):
    return llm.Encoder(lm.tokenizer, "plain")


@pytest.fixture
def soft(lm):
    table = torch.nn.Embedding(64, lm.width)
    return lambda kind, ids, bag: table(list(prompts.KINDS).index(kind) * 17 + ids).detach()


def test_a_saved_tokenizer_cuts_text_as_it_did_in_training(lm_folder, tmp_path):
    trained = llm.train_tokenizer(["Heat (1995), Clueless (1995)"] * 9, 400)
    for file in lm_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    trained.save_pretrained(tmp_path)
    loaded = llm.load(config.BackboneConfig(name=str(tmp_path))).tokenizer
    assert loaded.tokenize("Heat (1995)") == trained.tokenize("Heat (1995)") and "1995" in loaded.tokenize("(1995)")


def test_text_prompts_are_tokenised_like_plain_text(lm, encoder):
    prompt = make()
    assert encoder.encode(prompt).ids == lm.tokenizer(prompt.text)["input_ids"]


def test_slots_stand_where_they_are_shown(encoder):
    prompt = make(slots=("user", "item", "warm"))
    encoded = encoder.encode(prompt)
    shown = encoder.shown(encoded)
    assert "".join(shown) == prompt.text
    assert [shown[p] for p, _ in encoded.slots] == ["<User_ID>", "<Item_ID>", "<Warm_ID>"]


def test_spans_cover_their_segments(encoder):
    prompt = make(slots=("user",))
    encoded = encoder.encode(prompt)
    shown = encoder.shown(encoded)
    for segment, (start, end) in zip(prompt.segments, encoded.spans, strict=True):
        if isinstance(segment, Text) and segment.role != "frame":
            assert "".join(shown[start:end]).strip() == segment.text
        if isinstance(segment, Slot):
            assert shown[start:end] == ["<User_ID>"]


def test_two_stretches_do_not_spell_a_special_token_together(lm, encoder):
    special = max(lm.tokenizer.all_special_tokens, key=len)
    number = lm.tokenizer.convert_tokens_to_ids(special)
    for cut in range(1, len(special)):
        parts = Text("Film ", "title", 1), Text(special[:cut], "title", 1), Text(special[cut:], "title", 2)
        encoded = encoder.encode(Prompt(parts, "", ("Yes", "No"), 1, 1))
        assert number not in encoded.ids[1:], cut
        assert "\u200b" in lm.tokenizer.decode(encoded.ids)


def test_a_title_that_spells_a_special_token_stays_text(lm, encoder):
    end = lm.tokenizer.eos_token
    prompt = Prompt((Text(f"Film {end} 2"),), "", ("Yes", "No"), 1, 1)
    assert lm.tokenizer.eos_token_id not in encoder.encode(prompt).ids


def test_answer_tokens_decode_to_the_answers(lm, encoder):
    yes, no = encoder.answer_ids(make())
    assert (lm.tokenizer.decode([yes]), lm.tokenizer.decode([no])) == (" Yes", " No")


def test_answers_with_one_first_token_are_refused(encoder):
    same = Prompt(make().segments, "", ("Film one", "Film two"), 1, 1)
    with pytest.raises(ValueError, match="share their first token"):
        encoder.answer_ids(same)


def test_scores_equal_the_plain_model_one_by_one(lm, encoder):
    many = [make(i, tuple(range(1, 1 + i % 5))) for i in range(1, 12)]
    answers = encoder.answer_ids(many[0])
    scores = llm.score(lm, encoder, many, answers, batch_size=4)
    for prompt, score in zip(many, scores, strict=True):
        ids = torch.tensor([lm.tokenizer(prompt.text)["input_ids"]])
        logits = lm.model(input_ids=ids).logits[0, -1]
        assert float(logits[answers[0]] - logits[answers[1]]) == pytest.approx(float(score), abs=1e-5)


def test_splice_puts_exactly_the_projectors_vectors_into_the_slots(lm, encoder, soft):
    many = [make(i, (1,), ("user", "item")) for i in (2, 3)]
    batch = encoder.collate(encoder.encode_many(many))
    spliced = llm.splice(lm, batch, soft)
    kept = torch.ones(batch.ids.shape, dtype=torch.bool)
    assert set(batch.slots) == {"user", "item"}
    for kind, slots in batch.slots.items():
        assert torch.equal(spliced[slots.row, slots.column], soft(kind, slots.id, slots.bag))
        kept[slots.row, slots.column] = False
    assert torch.equal(spliced[kept], lm.embed(batch.ids)[kept])


def test_slots_without_a_projector_are_refused(lm, encoder):
    batch = encoder.collate(encoder.encode_many([make(slots=("user",))]))
    with pytest.raises(ValueError, match="no projector"):
        llm.splice(lm, batch, None)


def test_soft_tokens_of_another_width_are_refused(lm, encoder):
    batch = encoder.collate(encoder.encode_many([make(slots=("user",))]))
    with pytest.raises(ValueError, match=r"\(1, 5\).*\(1, 64\)"):
        llm.splice(lm, batch, lambda kind, ids, bag: torch.zeros(len(ids), 5))


@pytest.mark.parametrize("slots", [(), ("user", "item", "warm")])
def test_the_shared_prefix_gives_the_same_scores(lm, encoder, soft, slots):
    many = [make(i, (1, 2, 3), slots) for i in range(4, 16)]
    answers = encoder.answer_ids(many[0])
    one_by_one = llm.score(lm, encoder, many, answers, soft)
    shared = llm.score_shared(lm, encoder, many, answers, soft, batch_size=5)
    assert shared == pytest.approx(one_by_one, abs=1e-5)


@pytest.mark.parametrize("score", [llm.score, llm.score_shared])
def test_prompts_that_the_model_cannot_read_are_refused(lm, encoder, score):
    most = lm.base.config.max_position_embeddings
    long = prompts.Writer(TEMPLATES["tiny"], ["", "Film " * most, *TITLES[2:]])
    many = [long.write(1, i, (1, 2)) for i in (3, 4, 5)]
    with pytest.raises(ValueError, match=rf"a prompt of \d+ tokens, but .* reads at most {most}; show fewer titles"):
        score(lm, encoder, many, encoder.answer_ids(many[0]))


@pytest.mark.parametrize("score", [llm.score, llm.score_shared])
def test_scores_that_are_not_finite_are_refused(lm, encoder, score):
    many = [make(i, (1, 2), ("item",)) for i in range(3, 7)]

    def broken(kind, ids, bag):
        return torch.where(ids == 5, torch.nan, 0.1)[:, None].expand(-1, lm.width)

    with pytest.raises(FloatingPointError, match=r"1 of 4 scores are not finite; set dtype='float32'"):
        score(lm, encoder, many, encoder.answer_ids(many[0]), broken)


def test_a_row_that_differs_early_costs_the_others_nothing(lm, encoder, soft):
    """Items of the history leave it when they are asked about; the others still share their long beginning."""
    history = (1, 2, 3, 4, 5, 6)
    many = [make(i, history, ("user", "item", "warm")) for i in range(1, 17)]
    encoded = encoder.encode_many(many)
    groups = llm.alike(encoded)
    assert sorted(i for rows, _ in groups for i in rows) == list(range(16))
    rows, shared = max(groups, key=lambda g: len(g[0]))
    assert set(rows) >= set(range(6, 16)) and shared >= 30
    scores = llm.score_shared(lm, encoder, many, encoder.answer_ids(many[0]), soft)
    assert scores == pytest.approx(llm.score(lm, encoder, many, encoder.answer_ids(many[0]), soft), abs=1e-5)


def test_prompts_that_differ_in_one_soft_token_alone_share_what_stands_before_it(encoder):
    writer = prompts.Writer(TEMPLATES["tiny"], TITLES, ("user", "item"))
    many = [writer.write(user, 5, (1, 2, 3)) for user in (1, 2, 3)]
    ((rows, shared),) = llm.alike(encoder.encode_many(many))
    assert sorted(rows) == [0, 1, 2] and shared == encoder.encode(many[0]).slots[0][0]


def test_padding_does_not_change_a_score(lm, encoder):
    many = [make(3, ()), make(4, tuple(range(1, 16)))]
    answers = encoder.answer_ids(many[0])
    alone = llm.score(lm, encoder, many[:1], answers)
    assert llm.score(lm, encoder, many, answers)[0] == pytest.approx(alone[0], abs=1e-6)


def test_nf4_layers_are_real_and_scores_stay_close(lm_folder, lm, encoder):
    small = llm.load(config.BackboneConfig(name=str(lm_folder), quantisation="nf4"))
    assert llm.quantised_layers(small.model) == 14  # 7 a layer
    weight = small.model.model.layers[0].mlp.up_proj.weight
    assert weight.dtype == torch.uint8
    assert weight.quant_state.quant_type == "nf4" and weight.quant_state.nested
    assert "works on" in str(llm.load(config.BackboneConfig(name=str(lm_folder))).decisions["quantisation"])


def test_scores_before_and_after_training_mode_are_the_same_in_4_bits(lm_folder, encoder):
    small = llm.load(config.BackboneConfig(name=str(lm_folder), quantisation="nf4"))
    answers = encoder.answer_ids(make())
    first = llm.score(small, encoder, [make()], answers)
    small.model.train()
    batch = encoder.collate([encoder.encode(make())])
    assert torch.isfinite(llm.last_hidden(small, batch, None)).all()
    assert llm.score(small, encoder, [make()], answers) == pytest.approx(first, abs=0)


def test_the_adapter_loads_with_plain_peft(lm_folder, lm, encoder, tmp_path):
    llm.attach(lm, config.LoraConfig(r=4))
    for parameter in llm.adapter_parameters(lm).values():
        torch.nn.init.normal_(parameter, std=0.1)
    llm.save_adapter(lm, tmp_path / "adapter")
    ids = torch.tensor([encoder.encode(make()).ids])
    plain = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(lm_folder), str(tmp_path / "adapter"))
    assert torch.allclose(plain(input_ids=ids).logits, lm.model.eval()(input_ids=ids).logits, atol=1e-5)


def test_an_adapter_that_does_not_fit_is_refused(lm_folder, lm, tmp_path):
    llm.attach(lm, config.LoraConfig(r=4, targets=("q_proj",)))
    llm.save_adapter(lm, tmp_path / "adapter")
    state = peft.utils.load_peft_weights(str(tmp_path / "adapter"))
    save_file({k: v for i, (k, v) in enumerate(state.items()) if i}, tmp_path / "adapter" / "adapter_model.safetensors")
    fresh = llm.load(config.BackboneConfig(name=str(lm_folder), quantisation="none"))
    with pytest.raises(ValueError, match="does not fit"):
        llm.load_adapter(fresh, str(tmp_path / "adapter"))


def test_answer_loss_equals_cross_entropy_of_the_whole_model(lm, encoder):
    many = [make(3), make(4, (1,))]
    answers = encoder.answer_ids(many[0])
    batch = encoder.collate(encoder.encode_many(many), [1, 0])
    loss = llm.Objective(lm, [llm.AnswerLoss(answers)])(batch)
    logits = lm.model(input_ids=batch.ids, attention_mask=batch.mask).logits
    expected = torch.nn.functional.cross_entropy(logits[torch.arange(2), batch.last], torch.tensor(answers))
    assert float(loss) == pytest.approx(float(expected), abs=1e-5)


def test_whole_prompt_loss_equals_the_models_own_loss(lm, encoder):
    prompt = make(3)
    answers = encoder.answer_ids(prompt)
    loss = llm.Objective(lm, [llm.AnswerLoss(answers, whole=True)])(encoder.collate(encoder.encode_many([prompt]), [1]))
    ids = torch.tensor([[*encoder.encode(prompt).ids, answers[0]]])
    assert float(loss) == pytest.approx(float(lm.model(input_ids=ids, labels=ids).loss), abs=1e-5)


def test_chat_templates_are_the_tokenizers_own(lm):
    lm.tokenizer.chat_template = (
        "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}[/]{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    chat = llm.Encoder(lm.tokenizer, "chat")
    prompt = prompts.Writer(TEMPLATES["paper"], TITLES, ("user", "item", "warm")).write(1, 3, (1, 2))
    text = "".join(chat.shown(chat.encode(prompt)))
    assert text == f"[system]{prompt.system}[/][user]{prompt.text}[/][assistant]"
    yes, no = chat.answer_ids(prompt)
    assert yes != no and "Yes".startswith(lm.tokenizer.decode([yes]))


def test_memory_is_estimated_before_loading(lm_folder, monkeypatch):
    from sellarec_lab.llm import backbone

    monkeypatch.setattr(backbone, "_available", lambda on: 0.0)
    with pytest.raises(MemoryError, match="GiB are free"):
        llm.load(config.BackboneConfig(name=str(lm_folder)))


def test_no_token_is_added_to_the_vocabulary(lm, encoder, soft):
    before = len(lm.tokenizer)
    llm.score(lm, encoder, [make(slots=("user", "item"))], encoder.answer_ids(make()), soft)
    assert len(lm.tokenizer) == before == lm.model.get_input_embeddings().weight.shape[0]


def test_examples_are_encoded_as_they_are_needed_in_the_order_of_their_lengths(encoder, monkeypatch):
    many = [make(i, tuple(range(1, 1 + i % 5))) for i in range(1, 17)]
    kept = llm.Examples(many, np.arange(16) % 2).batches(encoder, 4, seed=0)
    monkeypatch.setattr(examples, "_KEPT", 0)
    lazy = llm.Examples(many, np.arange(16) % 2).batches(encoder, 4, seed=0)
    for epoch in (0, 1):
        a, b = kept(epoch), lazy(epoch)
        assert sorted(i for rows in a.rows for i in rows) == list(range(16))
        for rows, other in zip(a.rows, b.rows, strict=True):
            assert (rows == other).all()
            assert torch.equal(a.make(rows).ids, b.make(other).ids)
            assert torch.equal(a.make(rows).labels, torch.as_tensor(rows % 2).float())
    assert [list(r) for r in kept(0).rows] != [list(r) for r in kept(1).rows]


# ---- target texts, and words that a system adds


def test_the_loss_on_target_texts_is_the_models_own(lm, encoder):
    many, texts = [make(3), make(4, (1, 2))], [" Film number 7", " Yes"]
    batch = encoder.collate(encoder.encode_many(many, targets=texts))
    loss = llm.Objective(lm, [llm.TextLoss()])(batch)
    labels = batch.ids.clone()
    for row, (prompt, text) in enumerate(zip(many, texts)):
        start = len(lm.tokenizer(prompt.text)["input_ids"])
        end = start + len(lm.tokenizer(text)["input_ids"]) + 1  # the end token too
        assert batch.ids[row, end - 1] == lm.tokenizer.eos_token_id
        labels[row, :start] = labels[row, end:] = -100
    expected = lm.model(input_ids=batch.ids, attention_mask=batch.mask, labels=labels).loss
    assert float(loss) == pytest.approx(float(expected), abs=1e-5)


def test_fine_tuning_learns_any_examples(lm):
    lm.base.get_input_embeddings().weight.data *= 20  # so small a random model can say nothing clearly otherwise
    llm.attach(lm, config.LoraConfig(r=8, dropout=0.0))
    many, texts = [make(i) for i in range(1, 9)], [f" Film number {9 - i}" for i in range(1, 9)]
    loop = config.LoopConfig(learning_rate=1e-2, batch_size=8, epochs=120)
    history = llm.finetune(lm, llm.Examples(many, targets=texts), [llm.TextLoss()], loop, label="titles")
    assert history.records[-1]["loss"] < 0.7 * history.records[0]["loss"]


def test_declared_words_pass_and_titles_that_spell_them_stay_text(lm):
    llm.attach(lm, config.LoraConfig(r=2), words=["<a_12>"])
    encoder, new = llm.Encoder(lm.tokenizer, "plain"), lm.tokenizer.convert_tokens_to_ids("<a_12>")
    declared = Prompt((Text("next: "), Text("<a_12>", "token")), "", ("Yes", "No"), 1, 1)
    title = Prompt((Text("next: "), Text("<a_12>", "title")), "", ("Yes", "No"), 1, 1)
    assert encoder.encode(declared).ids[-1] == new and new not in encoder.encode(title).ids


def test_an_adapter_with_new_words_is_saved_loaded_and_unfrozen_whole(lm_folder, lm, tmp_path):
    words, before = ["<a_1>", "<b_2>"], lm.word_embeddings.clone()
    llm.attach(lm, config.LoraConfig(r=2, dropout=0.0), words=words)
    many = [Prompt((Text("<a_1>", "token"), Text(" Film")), "", ("Yes", "No"), 1, 1)] * 4
    loop = config.LoopConfig(learning_rate=0.05, batch_size=4, epochs=3)
    llm.finetune(lm, llm.Examples(many, targets=["<b_2>"] * 4), [llm.TextLoss()], loop, label="words")
    llm.save_adapter(lm, tmp_path / "adapter")
    fresh = llm.load(config.BackboneConfig(name=str(lm_folder), quantisation="none"))
    llm.load_adapter(fresh, tmp_path / "adapter")
    ids = torch.tensor([fresh.tokenizer("<a_1> Film<b_2>")["input_ids"]])
    assert ids[0, 0] == len(before)  # the first new row
    assert torch.allclose(fresh.model.eval()(input_ids=ids).logits, lm.model.eval()(input_ids=ids).logits, atol=1e-5)
    llm.set_trainable(fresh, True)
    assert any("trainable_tokens" in name for name in llm.adapter_parameters(fresh))
    trained = {n for n, p in fresh.model.named_parameters() if p.requires_grad}
    assert trained == set(llm.adapter_parameters(fresh))
    size = sum(file.stat().st_size for file in (tmp_path / "adapter").glob("*.safetensors"))
    assert size < 4 * before.numel()  # new rows alone, not the whole table


def test_words_that_the_vocabulary_holds_are_refused(lm):
    known = lm.tokenizer.convert_ids_to_tokens(300)
    with pytest.raises(ValueError, match=r"holds .* already"):
        llm.attach(lm, config.LoraConfig(), words=["<a_1>", known])


def test_a_model_that_has_not_read_the_catalogue_says_so(toy):
    with pytest.warns(UserWarning, match=r"16 of the 16 titles of 'toy' are none of them.*preset 'own'"):
        llm.ready(config.preset("tiny"), toy)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        llm.ready(config.preset("tiny"), data.load("tiny"))


def test_the_loss_on_genres_by_hand(lm):
    torch.manual_seed(0)
    liked = torch.tensor([[0.0, 0.0], [1.0, 0.25], [0.0, 0.0], [0.5, 0.0]])
    loss, hidden = llm.GenreLoss((3, 4), 0.5, liked, lm.width), torch.randn(3, 5, lm.width, requires_grad=True)
    last = torch.tensor([4, 2, 3])
    batch = SimpleNamespace(row=torch.arange(3), last=last, group=torch.tensor([3, 2, 1]))  # user 2 is not asked
    states = hidden[torch.arange(3), last]
    p = lm.answer_logits(states, (3, 4)).softmax(-1)
    entropy = -(p * p.log()).sum(-1)
    told = torch.stack([liked[3], liked[1]])
    asked = loss.genres(states[[0, 2]]).sigmoid()
    cross = -(told * asked.log() + (1 - told) * (1 - asked).log()).mean()
    found = loss(lm, hidden, batch)
    assert found.item() == pytest.approx((0.5 * entropy.square().mean().sqrt() * cross).item(), abs=1e-6)
    found.backward()
    assert hidden.grad[1].abs().sum() == 0 and hidden.grad[0, 4].abs().sum() > 0  # none through the entropy
    assert loss.genres.weight.grad.abs().sum() > 0
    nobody = SimpleNamespace(row=torch.arange(3), last=last, group=torch.tensor([2, 0, 2]))
    assert float(loss(lm, hidden, nobody)) == 0.0


def test_a_loss_with_outputs_of_its_own_trains_them(lm):
    loss = llm.GenreLoss((3, 4), 1.0, torch.ones(2, 3), lm.width)
    names = {name for name, _ in llm.Objective(lm, [llm.AnswerLoss((3, 4)), loss]).named_parameters()}
    assert {"heads.0.genres.weight", "heads.0.genres.bias"} <= names
