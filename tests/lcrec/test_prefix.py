"""The loss for beginnings of indices by hand, and two tables of vectors side by side."""

import benches
import pytest
import torch

from sellarec_lab import lcrec, llm
from sellarec_lab.config import LCRecConfig, LoopConfig
from sellarec_lab.lcrec.pipeline import beside
from sellarec_lab.lcrec.prefix import PrefixLoss
from sellarec_lab.prompts import Prompt, Text


def test_the_loss_adds_the_weighted_means_of_all_beginnings(lm):
    """Two indices of three tokens and a word between them, token by token."""
    encoder = llm.Encoder(lm.tokenizer, "plain")
    parts = tuple(Text(letter) for letter in "qxzjkvw")
    batch = encoder.collate(encoder.encode_many([Prompt((Text("Chosen:"),), "", ("", ""), 0, 0)], targets=[parts]))
    hidden = lm.hidden(lm.embed(batch.ids), batch.mask)
    losses, told = llm.TextLoss().by_token(lm, hidden, batch)
    level = torch.full((len(lm.tokenizer),), -1)
    places = [0, 1, 2, -1, 0, 1, 2]
    for token, place in zip(told.tolist(), places):
        level[token] = place
    assert len(set(told[:7].tolist())) == 7
    one, two = losses[[0, 1, 2]], losses[[4, 5, 6]]
    first = (one[0] + two[0]) / 2
    second = (one[:2].mean() + two[:2].mean()) / 2
    expected = losses.mean() + 0.5 * (first**2 + second**2) / (first + second)
    torch.testing.assert_close(PrefixLoss(level, 0.5)(lm, hidden, batch), expected)
    torch.testing.assert_close(PrefixLoss(level, 0.0)(lm, hidden, batch), llm.TextLoss()(lm, hidden, batch))


def test_tables_side_by_side_weigh_what_is_asked_whatever_their_scale():
    torch.manual_seed(0)
    words, other = torch.randn(50, 8) * 7 + 3, torch.randn(50, 4) * 0.01
    both = beside(words, other, 0.5)
    assert both.shape == (50, 12) and (both[0] == 0).all()
    assert both[1:, :8].square().sum(1).mean() == pytest.approx(1.0)
    assert both[1:, 8:].square().sum(1).mean() == pytest.approx(0.25)
    assert both[1:].mean(0).abs().max() < 1e-6


def test_both_run_through_the_pipeline(lm_folder, tmp_path):
    loop, ring = LoopConfig(batch_size=32, epochs=2, evaluations=1), benches.ring()
    small = {"lcrec__loop": loop, "next_item__loop": loop}
    cfg = benches.next_preset(lm_folder, tmp_path, lcrec__prefix=0.1, lcrec__collaborative=1.0, **small)
    plain = benches.next_preset(lm_folder, tmp_path, **small)
    ours, paper = (lcrec.Pipeline(c, ring) for c in (cfg, plain))
    assert not torch.equal(ours.indices.value(), paper.indices.value())
    assert ours.indices.key != paper.indices.key and ours.tuning.key != paper.tuning.key
    scores = ours.model.value().score_catalogue([[1, 2, 3]])[0, 1:]
    assert torch.isfinite(torch.from_numpy(scores)).all()


@pytest.mark.parametrize("field", ["prefix", "collaborative"])
def test_weights_below_zero_are_refused(field):
    with pytest.raises(ValueError, match=f"^{field}: expected at least 0, got -1.0"):
        LCRecConfig(**{field: -1.0})
