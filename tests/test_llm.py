import peft
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from sellarec_lab import config, llm, prompts
from sellarec_lab.prompts import TEMPLATES, Prompt, Slot, Text

TITLES = ["", *(f"Film number {i}" for i in range(16))]


def make(item=3, history=(1, 2), slots=()):
    return prompts.build(TEMPLATES["tiny"], TITLES, 1, item, history, slots)


@pytest.fixture
def encoder(lm):
    return llm.Encoder(lm.tokenizer, "plain")


@pytest.fixture
def soft(lm):
    table = torch.nn.Embedding(64, lm.width)
    return lambda kind, ids, bag: table(kind * 17 + ids).detach()


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


def test_a_title_that_spells_a_special_token_stays_text(lm, encoder):
    end = lm.tokenizer.eos_token
    prompt = Prompt((Text(f"Film {end} 2"),), "", ("Yes", "No"), 1, 1)
    assert lm.tokenizer.eos_token_id not in encoder.encode(prompt).ids


def test_answer_tokens_decode_to_the_answers(lm, encoder):
    yes, no = encoder.answers(make())
    assert (lm.tokenizer.decode([yes]), lm.tokenizer.decode([no])) == (" Yes", " No")


def test_answers_with_one_first_token_are_refused(encoder):
    same = Prompt(make().segments, "", ("Film one", "Film two"), 1, 1)
    with pytest.raises(ValueError, match="share their first token"):
        encoder.answers(same)


def test_scores_equal_the_plain_model_one_by_one(lm, encoder):
    many = [make(i, tuple(range(1, 1 + i % 5))) for i in range(1, 12)]
    answers = encoder.answers(many[0])
    scores = llm.score(lm, encoder, encoder.encode_many(many), answers, batch_size=4)
    for prompt, score in zip(many, scores, strict=True):
        ids = torch.tensor([lm.tokenizer(prompt.text)["input_ids"]])
        logits = lm.model(input_ids=ids).logits[0, -1]
        assert float(logits[answers[0]] - logits[answers[1]]) == pytest.approx(float(score), abs=1e-5)


def test_splice_puts_exactly_the_projectors_vectors_into_the_slots(lm, encoder, soft):
    many = [make(i, (1,), ("user", "item")) for i in (2, 3)]
    batch = encoder.collate(encoder.encode_many(many))
    spliced = llm.splice(lm, batch, soft)
    assert torch.equal(spliced[batch.row, batch.column], soft(batch.kind, batch.id, batch.bag))
    kept = torch.ones(batch.ids.shape, dtype=torch.bool)
    kept[batch.row, batch.column] = False
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
    encoded, answers = encoder.encode_many(many), encoder.answers(many[0])
    one_by_one = llm.score(lm, encoder, encoded, answers, soft)
    shared = llm.score_shared(lm, encoder, encoded, answers, soft, batch_size=5)
    assert shared == pytest.approx(one_by_one, abs=1e-5)


@pytest.mark.parametrize("score", [llm.score, llm.score_shared])
def test_scores_that_are_not_finite_are_refused(lm, encoder, score):
    many = [make(i, (1, 2), ("item",)) for i in range(3, 7)]

    def broken(kind, ids, bag):
        return torch.where(ids == 5, torch.nan, 0.1)[:, None].expand(-1, lm.width)

    with pytest.raises(FloatingPointError, match=r"1 of 4 scores are not finite; set dtype='float32'"):
        score(lm, encoder, encoder.encode_many(many), encoder.answers(many[0]), broken)


def test_padding_does_not_change_a_score(lm, encoder):
    many = [make(3, ()), make(4, tuple(range(1, 16)))]
    encoded, answers = encoder.encode_many(many), encoder.answers(many[0])
    alone = llm.score(lm, encoder, encoded[:1], answers)
    assert llm.score(lm, encoder, encoded, answers)[0] == pytest.approx(alone[0], abs=1e-6)


def test_nf4_layers_are_real_and_scores_stay_close(lm_folder, lm, encoder):
    small = llm.load(config.BackboneConfig(name=str(lm_folder), quantisation="nf4"))
    assert llm.quantised_layers(small.model) == 14  # 7 a layer
    weight = small.model.model.layers[0].mlp.up_proj.weight
    assert weight.dtype == torch.uint8
    assert weight.quant_state.quant_type == "nf4" and weight.quant_state.nested
    assert "works on" in str(llm.load(config.BackboneConfig(name=str(lm_folder))).decisions["quantisation"])


def test_scores_before_and_after_training_mode_are_the_same_in_4_bits(lm_folder, encoder):
    small = llm.load(config.BackboneConfig(name=str(lm_folder), quantisation="nf4"))
    encoded, answers = encoder.encode_many([make()]), encoder.answers(make())
    first = llm.score(small, encoder, encoded, answers)
    small.model.train()
    batch = encoder.collate(encoded)
    assert torch.isfinite(llm.last_hidden(small, batch, None)).all()
    assert llm.score(small, encoder, encoded, answers) == pytest.approx(first, abs=0)


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
        llm.load_adapter(fresh, tmp_path / "adapter")


def test_answer_loss_equals_cross_entropy_of_the_whole_model(lm, encoder):
    many = [make(3), make(4, (1,))]
    answers = encoder.answers(many[0])
    batch = encoder.collate(encoder.encode_many(many), [1, 0])
    loss = llm.AnswerLoss(lm, answers)(batch)
    logits = lm.model(input_ids=batch.ids, attention_mask=batch.mask).logits
    expected = torch.nn.functional.cross_entropy(logits[torch.arange(2), batch.last], torch.tensor(answers))
    assert float(loss) == pytest.approx(float(expected), abs=1e-5)


def test_whole_prompt_loss_equals_the_models_own_loss(lm, encoder):
    prompt = make(3)
    answers = encoder.answers(prompt)
    loss = llm.AnswerLoss(lm, answers, whole=True)(encoder.collate(encoder.encode_many([prompt]), [1]))
    ids = torch.tensor([[*encoder.encode(prompt).ids, answers[0]]])
    assert float(loss) == pytest.approx(float(lm.model(input_ids=ids, labels=ids).loss), abs=1e-5)


def test_chat_templates_are_the_tokenizers_own(lm):
    lm.tokenizer.chat_template = (
        "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}[/]{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    chat = llm.Encoder(lm.tokenizer, "chat")
    prompt = prompts.build(TEMPLATES["paper"], TITLES, 1, 3, (1, 2), ("user", "item", "warm"))
    text = "".join(chat.shown(chat.encode(prompt)))
    assert text == f"[system]{prompt.system}[/][user]{prompt.text}[/][assistant]"
    yes, no = chat.answers(prompt)
    assert yes != no and "Yes".startswith(lm.tokenizer.decode([yes]))


def test_memory_is_estimated_before_loading(lm_folder, monkeypatch):
    from sellarec_lab.llm import backbone

    monkeypatch.setattr(backbone, "_available", lambda on: 0.0)
    with pytest.raises(MemoryError, match="GiB are free"):
        llm.load(config.BackboneConfig(name=str(lm_folder)))


def test_no_token_is_added_to_the_vocabulary(lm, encoder, soft):
    before = len(lm.tokenizer)
    llm.score(lm, encoder, encoder.encode_many([make(slots=("user", "item"))]), encoder.answers(make()), soft)
    assert len(lm.tokenizer) == before == lm.model.get_input_embeddings().weight.shape[0]
