import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sellarec_lab import alignment, collab, config, metrics, prompts, runtime, sella, semantics
from sellarec_lab.projector import FILLERS, Projector, load
from sellarec_lab.training import EmbeddingTable


def test_infonce_by_hand():
    a = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    c = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    expected = -np.log(np.exp(2) / (np.exp(2) + np.exp(0)))
    assert float(alignment.infonce(a, c, 0.5)) == pytest.approx(expected, abs=1e-6)


def test_infonce_ignores_norms_and_prefers_the_match():
    torch.manual_seed(0)
    a = torch.randn(16, 8)
    assert float(alignment.infonce(a, 7 * a, 0.2)) == pytest.approx(float(alignment.infonce(a, a, 0.2)), abs=1e-5)
    assert alignment.infonce(a, a, 0.2) < alignment.infonce(a, a.roll(1, 0), 0.2)


def test_the_robust_form_points_where_infonce_points():
    torch.manual_seed(0)
    anchors, start = torch.randn(32, 16), torch.randn(32, 16)
    gradients = []
    for loss in alignment.LOSSES.values():
        candidates = start.clone().requires_grad_()
        loss(anchors, candidates, 0.2).backward()
        gradients.append(candidates.grad.flatten())
    assert F.cosine_similarity(*gradients, dim=0) > 0.99


def test_a_head_begins_as_any_linear_map_and_can_learn_on():
    torch.manual_seed(0)
    weight, bias, vectors = torch.randn(7, 3), torch.randn(7), torch.randn(20, 3)
    head = alignment.Head(3, 8, 7).begin_as(weight, bias)
    assert torch.allclose(head(vectors), vectors @ weight.T + bias, atol=1e-5)
    head(vectors).square().mean().backward()
    assert head[2].weight.grad.abs().sum(0).min() > 0  # the units that wait can learn too
    with pytest.raises(ValueError, match=r"alignment\.hidden is 5; a head that begins linear takes 6"):
        alignment.Head(3, 5, 7).begin_as(weight, bias)


def test_procrustes_finds_a_rotation_back_whatever_unseen_rows_hold():
    torch.manual_seed(0)
    vectors, turn = torch.randn(40, 3), torch.linalg.qr(torch.randn(7, 3))[0]
    said = 2.5 * vectors @ turn.T + torch.randn(7)
    vectors[:5] = 0.0  # never seen in train
    said[:5] = 99.0
    weight, bias = alignment.procrustes(vectors, said)
    assert torch.allclose(weight, turn, atol=1e-5)
    assert torch.allclose(bias, said[5:].mean(0) - vectors[5:].mean(0) @ turn.T, atol=1e-5)


def test_a_head_in_closed_form_starts_items_near_what_they_mean(toy_cfg, toy):
    pipeline = sella.Pipeline(toy_cfg, toy, sella.recipe("sella-procrustes"))
    lm = sella.tuned(toy_cfg, toy)
    start = sella.new_projector(toy_cfg, toy, pipeline.recipe, lm.word_embeddings)
    vectors, table = pipeline.tables.value().vectors().items, semantics.centre(pipeline.semantics.value())
    weight, bias = alignment.procrustes(vectors, table)
    ids = torch.arange(1, toy.n_items + 1)
    tokens = (start("item", ids) / start.scale_item).detach()
    assert torch.allclose(tokens, vectors[ids] @ weight.T + bias, atol=1e-4)
    random = sella.new_projector(toy_cfg, toy, sella.recipe("sella-no-alignment"), lm.word_embeddings)
    others = (random("item", ids) / random.scale_item).detach()
    near = [metrics.matched_cosine(rows.numpy(), table[1:].numpy()) for rows in (tokens, others)]
    assert near[0] > near[1] + 0.1


def test_alignment_brings_matched_pairs_together_and_moves_semantics_only_if_told(toy):
    torch.manual_seed(0)
    table = torch.randn(toy.n_items + 1, 12)
    loop = config.LoopConfig(learning_rate=0.01, batch_size=64, epochs=60, evaluations=1, patience=60)
    cf = config.MFConfig(dim=8)
    for move in (True, False):
        settings = config.AlignmentConfig(hidden=16, semantics_move=move, loop=loop, weight=1.0)
        aligned, _, _ = alignment.align(cf, settings, toy, table)
        projected = aligned.head(aligned.vectors.items[1:]).detach().numpy()
        target = aligned.semantics[1:].numpy()
        control = metrics.matched_cosine(projected, metrics.shuffled(target, 0))
        assert metrics.matched_cosine(projected, target) > control + 0.3
        assert torch.equal(aligned.semantics, table) != move


def test_a_repeated_item_is_not_its_own_negative(toy):
    torch.manual_seed(0)
    mf = collab.MatrixFactorisation(toy.n_users, toy.n_items, 4)
    model = alignment.AlignedModel(mf, torch.randn(toy.n_items + 1, 6), config.AlignmentConfig(hidden=8))
    once = (torch.tensor([1, 2]), torch.tensor([1, 2]), torch.ones(2))
    twice = (torch.tensor([1, 2, 1, 2]), torch.tensor([1, 2, 1, 2]), torch.ones(4))
    assert float(model(once)) == pytest.approx(float(model(twice)), abs=1e-6)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda t: t.fill_(1.5), "same vector"),
        (lambda t: t.mul_(4).round_(), "whole numbers"),
        (lambda t: t[3].fill_(float("nan")), "item 3"),
        (lambda t: t[2].zero_(), "item 2 and 0 more have no vector"),
    ],
)
def test_semantics_that_cannot_be_are_refused(spoil, message):
    torch.manual_seed(0)
    table = torch.randn(6, 4)
    spoil(table)
    with pytest.raises(ValueError, match=message):
        semantics.check(table)


def test_semantics_are_the_last_hidden_state_of_the_title(lm):
    template = prompts.Template(("{title}",), describe="Offer: {title}?")
    table = semantics.distil(lm, prompts.Writer(template, ["", "Film number 1", "Film number 12"]))
    ids = torch.tensor([lm.tokenizer("Offer: Film number 12?")["input_ids"]])
    expected = lm.model(input_ids=ids, output_hidden_states=True).hidden_states[-1][0, -1]
    assert torch.allclose(table[2], expected, atol=1e-5)
    assert table[0].abs().sum() == 0 and table.dtype == torch.float32


@pytest.fixture
def projector():
    torch.manual_seed(0)
    parts = {
        "users": EmbeddingTable(torch.randn(5, 3)),
        "items": EmbeddingTable(torch.randn(7, 3)),
        "head": alignment.Head(3, 4, 10),
    }
    parts |= {"semantics": EmbeddingTable(torch.randn(7, 10)), "warm": torch.nn.Linear(10, 10)}
    return Projector(parts, {kind: FILLERS[kind] for kind in ("user", "item", "warm")})


def test_each_kind_goes_through_its_own_path(projector):
    ids = torch.tensor([2, 4])
    assert torch.allclose(projector("warm", ids), projector.warm(projector.semantics.weight[ids]))
    assert torch.allclose(projector("user", ids), projector.head(projector.users.weight[ids]))
    assert torch.allclose(projector("item", ids), projector.head(projector.items.weight[ids]))
    with pytest.raises(ValueError, match="can't fill a 'taste' token; it was built for user, item, warm"):
        projector("taste", ids)


def test_a_projector_is_read_from_its_file_alone(projector, tmp_path):
    projector.match_norms(torch.randn(9, 10))
    projector.save(tmp_path / "p.safetensors")
    again, ids = load(tmp_path / "p.safetensors"), torch.arange(1, 5)
    assert all(torch.equal(again(kind, ids), projector(kind, ids)) for kind in ("user", "item", "warm"))
    assert again.fillers == projector.fillers


@pytest.mark.parametrize("kinds", [("user", "item", "warm"), ("user", "item", "warm", "taste")])
def test_projectors_of_the_first_format_still_load(projector, tmp_path, kinds):
    """They held one list of scales, in the order user, item, warm, taste, prompt."""
    tensors = {n: t for n, t in projector.state_dict().items() if not n.startswith("scale")}
    if "taste" in kinds:
        tensors |= {"taste.weight": torch.eye(10), "taste.bias": torch.zeros(10)}
    runtime.save_tensors(tmp_path / "p.safetensors", tensors | {"scale": torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])})
    again, ids = load(tmp_path / "p.safetensors"), torch.arange(1, 5)
    assert tuple(again.fillers) == kinds
    assert torch.allclose(again("item", ids), 2 * projector("item", ids))
    assert torch.allclose(again("warm", ids), 3 * projector("warm", ids))


def test_padding_weighs_nothing_in_a_mean_whatever_its_row_holds(projector):
    parts = {"semantics": projector.semantics, "taste": torch.nn.Linear(10, 10)}
    pooled = Projector(parts, {"taste": FILLERS["taste"]})
    assert projector.semantics.weight[0].abs().sum() > 0  # as training leaves it
    alone = pooled("taste", torch.tensor([1]), torch.tensor([[3, 5]]))
    assert torch.allclose(alone, pooled("taste", torch.tensor([1]), torch.tensor([[3, 5, 0, 0, 0]])), atol=1e-6)


def test_a_cut_file_is_named(tmp_path):
    (tmp_path / "cut.safetensors").write_bytes(b"\x10garbage")
    with pytest.raises(ValueError, match=r"cut.safetensors: expected a whole safetensors file"):
        load(tmp_path / "cut.safetensors")


def test_a_file_that_holds_no_projector_is_refused_by_name(tmp_path):
    runtime.save_tensors(tmp_path / "x.safetensors", {"other": torch.ones(2)})
    with pytest.raises(ValueError, match=r"x.safetensors: no projector \(it holds other\)"):
        load(tmp_path / "x.safetensors")


def test_norms_match_the_words(projector):
    words = 3.0 * F.normalize(torch.randn(50, 10), dim=1)
    projector.match_norms(words)
    for kind, size in (("user", 5), ("item", 7), ("warm", 7)):
        norms = projector(kind, torch.arange(1, size)).norm(dim=1)
        assert float(norms.mean()) == pytest.approx(3.0, rel=1e-4)


def test_what_trains_is_what_was_chosen(projector):
    projector.set_trainable(("tables",))
    assert {n for n, p in projector.named_parameters() if p.requires_grad} == {"users.weight", "items.weight"}


# ------------------------------------------------------------------------------------- snapshots


def run_alignment(toy, epochs=12, recorder=None):
    torch.manual_seed(0)
    table = torch.randn(toy.n_items + 1, 12)
    loop = config.LoopConfig(
        learning_rate=0.01, batch_size=64, epochs=epochs, evaluations=1, patience=99, schedule="constant", warmup=0.0
    )
    settings = config.AlignmentConfig(hidden=16, loop=loop, weight=1.0, semantics_rate=1.0)
    return alignment.align(config.MFConfig(dim=4), settings, toy, table, recorder=recorder), table


def test_looking_on_changes_nothing(toy):
    (alone, mf, history), _ = run_alignment(toy)
    chance = torch.get_rng_state()
    (watched, mf_watched, history_watched), _ = run_alignment(toy, recorder=alignment.Recorder())
    assert torch.equal(chance, torch.get_rng_state())
    drop = lambda h: [{k: v for k, v in r.items() if k != "seconds"} for r in h.records]  # noqa: E731
    assert drop(history) == drop(history_watched)
    assert all(torch.equal(a, b) for a, b in zip(alone.vectors, watched.vectors))
    assert torch.equal(alone.semantics, watched.semantics)
    pairs = zip(alone.head.state_dict().values(), watched.head.state_dict().values())
    assert all(torch.equal(a, b) for a, b in pairs)
    assert all(torch.equal(a, b) for a, b in zip(mf.state_dict().values(), mf_watched.state_dict().values()))


@pytest.fixture
def ever_better(monkeypatch):
    """Every validation is better than the one before, so the last state is kept."""
    steps = itertools.count()
    monkeypatch.setattr(metrics, "quality", lambda frame: {"auc": float(next(steps))})


def test_snapshots_run_from_the_start_to_what_was_kept(toy, ever_better):
    recorder = alignment.Recorder(most=5)
    (kept, _, history), table = run_alignment(toy, epochs=30, recorder=recorder)
    walk = recorder.finish(kept, history)
    assert walk.steps[0] == 0 and walk.steps[-1] == history.best_step
    assert len(walk.steps) in (5, 6) and walk.steps.tolist() == sorted(set(walk.steps.tolist()))
    assert walk.items.shape == walk.semantics.shape == (len(walk.steps), toy.n_items, 12)
    assert walk.users.shape == (len(walk.steps), toy.n_users, 12)
    assert torch.equal(walk.semantics[0], table[1:])
    with torch.no_grad():
        torch.testing.assert_close(walk.items[-1], kept.head(kept.vectors.items[1:]))
        torch.testing.assert_close(walk.users[-1], kept.head(kept.vectors.users[1:]))
    assert torch.equal(walk.semantics[-1], kept.semantics[1:])
    assert all(not torch.equal(a, b) for a, b in zip(walk.items, walk.items[1:]))  # copies, not views
    assert walk.item_ids.tolist() == list(range(1, 17)) and walk.warm_items.dtype == torch.bool
    assert walk.warm_items.tolist() == [bool(i in set(toy.train["item_id"])) for i in range(1, 17)]


def test_a_snapshot_is_the_state_at_its_step(toy, ever_better):
    """A run that stops at a step of a longer run stands where the longer run stood."""
    recorder = alignment.Recorder(most=20)
    (kept, _, history), _ = run_alignment(toy, epochs=6, recorder=recorder)
    walk = recorder.finish(kept, history)
    (short, _, early), _ = run_alignment(toy, epochs=2)
    step = early.records[-1]["step"]
    assert early.best_step == step == 8 and step in walk.steps.tolist()
    with torch.no_grad():
        expected = short.head(short.vectors.items[1:])
    assert torch.allclose(walk.items[walk.steps.tolist().index(step)], expected, atol=1e-6)


def test_what_training_threw_away_is_no_snapshot(toy, monkeypatch):
    quality = iter([0.5, 0.6, 0.7, 0.4, 0.3, 0.2])
    monkeypatch.setattr(metrics, "quality", lambda frame: {"auc": next(quality)})
    recorder = alignment.Recorder()
    (kept, _, history), _ = run_alignment(toy, epochs=6, recorder=recorder)
    steps = recorder.finish(kept, history).steps.tolist()
    assert steps[0] == 0 and steps[-1] == history.best_step == 12


def test_moments_lie_about_as_far_apart():
    """Tokens that stand still for long, then jump, then stand still: the moments around the jump are held."""
    recorder = alignment.Recorder(most=5)
    angles = [0, 0, 0, 0.4, 0.8, 1.2, 1.5, 1.5]
    recorder._look = lambda angle: (None, torch.tensor([[math.cos(angle), math.sin(angle)]]), None)
    for step, angle in enumerate(angles):
        recorder.note(step, SimpleNamespace(now=lambda angle=angle: angle))
    held = list(recorder._moments)
    assert held[0] == 0 and held[-1] == 7 and len(held) == 5
    assert min(abs(angles[a] - angles[b]) for a, b in itertools.pairwise(held)) > 0.2  # no two show the same


def test_the_walk_can_start_from_a_model_that_was_trained_alone(toy):
    recorder = alignment.Recorder()
    (kept, mf, history), _ = run_alignment(toy, recorder=recorder)
    walk = recorder.finish(kept, history)
    other = mf.vectors()._replace(items=torch.randn_like(mf.vectors().items))
    moved = walk.starting_from(other, kept.head)
    with torch.no_grad():
        torch.testing.assert_close(moved.items[0], kept.head(other.items[1:]))
    assert torch.equal(moved.items[1:], walk.items[1:]) and torch.equal(moved.semantics, walk.semantics)
    late = {name: getattr(walk, name)[1:] for name in ("steps", "users", "items", "semantics")}
    resumed = walk._replace(**late).starting_from(other, kept.head)  # whoever resumed has not seen the start
    assert torch.equal(resumed.items, moved.items) and torch.equal(resumed.steps, walk.steps)
    assert torch.equal(resumed.semantics[1:], late["semantics"]) and len(resumed.semantics) == len(walk.steps)


def test_large_catalogues_are_followed_in_part(toy):
    recorder = alignment.Recorder(rows=5)
    (kept, _, history), _ = run_alignment(toy, recorder=recorder)
    walk = recorder.finish(kept, history)
    assert walk.item_ids.tolist() == [1, 4, 7, 10, 13] and len(walk.user_ids) == 5
    assert walk.items.shape[1:] == (5, 12)
    with pytest.raises(ValueError, match="most is 2, expected at least 3"):
        alignment.Recorder(most=2)


def test_no_training_leaves_one_moment(toy):
    recorder = alignment.Recorder()
    (kept, _, history), _ = run_alignment(toy, epochs=0, recorder=recorder)
    assert recorder.finish(kept, history).steps.tolist() == [0]


def test_the_stage_keeps_its_snapshots(toy_cfg, toy):
    from sellarec_lab import sella

    aligned = sella.align(toy_cfg, toy)
    assert sella.Pipeline(toy_cfg, toy).alignment.path("snapshots.safetensors").is_file()
    walk = sella.snapshots(toy_cfg, toy)
    with torch.no_grad():
        torch.testing.assert_close(walk.items[-1], aligned.head(aligned.vectors.items[1:]))
