"""The rows of a step, split over processes and micro-batches, and what they give put together again."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from accelerate import PartialState
from accelerate.utils import gather_object
from torch import nn

from sellarec_lab import runtime


@dataclass(frozen=True)
class Batches:
    """One epoch, whose batches are made when they are needed: ``rows`` are the row numbers of each optimiser step, and
    ``make`` turns row numbers [B] into what the module takes."""

    rows: Sequence[np.ndarray]
    make: Callable[[np.ndarray], Any]

    def __len__(self) -> int:
        return len(self.rows)


class Piece(NamedTuple):
    """Rows that go through the module at once, and the weight of their mean loss in the step's."""

    rows: np.ndarray
    share: float


class Group:
    """The processes that train one module together; without a launcher it is one, and nothing here costs anything.

    Gradients are summed here, once a step, and not by DDP: what is trained is small (adapters, tables, a projector),
    so there is little to overlap, and neither micro-batches nor parameters that a batch does not reach need a flag.
    """

    def __init__(self, micro_batch: int | None, whole: bool):
        state = PartialState(cpu=runtime.device().value == "cpu")
        self.device, self.count, self.index = state.device, state.num_processes, state.process_index
        self.micro_batch, self.whole = micro_batch, whole

    def pieces(self, rows: np.ndarray) -> list[Piece]:
        """This process's part of a step's rows, in micro-batches: as many in every process, since a backbone that is
        spread over the processes runs in all of them or in none. Where rows are too few, one is run with weight 0."""
        if self.whole:
            return [Piece(rows, 1 / self.count)]
        many = math.ceil(len(rows) / (self.count * (self.micro_batch or len(rows))))
        parts = np.array_split(rows, self.count * many)[self.index * many :][:many]
        return [Piece(part if len(part) else rows[:1], len(part) / len(rows)) for part in parts]

    def start_alike(self, parameters: Iterable[nn.Parameter]) -> None:
        """Every process begins with the main process's values."""
        if self.count > 1:
            for parameter in parameters:
                dist.broadcast(parameter.data, 0)

    def add_up(self, loss: torch.Tensor, parameters: Sequence[nn.Parameter]) -> torch.Tensor:
        """Sum the loss, a scalar, and the gradients over the processes; what no process reached keeps no gradient."""
        if self.count == 1:
            return loss
        note = torch.stack([loss, *(loss.new_tensor(float(p.grad is not None)) for p in parameters)])
        dist.all_reduce(note)
        for parameter, reached in zip(parameters, note[1:].tolist(), strict=True):
            if reached:
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                dist.all_reduce(parameter.grad)
        return note[0]

    def union(self, rows: torch.Tensor, n: int) -> torch.Tensor:
        """Rows of a table of n that any process names."""
        if self.count == 1:
            return rows
        named = torch.zeros(n, dtype=torch.uint8, device=rows.device)
        named[rows] = 1
        dist.all_reduce(named, dist.ReduceOp.MAX)
        return named.nonzero().squeeze(1)

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in their order."""
        return gather_object([value])
