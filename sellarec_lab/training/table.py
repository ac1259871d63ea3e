"""An embedding table for users and items of whom most are absent from a batch."""

from collections.abc import Callable

import torch
from torch import nn


class EmbeddingTable(nn.Embedding):
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
    def decay(self, amount: float, everywhere: Callable[[torch.Tensor, int], torch.Tensor] | None = None) -> None:
        """Shrink the rows used since the last call by the factor ``1 - amount``.

        ``everywhere(rows, n)`` turns the rows of n that this process used into those that any process used.
        """
        none = torch.zeros(0, dtype=torch.long, device=self.weight.device)
        rows = torch.unique(torch.cat([*self._used, none]))
        self._used.clear()
        if everywhere is not None:
            rows = everywhere(rows, len(self.weight))
        if amount:
            self.weight[rows] *= 1.0 - amount
