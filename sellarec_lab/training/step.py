"""One optimiser step."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from sellarec_lab.config import LoopConfig
from sellarec_lab.training.split import Group
from sellarec_lab.training.table import EmbeddingTable


def learning_rate(config: LoopConfig, step: int, total: int) -> float:
    """Linear warm-up, then cosine to a tenth of the peak, or constant."""
    warm = max(1, round(config.warmup * total))
    if step < warm and config.warmup > 0:
        return config.learning_rate * (step + 1) / warm
    if config.schedule == "constant":
        return config.learning_rate
    done = (step - warm) / max(1, total - warm)
    return config.learning_rate * (0.1 + 0.45 * (1 + math.cos(math.pi * min(1.0, done))))


class Step:
    """Gradients of a step's rows, in as many pieces as it takes, then one move of the optimiser."""

    def __init__(self, module: nn.Module, config: LoopConfig, precision: str, group: Group):
        self.module, self.config, self.group = module, config, group
        self.parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self.tables = [m for m in module.modules() if isinstance(m, EmbeddingTable) and m.weight.requires_grad]
        self.optimizer = _optimizer(list(self.parameters.values()), self.tables, config)
        self.precision = getattr(torch, precision)
        self.scaler = torch.amp.GradScaler(group.device.type, enabled=precision == "float16")
        group.start_alike(self.parameters.values())

    def accumulate(self, rows: np.ndarray, make: Callable[[np.ndarray], Any]) -> float:
        """Leave the gradients of the mean loss over ``rows`` and return that loss, the same in every process."""
        self.module.train()
        loss = torch.zeros((), device=self.group.device)
        for piece in self.group.pieces(rows):
            loss += self._backward(make(piece.rows), piece.share)
        return self.group.add_up(loss, list(self.parameters.values())).item()

    def _backward(self, batch: Any, share: float) -> torch.Tensor:
        mixed = self.precision is not torch.float32
        with torch.autocast(self.group.device.type, self.precision, enabled=mixed):
            loss = self.module(batch) * share
        self.scaler.scale(loss).backward()
        return loss.detach()

    def move(self, rate: float) -> None:
        """Clip the gradients, move by them at the learning rate, let the tables' used rows decay."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.parameters.values(), self.config.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        for table in self.tables:
            table.decay(rate * self.config.weight_decay, self.group.union)


def _optimizer(parameters: list[nn.Parameter], tables: list[EmbeddingTable], config: LoopConfig) -> torch.optim.AdamW:
    own = {id(t.weight) for t in tables}
    groups = [
        {"params": [p for p in parameters if id(p) not in own], "weight_decay": config.weight_decay},
        {"params": [t.weight for t in tables], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=config.learning_rate, betas=(0.9, 0.98))
