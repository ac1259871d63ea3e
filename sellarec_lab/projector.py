"""Hybrid projection: collaborative vectors and item semantics become soft tokens in the language model's word space.

`<User_ID>` and `<Item_ID>` go through the collaborative head (in SeLLa-Rec warm-started by the alignment),
`<Warm_ID>` goes from the item's semantic vector through a linear map of its own (arXiv 2504.10107, stage 3).
"""

from __future__ import annotations

import torch
from torch import nn

from sellarec_lab.alignment import Head
from sellarec_lab.collab import Vectors
from sellarec_lab.prompts import KINDS
from sellarec_lab.training import Table


class HybridProjector(nn.Module):
    """Fills soft tokens: ``projector(kind [S], id [S])`` gives vectors [S, width], float32.

    Each kind is multiplied by a constant, set once by `match_norms`: a projection that enters at another norm than
    real words have destroys what the tuned model knew.
    """

    def __init__(self, vectors: Vectors, semantics: torch.Tensor, head: Head):
        super().__init__()
        width = semantics.shape[1]
        self.users, self.items = Table(vectors.users), Table(vectors.items)
        self.semantics = Table(semantics)
        self.head = head
        self.warm = nn.Linear(width, width)
        self.register_buffer("scale", torch.ones(len(KINDS)))

    @property
    def width(self) -> int:
        return self.warm.out_features

    def forward(self, kind: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Slot kinds [S] (index into `prompts.KINDS`) and user or item ids [S] to soft tokens [S, width]."""
        out = torch.zeros(len(kind), self.width, device=self.warm.weight.device)
        tokens = (self._user, self._item, self._warm)
        for index, project in enumerate(tokens):
            chosen = kind == index
            if chosen.any():
                out = out.masked_scatter(chosen[:, None], project(ids[chosen]) * self.scale[index])
        return out

    def _user(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.users(ids))

    def _item(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.items(ids))

    def _warm(self, ids: torch.Tensor) -> torch.Tensor:
        return self.warm(self.semantics(ids))

    @torch.no_grad()
    def start_warm_at_identity(self) -> None:
        """Let `<Warm_ID>` start as the semantic vector itself: it lives in the language model's space already.

        The paper starts this map at random.
        """
        nn.init.eye_(self.warm.weight)
        nn.init.zeros_(self.warm.bias)

    @torch.no_grad()
    def match_norms(self, words: torch.Tensor) -> None:
        """Scale every kind so that its mean norm is that of the word embeddings [V, width]."""
        target = words.norm(dim=1).mean()
        sizes = (len(self.users.weight), len(self.items.weight), len(self.items.weight))
        self.scale.fill_(1.0)
        for index, size in enumerate(sizes):
            ids = torch.arange(1, size, device=self.scale.device)
            norms = self(torch.full_like(ids, index), ids).norm(dim=1)
            self.scale[index] = target / norms.mean().clamp_min(1e-8)

    def set_trainable(self, parts: tuple[str, ...]) -> None:
        """Choose what trains: "projector" (both heads), "tables" (users, items), "semantics"."""
        for module, part in (
            (self.head, "projector"),
            (self.warm, "projector"),
            (self.users, "tables"),
            (self.items, "tables"),
            (self.semantics, "semantics"),
        ):
            module.requires_grad_(part in parts)
