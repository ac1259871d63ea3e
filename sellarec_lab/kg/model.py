"""A model that reads paths: tables of entities and relations, an encoder, and a softmax over what comes next.

L = - mean_t log softmax(f(x_0 .. x_t) . x)_{x_{t+1}}, over entities behind a relation and over relations behind an
entity (RSN, arXiv 1905.04914). That teacher and students are such models is the paper's (arXiv 2306.02679); that the
softmax shares its table with the input, its candidates and the smoothing are this project's choice.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from sellarec_lab.config import PathConfig
from sellarec_lab.kg.encoders import encoder


class Paths(NamedTuple):
    """A batch: ``paths`` [B, 2 · hops + 1] (entity, relation, entity, ...), the entities that compete ``candidates``
    [C], each once, and the place of each told entity among them ``targets`` [B, hops]."""

    paths: torch.Tensor
    candidates: torch.Tensor
    targets: torch.Tensor

    def to(self, device: str) -> "Paths":
        return Paths(*(part.to(device) for part in self))


class PathModel(nn.Module):
    """``forward(Paths)`` is the loss.

    Args:
        n_entities: rows of the table of entities.
        n_relations: relations; the inverse of r is r + n_relations.
        settings: sizes, encoder, dropout, smoothing.
    """

    def __init__(self, n_entities: int, n_relations: int, settings: PathConfig):
        super().__init__()
        self.settings = settings
        self.entities = nn.Embedding(n_entities, settings.dim)
        self.relations = nn.Embedding(2 * n_relations, settings.dim)
        for table in (self.entities, self.relations):
            nn.init.normal_(table.weight, std=settings.dim**-0.5)
        self.dropout, self.encoder = nn.Dropout(settings.dropout), encoder(settings)
        self.said = nn.ModuleDict({kind: nn.Linear(settings.dim, settings.dim) for kind in ("entity", "relation")})
        self.weight = nn.Parameter(torch.zeros(n_entities))  # how often an entity is told at all

    def states(self, paths: torch.Tensor) -> torch.Tensor:
        """Paths [B, T], whole or cut behind any element, to states [B, T, d]."""
        x = self.entities.weight.new_empty(*paths.shape, self.settings.dim)
        x[:, 0::2] = self.entities(paths[:, 0::2])
        x[:, 1::2] = self.relations(paths[:, 1::2])
        return self.encoder(self.dropout(x))

    def told(self, states: torch.Tensor, entities: torch.Tensor | None = None) -> torch.Tensor:
        """Logits of entities [..., C] from states behind a relation [..., d]; of all entities if none are named."""
        table, weight = self.entities.weight, self.weight
        if entities is not None:
            table, weight = self.entities(entities), weight[entities]
        return self.said["entity"](states) @ table.T + weight

    def forward(self, batch: Paths) -> torch.Tensor:
        return self.loss(self.states(batch.paths[:, :-1]), batch)

    def loss(self, states: torch.Tensor, batch: Paths) -> torch.Tensor:
        """The loss of the next element from states [B, 2 · hops, d] of all but the last element."""
        smoothing = self.settings.smoothing
        logits = self.told(states[:, 1::2], batch.candidates)  # [B, hops, C]
        entities = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), label_smoothing=smoothing)
        after = self.said["relation"](states[:, 0::2]) @ self.relations.weight.T  # [B, hops, 2 · n_relations]
        told = batch.paths[:, 1::2].flatten()
        return entities + F.cross_entropy(after.flatten(0, 1), told, label_smoothing=smoothing)

    @torch.no_grad()
    def score(self, heads: torch.Tensor, relations: torch.Tensor, entities: torch.Tensor | None = None) -> torch.Tensor:
        """Logits [B, C] of what stands behind (head, relation), of these entities or of all; relations from
        n_relations on are inverse."""
        return self.told(self.states(torch.stack([heads, relations], dim=1))[:, -1], entities)
