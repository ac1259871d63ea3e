"""What comes next, over the whole catalogue: popularity, neighbours of items, and SASRec with full cross-entropy.

A SASRec trained with one negative a positive is a weak baseline; with the softmax over all items it is a strong one
(Klenitskiy & Vasilev 2023, arXiv 2309.07602), so that is the one that stands in the table.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import nn

from sellarec_lab import config, metrics, runtime, training
from sellarec_lab.collab.sequential import Block, padded_histories, trimmed
from sellarec_lab.config import NeighboursConfig, NextItemConfig, Preset
from sellarec_lab.data import Interactions, NextItemRanker, Profiles, next_items
from sellarec_lab.runtime import Stage
from sellarec_lab.training import Batches

JUDGE = training.Monitor("ndcg@10")


class PopularNext(NextItemRanker):
    """Every item by its number of train rows, whatever the history."""

    def __init__(self, data: Interactions):
        self.profiles = Profiles.of(data)
        self.counts = np.bincount(data.train["item_id"], minlength=data.n_items + 1).astype(float)
        self.counts[0] = -np.inf

    def score_catalogue(self, histories: Sequence[Sequence[int]]) -> np.ndarray:
        return np.tile(self.counts, (len(histories), 1))


class ItemNeighbours(NextItemRanker):
    """Cosine between items over train's users, summed over the most recent items of the history, the last ones more
    (item-kNN; Sarwar et al. 2001)."""

    def __init__(self, data: Interactions, settings: NeighboursConfig):
        self.profiles, self.settings = Profiles.of(data), settings
        shape = (data.n_users + 1, data.n_items + 1)
        met = sparse.csr_array((np.ones(len(data.train)), (data.train["user_id"], data.train["item_id"])), shape=shape)
        unit = met / np.maximum(np.sqrt(met.power(2).sum(0)), 1e-12)
        self.similar = (unit.T @ unit).tolil()
        self.similar.setdiag(0)
        self.similar = self.similar.tocsr()

    def score_catalogue(self, histories: Sequence[Sequence[int]]) -> np.ndarray:
        weights = sparse.lil_array((len(histories), self.similar.shape[0]))
        for row, history in enumerate(histories):
            recent = list(history)[-self.settings.history :]
            weights[row, recent] = self.settings.fading ** np.arange(len(recent))[::-1]
        scores = (weights.tocsr() @ self.similar).toarray()
        scores[:, 0] = -np.inf
        return scores


class NextItemSASRec(nn.Module, NextItemRanker):
    """SASRec (arXiv 1808.09781): a causal transformer over items; the state at each place, times the table of items,
    gives the logits of what comes next. ``forward(windows [B, L + 1])``, padded on the left, is the mean cross-entropy
    over the whole catalogue at every place."""

    def __init__(self, data: Interactions, settings: NextItemConfig):
        super().__init__()
        self.profiles, self.history = Profiles.of(data), settings.history
        self.items = nn.Embedding(data.n_items + 1, settings.dim, padding_idx=0)
        self.positions = nn.Parameter(0.02 * torch.randn(settings.history, settings.dim))
        nn.init.normal_(self.items.weight, std=0.02)
        heads, rate = settings.heads, settings.dropout
        self.blocks = nn.ModuleList(Block(settings.dim, heads, rate) for _ in range(settings.layers))
        self.dropout, self.norm = nn.Dropout(rate), nn.LayerNorm(settings.dim)

    def states(self, histories: torch.Tensor) -> torch.Tensor:
        """Padded histories [B, L] to the state at each place [B, L, d]."""
        width = histories.shape[1]
        x = self.dropout(self.items(histories) + self.positions[len(self.positions) - width :])
        column = torch.arange(width, device=x.device)
        known = histories > 0
        allowed = (column <= column[:, None]) & (
            known[:, None, :] | torch.eye(width, dtype=torch.bool, device=x.device)
        )
        for block in self.blocks:
            x = block(x, allowed[:, None], last=False)
        return self.norm(x)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        targets = windows[:, 1:]
        asked = (targets > 0) & (windows[:, :-1] > 0)  # [B, L]
        logits = self.states(windows[:, :-1])[asked] @ self.items.weight.T  # [N, n_items + 1]
        return F.cross_entropy(logits, targets[asked])

    @torch.no_grad()
    def score_catalogue(self, histories: Sequence[Sequence[int]]) -> np.ndarray:
        was_training = self.training
        self.eval()
        padded = padded_histories(pd.Series([tuple(h) for h in histories]), self.history).to(self.items.weight.device)
        scores = self.states(padded)[:, -1] @ self.items.weight.T
        scores[:, 0] = -torch.inf
        self.train(was_training)
        return scores.cpu().numpy()


def train_next_item(
    settings: NextItemConfig, data: Interactions, seed: int = 0, checkpoint: Path | None = None
) -> tuple[NextItemSASRec, training.History]:
    """SASRec on train's sequences, stopped by NDCG@10 on valid over all users; in its best state, on the CPU."""
    with runtime.seeded(seed, "next-item SASRec"):
        model = NextItemSASRec(data, settings)
    asked = next_items(data, "valid")
    history = training.fit(
        model, _windows(data, settings, seed), settings.loop, label="SASRec, next item", seed=seed,
        validate=lambda: {JUDGE.name: metrics.value(model.rank(asked), JUDGE.name)}, monitor=JUDGE,
        checkpoint=checkpoint,
    )  # fmt: skip
    return model.cpu().eval(), history


def next_item_stage(cfg: Preset, data: Interactions) -> Stage:
    """The preset's SASRec for next items as a stage; its value is the trained model."""

    def make(stage: Stage) -> dict:
        model, history = train_next_item(cfg.next_item, data, cfg.seed, stage.path("checkpoint.safetensors"))
        runtime.save_tensors(stage.path("model.safetensors"), model.state_dict())
        return history.keep(stage.path("history.json"))

    def read(stage: Stage) -> NextItemSASRec:
        model = NextItemSASRec(data, cfg.next_item)
        model.load_state_dict(runtime.load_tensors(stage.path("model.safetensors"))[0])
        return model.eval()

    settings = {"settings": config.as_dict(cfg.next_item)}
    return runtime.stage(cfg, data, "sasrec-next", settings, make, read, code=(__name__,))


def _windows(data: Interactions, settings: NextItemConfig, seed: int) -> Callable[[int], Batches]:
    """epoch -> batches of each user's last ``history`` + 1 train items, padded on the left [B, L + 1]."""
    sequences = data.train.groupby("user_id")["item_id"].agg(tuple)
    table = padded_histories(sequences[sequences.map(len) > 1], settings.history + 1)
    size, on = settings.loop.batch_size, runtime.device().value

    def batches(epoch: int) -> Batches:
        order = np.random.default_rng([seed, epoch]).permutation(len(table))
        return Batches(
            [order[i : i + size] for i in range(0, len(order), size)], lambda rows: trimmed(table[rows]).to(on)
        )

    return batches
