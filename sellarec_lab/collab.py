"""Collaborative models: what co-ratings alone can tell.

Matrix factorisation with user, item and global biases (Koren et al., 2009), trained with a logistic loss. A user or
item that training never saw has no vector worth using: its factors and bias are zero, so its score falls back on the
other side's bias and the global mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from sellarec_lab import metrics, training
from sellarec_lab.config import CollabConfig
from sellarec_lab.training import History, Table


class Vectors(NamedTuple):
    """The collaborative tables: ``users`` [n_users + 1, d], ``items`` [n_items + 1, d]; row 0 and unseen rows are zero.

    With biases, the last coordinate is the bias.
    """

    users: torch.Tensor
    items: torch.Tensor


class MatrixFactorisation(nn.Module):
    """logit = p_u . q_i + b_u + b_i + b."""

    def __init__(self, n_users: int, n_items: int, dim: int, biases: bool = True, seed: int = 0):
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.users = Table(0.1 * torch.randn(n_users + 1, dim, generator=draw))
        self.items = Table(0.1 * torch.randn(n_items + 1, dim, generator=draw))
        self.user_bias = Table(torch.zeros(n_users + 1, 1))
        self.item_bias = Table(torch.zeros(n_items + 1, 1))
        self.bias = nn.Parameter(torch.zeros(1))
        for part in (self.user_bias.weight, self.item_bias.weight, self.bias):
            part.requires_grad_(biases)
        self.register_buffer("seen_users", torch.zeros(n_users + 1, dtype=torch.bool))
        self.register_buffer("seen_items", torch.zeros(n_items + 1, dtype=torch.bool))

    def mark_seen(self, train: pd.DataFrame) -> None:
        """Remember which users and items training rows hold."""
        self.seen_users[torch.tensor(train["user_id"].unique())] = True
        self.seen_items[torch.tensor(train["item_id"].unique())] = True

    def forward(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Ids [B], [B] to logits [B]."""
        dot = (self.users(users) * self.items(items)).sum(-1)
        return dot + self.user_bias(users).squeeze(-1) + self.item_bias(items).squeeze(-1) + self.bias

    @torch.no_grad()
    def vectors(self) -> Vectors:
        users = torch.cat([self.users.weight, self.user_bias.weight], dim=1) * self.seen_users[:, None]
        items = torch.cat([self.items.weight, self.item_bias.weight], dim=1) * self.seen_items[:, None]
        return Vectors(users, items)

    @torch.no_grad()
    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame's rows with a float ``score`` (a logit); unseen users and items count as average ones."""
        table = self.vectors()
        users = table.users[torch.tensor(frame["user_id"].to_numpy())]
        items = table.items[torch.tensor(frame["item_id"].to_numpy())]
        dot = (users[:, :-1] * items[:, :-1]).sum(-1)
        return frame.assign(score=(dot + users[:, -1] + items[:, -1] + self.bias).double().numpy())


class _Ratings(nn.Module):
    """Logistic loss of the logits on the labels."""

    def __init__(self, model: MatrixFactorisation):
        super().__init__()
        self.model = model

    def forward(self, batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> torch.Tensor:
        users, items, labels = batch
        return F.binary_cross_entropy_with_logits(self.model(users, items), labels)


def rating_batches(train: pd.DataFrame, batch_size: int, seed: int):
    """epoch -> list of (users [B], items [B], labels [B]); depends on the seed and the epoch alone."""
    columns = [torch.tensor(train[c].to_numpy().copy()) for c in ("user_id", "item_id", "label")]

    def batches(epoch: int) -> list[tuple[torch.Tensor, ...]]:
        order = torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(len(train)))
        users, items, labels = (column[order].split(batch_size) for column in columns)
        return [(u, i, y.float()) for u, i, y in zip(users, items, labels, strict=True)]

    return batches


def ranking_quality(predicted: pd.DataFrame) -> dict[str, float]:
    """AUC and UAUC of a frame with ``user_id, label, score``."""
    return {
        "auc": metrics.auc(predicted["label"], predicted["score"]),
        "uauc": metrics.uauc(predicted["user_id"], predicted["label"], predicted["score"]),
    }


def train_mf(
    config: CollabConfig, data, seed: int = 0, checkpoint: Path | None = None, label: str = "matrix factorisation"
) -> tuple[MatrixFactorisation, History]:
    """Fit MF on ``data.train`` with early stopping on ``data.valid``; ``data`` is an `Interactions`."""
    model = MatrixFactorisation(data.n_users, data.n_items, config.dim, config.biases, seed)
    model.mark_seen(data.train)
    history = training.fit(
        _Ratings(model), rating_batches(data.train, config.loop.batch_size, seed), config.loop,
        label=label, seed=seed, validate=lambda: ranking_quality(model.predict(data.valid)), checkpoint=checkpoint,
    )  # fmt: skip
    return model, history


def mean_scores(train: pd.DataFrame, frame: pd.DataFrame, strength: float = 5.0) -> pd.DataFrame:
    """The anchor that every model is read against: smoothed item mean and user mean, as a sum of logits.

    Two numbers a row, from ``train`` alone: mean label of the item and of the user, each pulled towards the global
    mean by ``strength`` pseudo-ratings (5 was best on ML-1M's valid split among 0.5, 1, 2, 5, 10). An unseen user or
    item counts as the global mean.
    """
    overall = train["label"].mean()
    score = np.zeros(len(frame))
    for column in ("item_id", "user_id"):
        groups = train.groupby(column)["label"].agg(["sum", "count"])
        mean = (groups["sum"] + strength * overall) / (groups["count"] + strength)
        p = frame[column].map(mean).fillna(overall).clip(1e-6, 1 - 1e-6).to_numpy()
        score += np.log(p / (1 - p))
    return frame.assign(score=score)
