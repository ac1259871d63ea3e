import dataclasses
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import launched as cases
import numpy as np
import pytest
import torch
from torch import nn

from sellarec_lab import alignment, collab, config, runtime, training
from sellarec_lab.config import LoopConfig
from sellarec_lab.training import Batches, EmbeddingTable, Monitor

ROOT = Path(__file__).parents[1]


class Line(nn.Module):
    """Squared error of a line, with dropout so that the random state matters."""

    def __init__(self, dropout: float = 0.3):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(8))
        self.dropout = nn.Dropout(dropout)

    def forward(self, batch):
        return (self.dropout(batch) @ self.weight - 1.0).square().mean()


def batches(epoch: int, made: list | None = None) -> Batches:
    """12 steps of 16 rows; ``made`` takes the first row number of every batch that is made."""
    data = torch.randn(12 * 16, 8, generator=torch.Generator().manual_seed(epoch))

    def make(rows):
        if made is not None:
            made.append(epoch * 192 + rows[0])
        return data[torch.from_numpy(rows)]

    return Batches(np.arange(192).reshape(12, 16), make)


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
    second, made = Line(), []
    history = training.fit(
        second, lambda epoch: batches(epoch, made), LOOP, label="b", validate=dying(second, 99), checkpoint=checkpoint
    )
    assert made == [16 * step for step in range(17, history.records[-1]["step"])], "killed in the 18th step"
    assert torch.equal(second.weight, whole.weight)
    assert not checkpoint.exists()


def test_a_signal_ends_a_training_behind_its_step_with_a_checkpoint(tmp_path):
    """Although the next checkpoint was a day away."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    rare, whole = dataclasses.replace(LOOP, checkpoint_seconds=86_400.0), Line()
    training.fit(whole, batches, rare, label="whole")
    checkpoint, stopped, made = tmp_path / "checkpoint.safetensors", Line(), []

    def signalled(epoch: int) -> Batches:
        asked = batches(epoch, made)

        def make(rows):
            if len(made) == 16:
                os.kill(os.getpid(), signal.SIGTERM)
            return asked.make(rows)

        return Batches(asked.rows, make)

    try:
        runtime.stopping.listen()
        with pytest.raises(KeyboardInterrupt):
            training.fit(stopped, signalled, rare, label="stopped", checkpoint=checkpoint)
        assert len(made) == 17 and checkpoint.is_file(), "the step that was on its way is done"
        with pytest.raises(KeyboardInterrupt):  # outside of a training there is nothing to wait for
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
    finally:
        runtime.stopping._now["asked"] = False
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before):
            signal.signal(number, handler)
    training.fit(stopped, lambda epoch: batches(epoch, made), rare, label="resumed", checkpoint=checkpoint)
    assert len(made) == 36 and torch.equal(stopped.weight, whole.weight)


def test_a_process_that_ends_already_ends_without_a_traceback():
    script = (
        "import atexit, os, signal; atexit.register(lambda: os.kill(os.getpid(), signal.SIGTERM)); "
        "from sellarec_lab.runtime import stopping; stopping.listen()"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")


def test_a_worker_hears_signals_while_a_job_runs_and_ends_silently_between_two():
    script = (
        "import os, signal; from sellarec_lab import runtime\n"
        "with runtime.at_work(os.getpid()): assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # the caller\n"
        "with runtime.at_work(0): assert callable(signal.getsignal(signal.SIGTERM))\n"
        "os.kill(os.getpid(), signal.SIGTERM)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")


def test_a_job_in_a_thread_of_its_own_hears_nothing():
    """As in the worker of a cluster."""

    def job() -> str:
        with runtime.at_work(0):
            return "done"

    before = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(job).result() == "done"
    assert signal.getsignal(signal.SIGTERM) == before


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
    table = EmbeddingTable(torch.ones(5, 2))
    table.train()
    table(torch.tensor([1, 3, 3]))
    table.decay(0.1)
    assert table.weight[:, 0].tolist() == pytest.approx([1, 0.9, 1, 0.9, 1])


def test_training_leaves_absent_rows_where_they_were():
    class Fit(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = EmbeddingTable(torch.ones(4, 3))

        def forward(self, ids):
            return self.table(ids).square().sum()

    model = Fit()
    loop = LoopConfig(learning_rate=0.05, weight_decay=0.5, epochs=20)
    training.fit(model, lambda epoch: Batches([np.array([0, 2])], torch.from_numpy), loop, label="x")
    assert torch.equal(model.table.weight[[1, 3]], torch.ones(2, 3))
    assert model.table.weight[0, 0] < 0.9


# ---- a step in pieces


class Rated(nn.Module):
    """A table of users and a head, without dropout; the loss is a mean over rows."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.head = EmbeddingTable(torch.randn(50, 8)), nn.Linear(8, 1)
        self.sizes = []

    def forward(self, users):
        self.sizes.append(len(users))
        return (self.head(self.table(users)).squeeze(1) - users % 2).square().mean()


def users(epoch: int) -> Batches:
    """Three steps of 64 rows and one of 10."""
    drawn = torch.randint(50, (202,), generator=torch.Generator().manual_seed(epoch))
    return Batches(np.split(np.arange(202), [64, 128, 192]), lambda rows: drawn[torch.from_numpy(rows)])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_step_equals_its_micro_batches_together(precision):
    found = {}
    for micro in (None, 16, 7):
        model = Rated()
        loop = LoopConfig(learning_rate=0.05, epochs=3, weight_decay=0.5, micro_batch=micro)
        history = training.fit(model, users, loop, label="x", precision=precision)
        found[micro] = {**model.state_dict(), "loss": torch.tensor([r["loss"] for r in history.records])}
        assert model.sizes[0] == {None: 64, 16: 16, 7: 7}[micro] and max(model.sizes) == model.sizes[0]
        assert sum(model.sizes) == 3 * 202
    close = {"float32": 1e-5, "bfloat16": 3e-2}[precision]  # sums in another order; AdamW divides by small numbers
    for micro in (16, 7):
        for name, value in found[None].items():
            assert torch.allclose(found[micro][name], value, rtol=close, atol=close), (micro, name)


def test_what_compares_rows_is_not_cut_up(toy):
    mf = collab.MatrixFactorisation(toy.n_users, toy.n_items, 4, True)
    model = alignment.AlignedModel(mf, torch.zeros(toy.n_items + 1, 8), config.AlignmentConfig())
    with pytest.raises(ValueError, match="AlignedModel compares the rows of a batch"):
        training.fit(model, users, LoopConfig(micro_batch=8), label="x")


def test_epochs_of_other_lengths_are_refused():
    def shrinking(epoch):
        return Batches(users(epoch).rows[epoch:], users(epoch).make)

    with pytest.raises(ValueError, match="epoch 1 has 3 steps and epoch 0 has 4"):
        training.fit(Rated(), shrinking, LoopConfig(epochs=2), label="x")


def test_a_lower_value_may_be_the_better_one():
    model, values, kept = Line(), iter([0.5, 0.2, 0.7, 0.9, 0.9, 0.9]), []

    def validate():
        kept.append(model.weight.detach().clone())
        return {"rmse": next(values)}

    history = training.fit(model, batches, LOOP, label="x", validate=validate, monitor=Monitor("rmse", "lower"))
    assert (history.best, history.best_step, history.stopped) == (0.2, 12, "no better rmse in 4 validations")
    assert torch.equal(model.weight, kept[1])
    with pytest.raises(ValueError, match="better is 'higher' or 'lower', got 'max'"):
        Monitor("rmse", "max")


# ---- several processes


def test_a_checkpoint_of_other_processes_is_refused(tmp_path):
    def killed():
        raise Killed

    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Killed):
        training.fit(Line(), batches, LOOP, label="x", validate=killed, checkpoint=checkpoint)
    tensors, note = runtime.load_tensors(checkpoint)
    runtime.save_tensors(checkpoint, tensors, {**note, "processes": 2})
    with pytest.raises(ValueError, match="written by 2 processes, and this run has 1"):
        training.fit(Line(), batches, LOOP, label="x", checkpoint=checkpoint)


# `accelerate launch --cpu` starts one process, whatever it is asked for; --multi_gpu without a GPU uses gloo
TWO = ("-m", "accelerate.commands.launch", "--main_process_port=0", "--multi_gpu", "--num_processes=2")
SPREAD = (*TWO[:3], f"--config_file={ROOT / 'docs' / 'fsdp.yaml'}")


def launched(cases: str, folder: Path, out: Path, *launcher: str) -> dict[str, dict[str, torch.Tensor]]:
    """Run cases of tests/launched.py; case -> its losses and weights."""
    command = [sys.executable, *launcher, str(ROOT / "tests" / "launched.py"), cases, str(folder), str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return {case: runtime.load_tensors(out / f"{case}.safetensors")[0] for case in cases.split(",")}


def assert_close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """Sums in another order, so the last digits may differ."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.allclose(found[name], value, rtol=1e-4, atol=1e-5), name


@pytest.fixture(scope="module")
def alone(lm_folder, tmp_path_factory):
    """What one process trains: this one."""
    out, known = tmp_path_factory.mktemp("alone"), (cases.toy, cases.whole, cases.lora, cases.pipeline)
    return {case.__name__: case(str(lm_folder), out / f"{case.__name__}.safetensors") for case in known}


def test_two_processes_train_what_one_trains(alone, lm_folder, tmp_path):
    together = launched("toy,whole,lora,pipeline,resumed,uninterrupted", lm_folder, tmp_path, *TWO)
    for case in ("toy", "whole", "lora", "pipeline"):
        assert_close(together[case], alone[case])
    resumed, whole = (
        {n: t for n, t in together[case].items() if n != "losses"} for case in ("resumed", "uninterrupted")
    )
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_a_backbone_spread_over_two_processes_trains_what_a_whole_one_trains(alone, lm_folder, tmp_path):
    assert_close(launched("sharded", lm_folder, tmp_path, *SPREAD)["sharded"], alone["lora"])


def test_one_failing_process_ends_them_all(lm_folder, tmp_path):
    with pytest.raises(AssertionError, match="row 13 can't be read"):
        launched("failing", lm_folder, tmp_path, *TWO)
