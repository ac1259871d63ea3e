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
    """Fills soft tokens: ``projector(kind [S], id [S], bag [S, H])`` gives vectors [S, width], float32 also where the
    backbone computes in half precision.

    Each kind is multiplied by a constant, set once by `match_norms`: a projection that enters at another norm than
    real words have destroys what the tuned model knew.
    """

    def __init__(self, vectors: Vectors, semantics: torch.Tensor, head: Head, taste: bool = False):
        super().__init__()
        width = semantics.shape[1]
        self.users, self.items = Table(vectors.users), Table(vectors.items)
        self.semantics = Table(semantics)
        self.head = head
        self.warm = nn.Linear(width, width)
        self.taste = nn.Linear(width, width) if taste else None
        self.register_buffer("scale", torch.ones(len(KINDS)))

    @property
    def width(self) -> int:
        return self.warm.out_features

    def forward(self, kind: torch.Tensor, ids: torch.Tensor, bag: torch.Tensor | None = None) -> torch.Tensor:
        """Slot kinds [S] (index into `prompts.KINDS`), user or item ids [S] and, for taste tokens, item ids [S, H]
        (0 = none) to soft tokens [S, width].

        Raises:
            ValueError: a kind that this projector does not fill.
        """
        out = torch.zeros(len(kind), self.width, device=self.warm.weight.device)
        with torch.autocast(out.device.type, enabled=False):
            for index in torch.unique(kind).tolist():
                chosen = kind == index
                vectors = self._fill(KINDS[index], ids[chosen], None if bag is None else bag[chosen])
                out = out.masked_scatter(chosen[:, None], vectors * self.scale[index])
        return out

    def _fill(self, kind: str, ids: torch.Tensor, bag: torch.Tensor | None) -> torch.Tensor:
        if kind == "taste" and self.taste is not None and bag is not None:
            return self._taste(bag)
        known = {"user": self._user, "item": self._item, "warm": self._warm}
        if kind not in known:
            raise ValueError(f"this projector can't fill a {kind!r} token; it was built for {', '.join(known)}")
        return known[kind](ids)

    def _user(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.users(ids))

    def _item(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.items(ids))

    def _warm(self, ids: torch.Tensor) -> torch.Tensor:
        return self.warm(self.semantics(ids))

    def _taste(self, bag: torch.Tensor) -> torch.Tensor:
        count = (bag > 0).sum(1, keepdim=True).clamp_min(1)
        return self.taste(self.semantics(bag).sum(1) / count)  # row 0 of the table is zero

    @torch.no_grad()
    def start_at_identity(self) -> None:
        """Let `<Warm_ID>` start as the semantic vector itself: it lives in the language model's space already.

        The paper starts this map at random.
        """
        for linear in filter(None, (self.warm, self.taste)):
            nn.init.eye_(linear.weight)
            nn.init.zeros_(linear.bias)

    @torch.no_grad()
    def match_norms(self, words: torch.Tensor, bags: torch.Tensor | None = None) -> None:
        """Scale every kind so that its mean norm is that of the word embeddings [V, width]; for taste tokens the mean
        is over ``bags`` [B, H]."""
        target = words.norm(dim=1).mean()
        sizes = (len(self.users.weight), len(self.items.weight), len(self.items.weight))
        self.scale.fill_(1.0)
        for index, size in enumerate(sizes):
            ids = torch.arange(1, size, device=self.scale.device)
            norms = self(torch.full_like(ids, index), ids).norm(dim=1)
            self.scale[index] = target / norms.mean().clamp_min(1e-8)
        if self.taste is not None and bags is not None:
            self.scale[KINDS.index("taste")] = target / self._taste(bags).norm(dim=1).mean().clamp_min(1e-8)

    def set_trainable(self, parts: tuple[str, ...]) -> None:
        """Choose what trains: "projector" (both heads), "tables" (users, items), "semantics"."""
        for module, part in (
            (self.head, "projector"),
            (self.warm, "projector"),
            (self.taste, "projector"),
            (self.users, "tables"),
            (self.items, "tables"),
            (self.semantics, "semantics"),
        ):
            if module is not None:
                module.requires_grad_(part in parts)


class SoftPrompt(nn.Module):
    """Prompt tuning (Lester et al., arXiv 2104.08691): learned vectors that know neither user nor item.

    They start as random words, [n + 1, width]; row 0 is unused.
    """

    def __init__(self, words: torch.Tensor, count: int):
        super().__init__()
        start = words[torch.randint(len(words), (count + 1,))]
        self.prompt = nn.Embedding(*start.shape, _weight=start.clone())

    @property
    def width(self) -> int:
        return self.prompt.embedding_dim

    def forward(self, kind: torch.Tensor, ids: torch.Tensor, bag: torch.Tensor | None = None) -> torch.Tensor:
        return self.prompt(ids)

    def set_trainable(self, parts: tuple[str, ...]) -> None:
        self.requires_grad_("projector" in parts)
