"""The one training loop, on `accelerate`: schedule, clipping, validation, early stopping, resumable checkpoints.

What is trained is a module whose ``forward(batch)`` is its loss. A run that was killed goes on from its last
checkpoint and ends with the same weights as a run that was not: batches depend on (seed, epoch) alone, and the
optimiser, the random state and the best weights so far are part of the checkpoint.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from accelerate import Accelerator
from torch import nn
from tqdm.auto import tqdm

from sellarec_lab import runtime
from sellarec_lab.config import LoopConfig

Validation = Callable[[], dict[str, float]]


@dataclass(frozen=True)
class Batches:
    rows: Sequence[Any]
    make: Callable[[Any], Any]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.make(self.rows[i])


@dataclass(frozen=True)
class Monitor:
    name: str = "auc"
    better: str = "higher"


class Table(nn.Embedding):
    """An embedding table with decoupled weight decay on the rows that were just used, and on no others.

    Plain AdamW (and Adam with L2) shrinks every row at every step, so a row that never occurs in a batch fades away.
    Here a row without gradient keeps its value: cold users and items keep what they were given.
    """

    def __init__(self, values: torch.Tensor):
        super().__init__(*values.shape, _weight=values.clone().float())
        self._used: list[torch.Tensor] = []

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        if self.training and self.weight.requires_grad and torch.is_grad_enabled():
            self._used.append(ids.detach().flatten())
        return super().forward(ids)

    @torch.no_grad()
    def decay(self, amount: float) -> None:
        """Shrink the rows used since the last call by the factor ``1 - amount``."""
        if self._used and amount:
            rows = torch.unique(torch.cat(self._used))
            self.weight[rows] *= 1.0 - amount
        self._used.clear()


@dataclass
class History:
    """What happened: one record a logged step (``step, epoch, loss, learning_rate, seconds``, and at a validation its
    metrics). ``best`` is the best monitored value, ``stopped`` says why training ended."""

    records: list[dict[str, float]] = field(default_factory=list)
    best: float = -math.inf
    best_step: int = 0
    stopped: str = "all epochs done"

    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(self.records)

    def to_json(self) -> str:
        return json.dumps(self.__dict__)

    def keep(self, path: Path) -> dict[str, Any]:
        """Write it beside a result; returns what a manifest should tell."""
        runtime.write_text(path, self.to_json())
        return {"best": self.best, "best_step": self.best_step, "stopped": self.stopped}

    @classmethod
    def from_json(cls, text: str) -> History:
        return cls(**json.loads(text))


class _State:
    """Everything that a checkpoint holds beside the loop's own counters."""

    def __init__(self, module: nn.Module, optimizer: torch.optim.Optimizer):
        self.parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self.optimizer = optimizer
        self.best: dict[str, torch.Tensor] = {}

    def keep_best(self) -> None:
        self.best = {name: p.detach().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def restore_best(self) -> None:
        for name, value in self.best.items():
            self.parameters[name].copy_(value)

    def save(self, path: Path, note: dict[str, Any]) -> None:
        tensors = {f"now/{n}": p for n, p in self.parameters.items()}
        tensors |= {f"best/{n}": p for n, p in self.best.items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{key}": torch.as_tensor(v) for key, v in values.items()}
        tensors["random/cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random/cuda"] = torch.cuda.get_rng_state()
        runtime.save_tensors(path, tensors, note)

    @torch.no_grad()
    def load(self, path: Path) -> dict[str, Any]:
        tensors, note = runtime.load_tensors(path)
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in tensors.items():
            part, _, rest = name.partition("/")
            if part == "now":
                self.parameters[rest].copy_(value)
            elif part == "best":
                self.best[rest] = value.to(self.parameters[rest].device)
            elif part == "optimizer":
                index, _, key = rest.partition("/")
                state.setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        torch.set_rng_state(tensors["random/cpu"])
        if "random/cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["random/cuda"])
        return note


def _learning_rate(config: LoopConfig, step: int, total: int) -> float:
    """Linear warm-up, then cosine to a tenth of the peak, or constant."""
    warm = max(1, round(config.warmup * total))
    if step < warm and config.warmup > 0:
        return config.learning_rate * (step + 1) / warm
    if config.schedule == "constant":
        return config.learning_rate
    done = (step - warm) / max(1, total - warm)
    return config.learning_rate * (0.1 + 0.45 * (1 + math.cos(math.pi * min(1.0, done))))


def fit(
    module: nn.Module,
    batches: Callable[[int], Sequence[Any]],
    config: LoopConfig,
    *,
    label: str,
    seed: int = 0,
    validate: Validation | None = None,
    monitor: Monitor = Monitor(),
    checkpoint: Path | None = None,
    precision: str = "float32",
) -> History:
    """Train the parameters of ``module`` that require gradients.

    Args:
        module: ``module(batch)`` returns the loss, a scalar tensor.
        batches: epoch -> that epoch's batches; must depend on nothing but the epoch (and a seed of its own).
        config: the optimisation.
        label: name on the progress bar.
        seed: seeds dropout at the start of a run.
        validate: returns metrics; ``monitor`` (higher is better) decides which state is kept and when to stop.
            Without it the last state is kept.
        checkpoint: file to resume from and to write to; removed at the end.
        precision: dtype of autocast, "float32" for none.

    Returns:
        `History`. The module holds the best state, in evaluation mode.

    Raises:
        FloatingPointError: the loss is not finite; names the step.
    """
    accelerator = Accelerator(cpu=runtime.device().value == "cpu")  # mixed precision is ours: it differs by stage
    tables = [m for m in module.modules() if isinstance(m, Table) and m.weight.requires_grad]
    own = {id(t.weight) for t in tables}
    trainable = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if id(p) not in own], "weight_decay": config.weight_decay},
        {"params": [t.weight for t in tables], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=config.learning_rate, betas=(0.9, 0.98))
    prepared = accelerator.prepare_model(module)
    loop = _Loop(prepared, module, optimizer, accelerator, tables, trainable, config, label, precision)
    runtime.seed_everything(seed)
    return loop.run(batches, validate, monitor.name, checkpoint, _State(module, optimizer))


class _Loop:
    def __init__(self, prepared, module, optimizer, accelerator, tables, trainable, config, label, precision):
        self.prepared, self.module, self.optimizer, self.accelerator = prepared, module, optimizer, accelerator
        self.tables, self.trainable, self.config, self.label = tables, trainable, config, label
        self.precision = getattr(torch, precision)
        self.scaler = torch.amp.GradScaler(accelerator.device.type, enabled=precision == "float16")
        self.step = self.since_best = 0
        self.history = History()
        self.spent = 0.0

    def run(self, batches, validate, monitor, checkpoint, state) -> History:
        config = self.config
        first = list(batches(0))
        per_epoch, total = len(first), len(first) * config.epochs
        every = max(1, per_epoch // max(1, config.evaluations))
        if checkpoint is not None and checkpoint.is_file():
            self._resume(state.load(checkpoint))
        started = saved = time.perf_counter()
        with tqdm(total=total, initial=self.step, desc=self.label, unit="step", leave=False) as bar:
            while self.step < total:
                epoch, position = divmod(self.step, per_epoch)
                for batch in (first if epoch == 0 else list(batches(epoch)))[position:]:
                    loss = self._update(batch, total)
                    bar.update()
                    self.step += 1
                    now = time.perf_counter()
                    at_validation = validate is not None and (self.step % every == 0 or self.step == total)
                    if at_validation or self.step % 20 == 0 or self.step == total:
                        self._record(loss, epoch, self.spent + now - started, total)
                    if at_validation and self._judge(validate(), monitor, state, bar):
                        break
                    if checkpoint is not None and now - saved > config.checkpoint_seconds:
                        self._save(state, checkpoint, now - started)
                        saved = time.perf_counter()
                else:
                    continue
                break
        if validate is not None:
            state.restore_best()
        self.module.eval()
        if checkpoint is not None:
            checkpoint.unlink(missing_ok=True)
        return self.history

    def _update(self, batch, total: int) -> float:
        rate = _learning_rate(self.config, self.step, total)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.prepared.train()
        mixed = self.precision is not torch.float32
        with torch.autocast(self.accelerator.device.type, self.precision, enabled=mixed):
            loss = self.prepared(batch)
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"{self.label}: the loss is {loss.item()} at step {self.step}; lower the learning rate "
                f"(now {rate:g}) or check the input vectors"
            )
        self.accelerator.backward(self.scaler.scale(loss))
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.trainable, self.config.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        for table in self.tables:
            table.decay(rate * self.config.weight_decay)
        return loss.item()

    def _record(self, loss: float, epoch: int, seconds: float, total: int) -> None:
        rate = _learning_rate(self.config, self.step - 1, total)
        self.history.records.append(
            {"step": self.step, "epoch": epoch, "loss": loss, "learning_rate": rate, "seconds": round(seconds, 2)}
        )

    def _judge(self, metrics: dict[str, float], monitor: str, state: _State, bar: tqdm) -> bool:
        """Note a validation; True when patience has run out."""
        self.history.records[-1] |= metrics
        bar.set_postfix({k: f"{v:.4f}" for k, v in metrics.items()})
        if metrics[monitor] > self.history.best:
            self.history.best, self.history.best_step, self.since_best = metrics[monitor], self.step, 0
            state.keep_best()
        else:
            self.since_best += 1
        if self.since_best >= self.config.patience:
            self.history.stopped = f"no better {monitor} in {self.since_best} validations"
            return True
        return False

    def _save(self, state: _State, checkpoint: Path, seconds: float) -> None:
        note = {
            "step": self.step,
            "since_best": self.since_best,
            "seconds": self.spent + seconds,
            "history": self.history.to_json(),
            "scaler": self.scaler.state_dict(),
        }
        state.save(checkpoint, note)

    def _resume(self, note: dict[str, Any]) -> None:
        self.step, self.since_best, self.spent = note["step"], note["since_best"], note["seconds"]
        self.history = History.from_json(note["history"])
        self.scaler.load_state_dict(note["scaler"])
        tqdm.write(f"{self.label}: resumed at step {self.step}")
