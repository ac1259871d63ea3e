"""LightGCN (He et al., arXiv 2002.02126): vectors smoothed over the graph of likes, and nothing else.

The paper ranks with BPR; here the loss is pointwise on all train rows, as in the CoLLM family (arXiv 2310.19488). The
graph holds liked rows alone: a dislike is no reason to be alike.
"""

import pandas as pd
import torch

from sellarec_lab.collab.pointwise import Pointwise
from sellarec_lab.collab.vectors import Vectors, score_pairs
from sellarec_lab.training import EmbeddingTable


def like_graph(train: pd.DataFrame, n_users: int, n_items: int) -> torch.Tensor:
    """Sparse [n_users + 1, n_items + 1]: 1 / sqrt(deg u * deg i) where the user liked the item in train, else 0."""
    liked = train.loc[train["label"] == 1, ["user_id", "item_id"]].drop_duplicates()
    edges = torch.tensor(liked.to_numpy().T.copy())  # [2, E]
    degrees = [torch.bincount(side, minlength=n + 1).float() for side, n in zip(edges, (n_users, n_items))]
    weights = (degrees[0][edges[0]] * degrees[1][edges[1]]).rsqrt()
    return torch.sparse_coo_tensor(edges, weights, (n_users + 1, n_items + 1), check_invariants=True).coalesce()


class LightGCN(Pointwise):
    """logit = e_u . e_i with e = mean over layers 0..K of the propagated vectors."""

    def __init__(self, n_users: int, n_items: int, dim: int, layers: int, train: pd.DataFrame):
        super().__init__(n_users, n_items)
        self.users = EmbeddingTable(0.1 * torch.randn(n_users + 1, dim))
        self.items = EmbeddingTable(0.1 * torch.randn(n_items + 1, dim))
        self.layers = layers
        graph = like_graph(train, n_users, n_items)
        # both follow from the train rows, so they are no part of what is saved
        self.register_buffer("graph", graph, persistent=False)
        self.register_buffer("transposed", graph.t().coalesce(), persistent=False)

    def _propagated(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum of the layers 1..K, for users [n_users + 1, d] and items [n_items + 1, d]."""
        users, items = self.users.weight, self.items.weight
        sums = torch.zeros_like(users), torch.zeros_like(items)
        for _ in range(self.layers):
            users, items = torch.sparse.mm(self.graph, items), torch.sparse.mm(self.transposed, users)
            sums = sums[0] + users, sums[1] + items
        return sums

    def forward(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Ids [B], [B] to logits [B]; the whole graph is propagated once."""
        of_users, of_items = self._propagated()
        # layer 0 is looked up in the tables: the rows of the batch are those that decay, as in the paper's L2 term
        u = (self.users(users) + of_users[users]) / (self.layers + 1)  # [B, d]
        i = (self.items(items) + of_items[items]) / (self.layers + 1)  # [B, d]
        return (u * i).sum(-1)

    @torch.no_grad()
    def vectors(self) -> Vectors:
        """Final vectors of users [n_users + 1, dim + 1] and items [n_items + 1, dim + 1]; the bias column is zero."""
        tables = []
        sides = (self.users, self.seen_users), (self.items, self.seen_items)
        for (table, seen), propagated in zip(sides, self._propagated()):
            mean = (table.weight + propagated) / (self.layers + 1) * seen[:, None]
            tables.append(torch.cat([mean, mean.new_zeros(len(mean), 1)], dim=1).cpu())
        return Vectors(*tables)

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame's rows with a float ``score`` (a logit), 0 where the user or the item is unseen."""
        return score_pairs(self.vectors(), frame)
