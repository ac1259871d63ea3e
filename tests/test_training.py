import pytest
import torch
from torch import nn

from sellarec_lab import training
from sellarec_lab.config import LoopConfig
from sellarec_lab.training import Table


class Line(nn.Module):
    """Squared error of a line, with dropout so that the random state matters."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(8))
        self.dropout = nn.Dropout(0.3)

    def forward(self, batch):
        return (self.dropout(batch) @ self.weight - 1.0).square().mean()


def batches(epoch: int):
    draw = torch.Generator().manual_seed(epoch)
    return list(torch.randn(12, 16, 8, generator=draw))


LOOP = LoopConfig(learning_rate=0.05, epochs=3, evaluations=2, checkpoint_seconds=0.0)


class Killed(BaseException):
    pass


def test_a_killed_run_resumes_to_the_same_weights(tmp_path):
    whole = Line()
    training.fit(whole, batches, LOOP, label="whole", validate=lambda: {"auc": -float(whole.weight.detach().sum())})

    def dying(module, after: int):
        calls = []

        def validate():
            calls.append(1)
            if len(calls) == after:
                raise Killed
            return {"auc": -float(module.weight.detach().sum())}

        return validate

    checkpoint = tmp_path / "checkpoint.safetensors"
    first = Line()
    with pytest.raises(Killed):
        training.fit(first, batches, LOOP, label="a", validate=dying(first, 3), checkpoint=checkpoint)
    assert checkpoint.is_file()
    second = Line()
    training.fit(second, batches, LOOP, label="b", validate=dying(second, 99), checkpoint=checkpoint)
    assert torch.equal(second.weight, whole.weight)
    assert not checkpoint.exists()


def test_the_best_state_is_kept_not_the_last():
    model, values = Line(), iter([0.5, 0.9, 0.7, 0.6, 0.6, 0.6])
    kept = []

    def validate():
        value = next(values)
        kept.append((value, model.weight.detach().clone()))
        return {"auc": value}

    history = training.fit(model, batches, LOOP, label="x", validate=validate)
    assert history.best == 0.9
    assert torch.equal(model.weight, kept[1][1])


def test_patience_stops_and_says_so():
    model = Line()
    loop = LoopConfig(epochs=50, evaluations=1, patience=2)
    history = training.fit(model, batches, loop, label="x", validate=lambda: {"auc": 0.5})
    assert history.records[-1]["step"] == 36
    assert "no better auc" in history.stopped


def test_a_loss_that_is_not_finite_names_the_step():
    class Bad(Line):
        def forward(self, batch):
            return super().forward(batch) * float("nan")

    with pytest.raises(FloatingPointError, match="step 0"):
        training.fit(Bad(), batches, LOOP, label="x")


def test_stages_of_one_run_may_differ_in_precision():
    losses = []
    for precision in ("float32", "bfloat16", "float32"):
        model = Line()
        history = training.fit(model, batches, LoopConfig(epochs=1), label="x", precision=precision)
        losses.append(history.records[-1]["loss"])
        assert model.weight.dtype == torch.float32
    assert losses[0] == losses[2] == pytest.approx(losses[1], rel=0.05)


def test_table_decays_the_rows_that_were_used_and_no_others():
    table = Table(torch.ones(5, 2))
    table.train()
    table(torch.tensor([1, 3, 3]))
    table.decay(0.1)
    assert table.weight[:, 0].tolist() == pytest.approx([1, 0.9, 1, 0.9, 1])


def test_training_leaves_absent_rows_where_they_were():
    class Fit(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = Table(torch.ones(4, 3))

        def forward(self, ids):
            return self.table(ids).square().sum()

    model = Fit()
    loop = LoopConfig(learning_rate=0.05, weight_decay=0.5, epochs=20)
    training.fit(model, lambda epoch: [torch.tensor([0, 2])], loop, label="x")
    assert torch.equal(model.table.weight[[1, 3]], torch.ones(2, 3))
    assert model.table.weight[0, 0] < 0.9
