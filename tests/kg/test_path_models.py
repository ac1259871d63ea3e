"""Models of paths: causal, equal to their formulas; the levels of distillation by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sellarec_lab.config import ENCODERS, DistillationConfig, PathConfig
from sellarec_lab.kg import Distillation, PathModel
from sellarec_lab.kg.encoders import Skipping, encoder
from sellarec_lab.kg.learning import Counterparts, paths_batch
from sellarec_lab.kg.pipeline import start_at

N, R = 7, 2


def settings(**changes) -> PathConfig:
    return PathConfig(**({"dim": 8, "heads": 2, "dropout": 0.0, "smoothing": 0.0} | changes))


def model(seed: int = 0, **changes) -> PathModel:
    torch.manual_seed(seed)
    return PathModel(N, R, settings(**changes)).eval()


def some_paths(rows: int = 5, hops: int = 3) -> np.ndarray:
    rng = np.random.default_rng(0)
    paths = rng.integers(0, N, (rows, 2 * hops + 1))
    paths[:, 1::2] = rng.integers(0, 2 * R, (rows, hops))
    return paths


@pytest.mark.parametrize("name", ENCODERS)
def test_a_state_knows_nothing_of_what_comes_next(name: str) -> None:
    torch.manual_seed(0)
    read, x = encoder(settings(encoder=name)).eval(), torch.randn(2, 6, 8)
    changed = x.clone()
    changed[:, 4:] = torch.randn(2, 2, 8)
    before, after = read(x), read(changed)
    assert torch.allclose(before[:, :4], after[:, :4], atol=1e-6)
    assert not torch.allclose(before[:, 4:], after[:, 4:], atol=1e-2)
    assert torch.allclose(read(x[:, :4]), before[:, :4], atol=1e-6)  # cut short, the rest is the same


def test_skipping_adds_the_subject_behind_relations() -> None:
    torch.manual_seed(0)
    read, x = Skipping(settings(encoder="skipping")).eval(), torch.randn(2, 5, 8)
    plain = read.lstm(x)[0]
    wanted = plain.clone()
    for t in (1, 3):
        wanted[:, t] = plain[:, t] @ read.state.weight.T + x[:, t - 1] @ read.subject.weight.T
    assert torch.allclose(read(x), read.norm(wanted), atol=1e-6)


@pytest.mark.parametrize("name", ENCODERS)
def test_the_loss_is_what_the_scores_say(name: str) -> None:
    """With every entity a candidate, the entity's part of the loss is -log softmax of `score` at the first hop."""
    net, paths = model(encoder=name), some_paths(hops=1)
    batch = paths_batch(paths, np.arange(N))
    scores = net.score(batch.paths[:, 0], batch.paths[:, 1])
    first = net.said["relation"](net.states(batch.paths[:, :1])[:, 0]) @ net.relations.weight.T
    wanted = F.cross_entropy(scores, batch.paths[:, 2]) + F.cross_entropy(first, batch.paths[:, 1])
    assert torch.allclose(net(batch), wanted, atol=1e-6)


def test_candidates_are_the_told_entities_and_the_drawn_ones_once() -> None:
    paths = some_paths()
    batch = paths_batch(paths, [3, 3, 5])
    assert batch.candidates.tolist() == sorted({3, 5, *paths[:, 2::2].ravel().tolist()})
    assert (batch.candidates[batch.targets] == batch.paths[:, 2::2]).all()


def levels(**weights) -> DistillationConfig:
    return DistillationConfig(**({"features": 0.0, "network": 0.0, "predictions": 0.0} | weights))


def beside(weights: DistillationConfig, known: list[int] | None = None) -> tuple[Distillation, PathModel, PathModel]:
    student, teacher = model(0), model(1, dim=12, heads=3)
    entities = torch.tensor(known or range(N))
    torch.manual_seed(2)
    return Distillation(student, teacher, Counterparts(entities, torch.arange(2 * R)), weights), student, teacher


def test_without_levels_only_the_students_loss_is_left() -> None:
    module, student, _ = beside(levels())
    batch = paths_batch(some_paths(), np.arange(N))
    assert torch.equal(module(batch), student(batch))


def test_the_levels_by_hand() -> None:
    batch = paths_batch(some_paths(), np.arange(N))
    module, student, teacher = beside(levels())
    ours, theirs = student.states(batch.paths[:, :-1]), teacher.states(batch.paths[:, :-1])
    tau = 2.0
    p = torch.softmax(teacher.told(theirs[:, 1::2]) / tau, -1)
    q = torch.log_softmax(student.told(ours[:, 1::2]) / tau, -1)
    wanted = {
        "features": 1 - F.cosine_similarity(module.features(student.entities.weight), teacher.entities.weight).mean(),
        "network": (module.network(ours) - theirs).square().mean(),
        "predictions": tau**2 * (p * (p.log() - q)).sum(-1).mean(),
    }
    for name, value in wanted.items():
        weighed, *_ = beside(levels(**{name: 0.7}))
        assert torch.allclose(weighed(batch) - student(batch), 0.7 * value, atol=1e-5), name


def test_paths_that_the_teacher_can_not_read_are_left_out() -> None:
    """Entity 3 is unknown to the teacher: paths over it add nothing, and as a candidate it does not count."""
    known = [0, 1, 2, -1, 4, 5, 6]
    module, student, teacher = beside(levels(predictions=1.0), known)
    paths = np.array([[0, 0, 1, 1, 2], [0, 0, 3, 1, 2]])
    batch = paths_batch(paths, np.arange(N))
    read = batch.paths[:1, :-1]
    left = torch.tensor([0, 1, 2, 4, 5, 6])
    p = torch.softmax(teacher.told(teacher.states(read)[:, 1::2], left) / 2, -1)
    q = torch.log_softmax(student.told(student.states(read)[:, 1::2], left) / 2, -1)
    assert torch.allclose(module(batch) - student(batch), 4 * (p * (p.log() - q)).sum(-1).mean(), atol=1e-5)
    alone = paths_batch(paths[1:], np.arange(N))
    assert torch.equal(module(alone), student(alone))


def test_the_teacher_never_learns() -> None:
    module, student, teacher = beside(levels(features=1.0, network=1.0, predictions=1.0))
    module.train()
    module(paths_batch(some_paths(), np.arange(N))).backward()
    assert all(parameter.grad is None for parameter in teacher.parameters()) and not teacher.training
    assert all(parameter.grad is not None for parameter in student.encoder.parameters())


def test_half_precision_gives_finite_losses_and_scores() -> None:
    module, student, _ = beside(levels(features=1.0, network=1.0, predictions=1.0))
    module.bfloat16()
    batch = paths_batch(some_paths(), np.arange(N))
    assert torch.isfinite(module(batch)) and torch.isfinite(student.score(batch.paths[:, 0], batch.paths[:, 1])).all()


def test_a_start_at_the_teacher_keeps_its_nearest_neighbours() -> None:
    torch.manual_seed(0)
    teacher, table = torch.randn(30, 4) @ torch.randn(4, 20), torch.randn(31, 8)
    before, rows = table.clone(), torch.tensor([*range(30), -1])
    start_at(table, teacher, rows)
    near = [torch.cdist(t, t).fill_diagonal_(9e9).argmin(1) for t in (table[:30], teacher)]
    assert (near[0] == near[1]).all()  # four directions fit into eight
    assert torch.equal(table[30], before[30]) and table[:30].std().item() == pytest.approx(before.std().item(), 0.1)
