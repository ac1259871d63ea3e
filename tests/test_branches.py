"""Prompts as branches of one sequence: the same states, losses and gradients as each alone; older histories."""

from __future__ import annotations

from itertools import takewhile

import numpy as np
import pandas as pd
import pytest
import torch

from sellarec_lab import config, llm, prompts, sella
from sellarec_lab.llm import branches
from sellarec_lab.llm.losses import AnswerLoss, Objective, PairLoss
from sellarec_lab.prompts import TEMPLATES

TITLES = ["", *(f"Film number {i}" for i in range(16))]
FAMILIES = np.array([0, 1, 0, 2, 1, 0, 3, 1])


def rows(slots=()) -> list[prompts.Prompt]:
    """Eight prompts of four histories; the last of the third family is longer than others are whole."""
    writer, histories = prompts.Writer(TEMPLATES["tiny"], TITLES, slots), [(1, 2), (3,), (), tuple(range(4, 12))]
    return [writer.write(int(f) + 1, 5 + i, histories[f]) for i, f in enumerate(FAMILIES)]


@pytest.fixture
def soft(lm):
    torch.manual_seed(1)
    table = torch.nn.Embedding(64, lm.width).to(lm.device)
    return lambda kind, ids, bag: table(list(prompts.KINDS).index(kind) * 17 + ids)


@pytest.fixture
def encoder(lm):
    return llm.Encoder(lm.tokenizer, "plain")


@pytest.mark.parametrize("slots", [(), ("user", "item", "warm")])
@pytest.mark.parametrize("families", [FAMILIES, np.zeros(8, dtype=int), np.arange(8)])
def test_branches_give_the_states_of_prompts_alone(lm, encoder, soft, slots, families) -> None:
    encoded = encoder.encode_many(rows(slots))
    alone = llm.last_hidden(lm, encoder.collate(encoded).to(lm.device), soft)
    together = llm.last_hidden(lm, branches.branched(encoder, encoded, families).to(lm.device), soft)
    torch.testing.assert_close(together, alone, atol=2e-5, rtol=1e-4)


def test_what_is_shared_stands_once_and_little_is_padded(encoder) -> None:
    encoded = encoder.encode_many(rows(("user", "item")))
    batch = branches.branched(encoder, encoded, FAMILIES)
    real = int((batch.mask.diagonal(dim1=1, dim2=2) & (batch.mask.sum(2) > 0)).sum())
    assert batch.ids.numel() < sum(len(e.ids) for e in encoded) and real == batch.ids.numel()
    assert len(batch.slots["user"].row) < 8 and len(batch.slots["item"].row) == 8
    assert batch.positions.max() == max(len(e.ids) for e in encoded) - 1


def test_losses_and_gradients_are_those_of_prompts_alone(lm, encoder) -> None:
    llm.attach(lm, config.LoraConfig(r=4, dropout=0.0))
    with torch.no_grad():
        for name, parameter in lm.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    encoded, labels = encoder.encode_many(rows()), np.arange(8) % 2
    answers, found = encoder.answer_ids(rows()[0]), []
    objective = Objective(lm, [AnswerLoss(answers), PairLoss(answers, 0.5)])
    for batch in (
        encoder.collate(encoded, labels, FAMILIES),
        branches.branched(encoder, encoded, FAMILIES, labels, FAMILIES),
    ):
        lm.model.zero_grad()
        loss = objective(batch)
        loss.backward()
        found.append((loss.detach(), [p.grad.clone() for p in lm.model.parameters() if p.grad is not None]))
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-3)


def test_half_precision_agrees_up_to_its_rounding(lm_folder) -> None:
    lm = llm.load(config.BackboneConfig(name=str(lm_folder), dtype="bfloat16", quantisation="none"))
    encoder = llm.Encoder(lm.tokenizer, "plain")
    encoded = encoder.encode_many(rows())
    alone = llm.last_hidden(lm, encoder.collate(encoded).to(lm.device), None)
    together = llm.last_hidden(lm, branches.branched(encoder, encoded, FAMILIES).to(lm.device), None)
    assert together.dtype == torch.bfloat16
    torch.testing.assert_close(together, alone, atol=0.1, rtol=0.05)


def test_scores_of_families_are_those_of_rows_alone(lm, encoder, soft) -> None:
    """Forty rows: more of one family than run together, so that it is cut."""
    many = rows(("user", "item")) * 5
    answers, families = encoder.answer_ids(many[0]), np.tile(FAMILIES, 5)
    alone = llm.score(lm, encoder, many, answers, soft)
    together = llm.score(lm, encoder, many, answers, soft, batch_size=11, families=families)
    np.testing.assert_allclose(together, alone, atol=2e-5)


@pytest.mark.parametrize("sizes", [[5], [1, 9, 4, 4, 2], [3] * 7, [10, 6, 6, 6, 6, 6, 6, 6, 6], [10, 10, 7, 6, 6]])
def test_bins_hold_all_are_not_wide_and_leave_little_empty(sizes) -> None:
    """Seldom do two of the sizes fit behind each other into one bin as wide as the largest: 0.6 of it, for example."""
    bins = branches.dealt(sizes)
    assert sorted(number for one in bins for number in one) == list(range(len(sizes)))
    width = max(sum(sizes[number] for number in one) for one in bins)
    assert width <= 2 * max(sizes)
    assert sum(sizes) >= 0.8 * len(bins) * width


def test_an_epoch_of_some_rows_takes_whole_groups() -> None:
    """40 groups of 8: of 80 rows drawn one by one hardly any would meet its neighbours."""
    groups = np.repeat(np.arange(40), 8)
    drawn = np.concatenate(llm.grouped_rows(groups, 16, 0, 0, rows=84))
    assert len(set(drawn)) == 84
    assert sorted(np.unique(groups[drawn], return_counts=True)[1]) == [4] + [8] * 10
    assert set(groups[np.concatenate(llm.grouped_rows(groups, 16, 0, 1, rows=84))]) != set(groups[drawn])


def test_texts_that_follow_are_refused(encoder) -> None:
    encoded = encoder.encode_many(rows()[:2], targets=["a", "b"])
    with pytest.raises(ValueError, match="only prompts can be branches"):
        branches.branched(encoder, encoded, np.zeros(2))
    with pytest.raises(ValueError, match="set branches=1 or loss_on='answer'"):
        config.TuningConfig(loss_on="prompt", branches=4)


def test_older_histories_are_shared_and_never_newer() -> None:
    histories = [tuple(range(1, n + 1)) for n in (0, 0, 1, 2, 3, 3, 4)]
    frame = pd.DataFrame({"user_id": 1, "item_id": 9, "history": histories}, index=[7, 3, 5, 1, 8, 2, 6])
    assert prompts.shared_histories(frame, 0) is frame
    shown = prompts.shared_histories(frame, 1)["history"]
    assert shown.map(len).tolist() == [0, 0, 0, 2, 2, 2, 4]
    assert all(old == new[: len(old)] and len(new) - len(old) <= 1 for old, new in zip(shown, histories))
    assert prompts.shared_histories(frame, 99)["history"].map(len).tolist() == [0] * 7


def test_families_are_people_with_the_same_history() -> None:
    frame = pd.DataFrame({"user_id": [1, 1, 2, 1, 1], "item_id": [5, 6, 5, 7, 8],
                          "history": [(1, 2, 3), (9, 2, 3), (1, 2, 3), (1, 2), ()]})  # fmt: skip
    writer = prompts.Writer(TEMPLATES["tiny"], TITLES, (), longest=2)
    assert prompts.PromptRows(writer, frame).families().tolist() == [0, 0, 1, 2, 3]


def test_what_was_disliked_first_runs_once_for_those_who_saw_more(lm, encoder, soft) -> None:
    told = [(), (9,), (9, 10), (9, 10, 11), (10, 11, 12)]  # of the last, only the likes are alike
    frame = pd.DataFrame({"user_id": 1, "item_id": [3, 4, 5, 6, 7], "history": [(1, 2)] * 5, "disliked": told})
    asked = prompts.PromptRows(prompts.Writer(TEMPLATES["tiny"], TITLES, ("user",), disliked=3), frame)
    assert asked.families().tolist() == [0] * 5
    encoded = encoder.encode_many(list(asked))
    batch = branches.branched(encoder, encoded[1:4], asked.families()[1:4]).to(lm.device)
    alike = [ids[0] for ids in takewhile(lambda ids: len(set(ids)) == 1, zip(*(e.ids for e in encoded[1:4])))]
    assert lm.tokenizer.decode(alike).endswith("Dislikes: Film number 8")
    assert batch.ids.numel() == sum(len(e.ids) for e in encoded[1:4]) - 2 * len(alike)
    alone = llm.score(lm, encoder, asked, encoder.answer_ids(asked[0]), soft)
    together = llm.score(lm, encoder, asked, encoder.answer_ids(asked[0]), soft, families=asked.families())
    np.testing.assert_allclose(together, alone, atol=2e-5)


def test_stages_train_on_branches(toy_cfg, toy) -> None:
    several = {
        f"{part}__{name}": value for part in ("tuning", "injection") for name, value in (("branches", 8), ("older", 2))
    }
    model = sella.train(config.changed(toy_cfg, several), toy)
    assert np.isfinite(model.predict(toy.test)["score"]).all()
