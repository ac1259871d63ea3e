"""An embedding table for users and items of whom most are absent from a batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


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
    def decay(self, amount: float, everywhere: Callable[[torch.Tensor], torch.Tensor] | None = None) -> None:
        """Shrink the rows used since the last call by the factor ``1 - amount``.

        ``everywhere`` turns the mask [n] of the rows used in this process into that of all processes.
        """
        used = torch.zeros(len(self.weight), dtype=torch.bool, device=self.weight.device)
        for ids in self._used:
            used[ids] = True
        self._used.clear()
        if everywhere is not None:
            used = everywhere(used)
        if amount:
            self.weight[used] *= 1.0 - amount
