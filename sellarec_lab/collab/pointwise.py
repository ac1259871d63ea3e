"""What the learning models share: one row in, one logit out; logistic loss; batches; the measure on valid."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from sellarec_lab import runtime
from sellarec_lab.data import Interactions, Ranker
from sellarec_lab.training import Batches

Inputs = tuple[torch.Tensor, ...]


class Pointwise(nn.Module, Ranker):
    """A model of one (user, item) row. ``forward(*inputs)`` gives logits [B].

    A user or item that training never saw has no vector worth using: what belongs to it counts as zero.
    """

    def __init__(self, n_users: int, n_items: int):
        super().__init__()
        self.register_buffer("seen_users", torch.zeros(n_users + 1, dtype=torch.bool))
        self.register_buffer("seen_items", torch.zeros(n_items + 1, dtype=torch.bool))

    data: Interactions  # what it was built for

    def mark_seen(self, train: pd.DataFrame) -> None:
        """Remember which users and items training rows hold."""
        self.seen_users[torch.tensor(train["user_id"].unique())] = True
        self.seen_items[torch.tensor(train["item_id"].unique())] = True

    def inputs(self, frame: pd.DataFrame) -> Inputs:
        """What ``forward`` takes for the frame's rows: here the ids [n], [n]."""
        return tuple(torch.tensor(frame[column].to_numpy().copy()) for column in ("user_id", "item_id"))

    @torch.no_grad()
    def predict(self, frame: pd.DataFrame, rows: int = 4096) -> pd.DataFrame:
        """The frame's rows with a float ``score`` (a logit), computed ``rows`` at a time and without dropout."""
        was_training = self.training
        self.eval()
        parts = zip(*(column.to(self.seen_items.device).split(rows) for column in self.inputs(frame)))
        scores = [self(*part).cpu() for part in parts]
        self.train(was_training)
        return frame.assign(score=torch.cat(scores).double().numpy() if scores else 0.0)


class LogisticLoss(nn.Module):
    """Batch (inputs.., labels [B]) to the logistic loss of the model's logits, a scalar."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, batch: Inputs) -> torch.Tensor:
        *inputs, labels = batch
        return F.binary_cross_entropy_with_logits(self.model(*inputs), labels)


def shuffled(columns: Inputs, batch_size: int, seed: int) -> Callable[[int], Batches]:
    """epoch -> batches of the columns [n, ..], on the training device; depends on seed and epoch alone."""
    columns = tuple(column.to(runtime.device().value) for column in columns)

    def make(rows: np.ndarray) -> Inputs:
        chosen = torch.from_numpy(rows).to(columns[0].device)
        return tuple(column[chosen] for column in columns)

    def batches(epoch: int) -> Batches:
        order = np.random.default_rng([seed, epoch]).permutation(len(columns[0]))
        return Batches([order[i : i + batch_size] for i in range(0, len(order), batch_size)], make)

    return batches


def labels_of(train: pd.DataFrame) -> torch.Tensor:
    """Labels [n] as floats."""
    return torch.tensor(train["label"].to_numpy().copy()).float()


def rating_batches(train: pd.DataFrame, batch_size: int, seed: int) -> Callable[[int], Batches]:
    """epoch -> batches of (users [B], items [B], labels [B]); depends on the seed and the epoch alone."""
    users, items = (torch.tensor(train[column].to_numpy().copy()) for column in ("user_id", "item_id"))
    return shuffled((users, items, labels_of(train)), batch_size, seed)
