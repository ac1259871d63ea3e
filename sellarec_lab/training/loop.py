"""The loop: epochs, validations, early stopping, checkpoints."""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from tqdm.auto import tqdm

from sellarec_lab import runtime
from sellarec_lab.config import LoopConfig
from sellarec_lab.training.history import History, Monitor
from sellarec_lab.training.split import Batches, Group
from sellarec_lab.training.state import State
from sellarec_lab.training.step import Step, learning_rate

Validation = Callable[[], dict[str, float]]
_AUC = Monitor("auc")


def fit(
    module: nn.Module,
    batches: Callable[[int], Batches],
    config: LoopConfig,
    *,
    label: str,
    seed: int = 0,
    validate: Validation | None = None,
    monitor: Monitor = _AUC,
    checkpoint: Path | None = None,
    precision: str = "float32",
    watch: Callable[[int], None] | None = None,
) -> History:
    """Train the parameters of ``module`` that require gradients.

    Under a launcher every process calls it alike, each takes its share of a step's rows, and all end with the same
    weights.

    Args:
        module: ``module(batch)`` returns the loss, a scalar tensor, the mean over the batch's rows. Where it compares
            rows with each other, the module says ``whole_batch = True``, and no step is split.
        batches: epoch -> that epoch's `Batches`; must depend on nothing but the epoch (and a seed of its own), and
            have as many steps in every epoch.
        config: the optimisation.
        label: name on the progress bar.
        seed: seeds dropout at the start of a run.
        validate: returns metrics; ``monitor`` decides which state is kept and when to stop. Without it the last state
            is kept. It runs in every process, and the main process's metrics count.
        checkpoint: file to resume from and to write to; removed at the end.
        precision: dtype of autocast, "float32" for none.
        watch: called with the number of steps done, before the first and after each; it must change nothing.

    Returns:
        `History`. The module holds the best state, in evaluation mode.

    Raises:
        FloatingPointError: the loss is not finite; names the step.
        ValueError: a ``micro_batch`` for a module that needs whole batches; epochs of different lengths; a checkpoint
            that another number of processes wrote.
    """
    whole = getattr(module, "whole_batch", False)
    if whole and config.micro_batch:
        raise ValueError(
            f"{label}: {type(module).__name__} compares the rows of a batch with each other, so micro-batches would "
            f"train another loss; set micro_batch=None (now {config.micro_batch})"
        )
    group = Group(config.micro_batch, whole)
    step = Step(module.to(group.device), config, precision, group)
    runtime.seed_everything(seed + (0 if whole else group.index))  # each process draws dropout for rows of its own
    return _Loop(step, label, monitor, checkpoint).run(batches, validate, watch or (lambda step: None))


class _Loop:
    def __init__(self, step: Step, label: str, monitor: Monitor, checkpoint: Path | None):
        self.step, self.label, self.monitor, self.checkpoint = step, label, monitor, checkpoint
        self.state, self.config = State(step), step.config
        self.history = History(best=monitor.worst)
        self.done = self.since_best = 0
        self.started = self.saved = time.perf_counter()

    def run(
        self, batches: Callable[[int], Batches], validate: Validation | None, watch: Callable[[int], None]
    ) -> History:
        first = batches(0)
        total = len(first) * self.config.epochs
        every = max(1, len(first) // max(1, self.config.evaluations))
        self._resume()
        watch(self.done)
        quiet = {} if runtime.is_main() else {"disable": True}  # False would overrule the environment
        told = {"desc": self.label, "unit": "step", "leave": False, **quiet}
        with tqdm(total=total, initial=self.done, **told) as bar, runtime.stopping.behind_a_step():
            for epoch, rows, make in self._steps(batches, first, total):
                rate = learning_rate(self.config, self.done, total)
                loss = self._update(rows, make, rate)
                bar.update()
                watch(self.done)
                judged = validate is not None and (self.done % every == 0 or self.done == total)
                if judged or self.done % 20 == 0 or self.done == total:
                    self._record(loss, epoch, rate)
                if judged and self._judge(validate(), bar):
                    break
                self._save_if_due()
        if validate is not None:
            self.state.restore_best()
        self.step.module.eval()
        if self.checkpoint is not None and runtime.is_main():
            self.checkpoint.unlink(missing_ok=True)
        return self.history

    def _steps(self, batches: Callable[[int], Batches], first: Batches, total: int) -> Iterator[tuple]:
        """(epoch, rows, make) of the steps to come; an epoch is asked for when it begins."""
        current, epoch = 0, first
        for number in range(self.done, total):
            at, position = divmod(number, len(first))
            if at != current:
                current, epoch = at, batches(at)
            if len(epoch) != len(first):
                lengths = f"epoch {at} has {len(epoch)} steps and epoch 0 has {len(first)}"
                raise ValueError(f"{self.label}: {lengths}; batches(epoch) must give as many in every epoch")
            yield at, epoch.rows[position], epoch.make

    def _update(self, rows: np.ndarray, make: Callable[[np.ndarray], Any], rate: float) -> float:
        loss = self.step.accumulate(rows, make)
        if not math.isfinite(loss):  # in every process at once, since the loss is the sum over all of them
            raise FloatingPointError(
                f"{self.label}: the loss is {loss} at step {self.done}; lower the learning rate "
                f"(now {rate:g}) or check the input vectors"
            )
        self.step.move(rate)
        self.done += 1
        return loss

    def _record(self, loss: float, epoch: int, rate: float) -> None:
        seconds = round(time.perf_counter() - self.started, 2)
        self.history.records.append(
            {"step": self.done, "epoch": epoch, "loss": loss, "learning_rate": rate, "seconds": seconds}
        )

    def _judge(self, here: dict[str, float], bar: tqdm) -> bool:
        """Note a validation; True when patience has run out."""
        metrics, history, name = runtime.agree(here), self.history, self.monitor.name
        history.records[-1] |= metrics
        bar.set_postfix({k: f"{v:.4f}" for k, v in metrics.items()})
        self.since_best += 1
        if self.monitor.improves(metrics[name], history.best):
            history.best, history.best_step, self.since_best = metrics[name], self.done, 0
            self.state.keep_best()
        if self.since_best < self.config.patience:
            return False
        history.stopped = f"no better {name} in {self.since_best} validations"
        return True

    def _save_if_due(self) -> None:
        now = time.perf_counter()
        late = now - self.saved > self.config.checkpoint_seconds
        due, stop = runtime.agree((late, runtime.stopping.asked()))
        if self.checkpoint is not None and (due or stop):
            note = {"step": self.done, "since_best": self.since_best, "seconds": now - self.started}
            self.state.save(self.checkpoint, {**note, "history": self.history.to_json()})
            self.saved = time.perf_counter()
        if stop:
            raise KeyboardInterrupt

    def _resume(self) -> None:
        if self.checkpoint is None or not runtime.agree(self.checkpoint.is_file()):
            return
        note = self.state.load(self.checkpoint)
        self.done, self.since_best = note["step"], note["since_best"]
        self.started -= note["seconds"]
        self.history = History.from_json(note["history"])
        if runtime.is_main():
            tqdm.write(f"{self.label}: resumed at step {self.done}")
