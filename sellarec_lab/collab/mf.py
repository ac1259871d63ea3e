"""Matrix factorisation with user, item and global biases (Koren et al., IEEE Computer 42(8), 2009)."""

import pandas as pd
import torch
from torch import nn

from sellarec_lab.collab.pointwise import Pointwise
from sellarec_lab.collab.vectors import Vectors, score_pairs
from sellarec_lab.training import EmbeddingTable


class MatrixFactorisation(Pointwise):
    """logit = p_u . q_i + b_u + b_i + b.

    Factors and bias of an unseen user or item are zero: its score falls back on the other side's bias and the global
    mean.
    """

    def __init__(self, n_users: int, n_items: int, dim: int, biases: bool = True):
        super().__init__(n_users, n_items)
        self.users = EmbeddingTable(0.1 * torch.randn(n_users + 1, dim))
        self.items = EmbeddingTable(0.1 * torch.randn(n_items + 1, dim))
        self.user_bias = EmbeddingTable(torch.zeros(n_users + 1, 1))
        self.item_bias = EmbeddingTable(torch.zeros(n_items + 1, 1))
        self.bias = nn.Parameter(torch.zeros(1))
        for part in (self.user_bias.weight, self.item_bias.weight, self.bias):
            part.requires_grad_(biases)

    def forward(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Ids [B], [B] to logits [B]."""
        dot = (self.factors(self.users, users) * self.factors(self.items, items)).sum(-1)
        return dot + self.user_bias(users).squeeze(-1) + self.item_bias(items).squeeze(-1) + self.bias

    def factors(self, table: EmbeddingTable, ids: torch.Tensor) -> torch.Tensor:
        """What enters the product, for ids [B] of one table: [B, dim]."""
        return table(ids)

    @torch.no_grad()
    def vectors(self) -> Vectors:
        """Factors and bias of users [n_users + 1, dim + 1] and items [n_items + 1, dim + 1]."""
        sides = (self.users, self.user_bias, self.seen_users), (self.items, self.item_bias, self.seen_items)
        tables = []
        for table, bias, seen in sides:
            ids = torch.arange(len(seen), device=seen.device)
            tables.append((torch.cat([self.factors(table, ids), bias.weight], dim=1) * seen[:, None]).cpu())
        return Vectors(*tables)

    @torch.no_grad()
    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame's rows with a float ``score`` (a logit); unseen users and items count as average ones."""
        return score_pairs(self.vectors(), frame, self.bias.detach().cpu())
