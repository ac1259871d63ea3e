"""Models that read the user's liked items: SASRec in their order, DIN as a set weighed by the candidate."""

from collections.abc import Callable
from itertools import chain

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from sellarec_lab.collab.pointwise import Inputs, Pointwise
from sellarec_lab.training import EmbeddingTable


def padded_histories(histories: pd.Series, width: int) -> torch.Tensor:
    """Tuples of item ids, oldest first, to their last ``width`` ids: [n, width], zeros on the left."""
    kept = [history[-width:] for history in histories]
    lengths = np.fromiter(map(len, kept), dtype=np.int64, count=len(kept))  # [n]
    padded = np.zeros((len(kept), width), dtype=np.int64)
    filled = np.arange(width) >= width - lengths[:, None]  # [n, width]
    padded[filled] = np.fromiter(chain.from_iterable(kept), dtype=np.int64, count=int(lengths.sum()))
    return torch.from_numpy(padded)


class _Sequential(Pointwise):
    """An item table, and inputs with a third column: padded histories [n, width]."""

    def __init__(self, n_users: int, n_items: int, dim: int, history: int):
        super().__init__(n_users, n_items)
        self.width = history
        self.items = EmbeddingTable(0.1 * torch.randn(n_items + 1, dim))

    def inputs(self, frame: pd.DataFrame) -> Inputs:
        """Users [n], items [n], histories [n, width]."""
        return (*super().inputs(frame), padded_histories(frame["history"], self.width))

    def _embedded(self, items: torch.Tensor) -> torch.Tensor:
        """Ids [..] to vectors [.., d]; zero for padding and for items that training never saw."""
        return self.items(items) * self.seen_items[items].unsqueeze(-1)


def trimmed(histories: torch.Tensor) -> torch.Tensor:
    """Without the columns on the left that hold padding alone."""
    longest = int((histories > 0).sum(1).max()) if len(histories) else 0
    return histories[:, histories.shape[1] - longest :]


def _by_length(read: Callable[..., torch.Tensor], histories: torch.Tensor, *columns: torch.Tensor) -> torch.Tensor:
    """``read(histories, *columns)`` [B, ..], computed in groups of like length: a short history costs little."""
    order = (histories > 0).sum(1).argsort(stable=True)
    parts = [read(trimmed(histories[group]), *(c[group] for c in columns)) for group in order.split(256)]
    return torch.cat(parts)[order.argsort()]


class Block(nn.Module):
    """Pre-norm self-attention and a position-wise network of two layers, both residual."""

    def __init__(self, dim: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm_attention, self.norm_network = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))
        self.network = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(dim, dim))

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, L, d] -> [B, heads, L, d / heads]

    def forward(self, x: torch.Tensor, allowed: torch.Tensor, last: bool) -> torch.Tensor:
        """States [B, L, d] to new ones; ``allowed`` [B, 1, L, L]; with ``last`` only the last position [B, 1, d]."""
        normed = self.norm_attention(x)
        if last:
            x, asking, allowed = x[:, -1:], normed[:, -1:], allowed[:, :, -1:]
        else:
            asking = normed
        q, k, v = self._heads(self.query(asking)), self._heads(self.key(normed)), self._heads(self.value(normed))
        rate = self.dropout if self.training else 0.0
        read = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, dropout_p=rate)  # [B, heads, L, d / heads]
        x = x + F.dropout(self.out(read.transpose(1, 2).flatten(2)), rate)
        return x + F.dropout(self.network(self.norm_network(x)), rate)


class SASRec(_Sequential):
    """logit = s . q_i, where s is the state of a causal transformer after the user's liked items (arXiv 1808.09781).

    Pointwise on all train rows. A learned start token precedes the oldest item, so an empty history has a state too.
    Positions count back from the newest item, as the paper's padding on the left has it.
    """

    def __init__(self, n_users: int, n_items: int, *, dim: int, layers: int, heads: int, dropout: float, history: int):
        super().__init__(n_users, n_items, dim, history)
        if dim % heads:
            raise ValueError(f"dim must be a multiple of heads, got dim={dim} and heads={heads}")
        self.positions = nn.Parameter(0.1 * torch.randn(history, dim))  # the last row: the newest item
        self.start = nn.Parameter(0.1 * torch.randn(dim))
        self.dropout = dropout
        self.blocks = nn.ModuleList(Block(dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def states(self, histories: torch.Tensor) -> torch.Tensor:
        """Padded histories [B, L] to the state after each [B, d]."""
        return _by_length(self._states, histories)

    def _states(self, histories: torch.Tensor) -> torch.Tensor:
        lengths, width = (histories > 0).sum(1), histories.shape[1]
        x = self._embedded(histories) + self.positions[len(self.positions) - width :]  # [B, L, d]
        x = F.pad(x, (0, 0, 1, 0))  # [B, L + 1, d]: one column more, for the start token of a full row
        column = torch.arange(width + 1, device=x.device)
        first = (width - lengths)[:, None]  # [B, 1], column of the start token
        x = torch.where((column == first).unsqueeze(-1), self.start, x)
        x = F.dropout(x, self.dropout, self.training)
        # no one looks ahead or at padding; padding looks at itself, since a softmax over nothing is not a number
        causal = column <= column[:, None]  # [L + 1, L + 1], row asks, column answers
        allowed = causal & ((column >= first)[:, None, :] | torch.eye(width + 1, dtype=torch.bool, device=x.device))
        for number, block in enumerate(self.blocks, start=1):
            x = block(x, allowed[:, None], last=number == len(self.blocks))
        return self.norm(x[:, -1])

    def forward(self, users: torch.Tensor, items: torch.Tensor, histories: torch.Tensor) -> torch.Tensor:
        """Ids [B], [B] and padded histories [B, L] to logits [B]; the user is known by the history alone."""
        return (self.states(histories) * self._embedded(items)).sum(-1)


class DIN(_Sequential):
    """Deep Interest Network (arXiv 1706.06978): interest = sum over liked items h of a(h, t) h, for the candidate t.

    a is a small network on [h, t, h - t, h * t]. Its output is the weight itself, without softmax, so that many
    fitting items count for more than one. A second network reads [user, interest, t]. PReLU stands for the paper's
    Dice.
    """

    def __init__(self, n_users: int, n_items: int, *, dim: int, hidden: int, dropout: float, history: int):
        super().__init__(n_users, n_items, dim, history)
        self.users = EmbeddingTable(0.1 * torch.randn(n_users + 1, dim))
        self.attention = nn.Sequential(nn.Linear(4 * dim, hidden), nn.PReLU(), nn.Linear(hidden, 1))
        self.top = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(3 * dim, hidden), nn.PReLU(), nn.Dropout(dropout), nn.Linear(hidden, 1)
        )

    def interests(self, items: torch.Tensor, histories: torch.Tensor) -> torch.Tensor:
        """Candidates [B] and padded histories [B, L] to interests [B, d]; zero for an empty history."""
        return _by_length(self._interests, histories, items)

    def _interests(self, histories: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        h = self._embedded(histories)  # [B, L, d]
        t = self._embedded(items).unsqueeze(1).expand_as(h)
        weights = self.attention(torch.cat([h, t, h - t, h * t], dim=-1)).squeeze(-1)  # [B, L]
        return ((weights * (histories > 0)).unsqueeze(-1) * h).sum(1)

    def forward(self, users: torch.Tensor, items: torch.Tensor, histories: torch.Tensor) -> torch.Tensor:
        """Ids [B], [B] and padded histories [B, L] to logits [B]."""
        user = self.users(users) * self.seen_users[users].unsqueeze(-1)  # [B, d]
        parts = [user, self.interests(items, histories), self._embedded(items)]
        return self.top(torch.cat(parts, dim=-1)).squeeze(-1)
